"""Opening a database, bringing it up to date, and what happens when it cannot be used."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, create_engine, text

from config.contract import Exit
from services.database import FILE_NAME, HEAD, open_database
from services.errors import ServiceError
from services.executions import Execution, Store, new_id, utc_now
from services.models import Base
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from tests.postgres import Place

pytest_plugins = ["tests.postgres"]

CHILD = """
import sys
from pathlib import Path
from services.database import open_database
from services.errors import ServiceError
from services.executions import Execution, Store, new_id, utc_now
data_dir, url = Path(sys.argv[1]), sys.argv[2] or None
run_id = new_id()
run = Execution(id=run_id, run_id=run_id, kind="run", queued_at=utc_now())
"""


def child(code: str, place: Place, *prefix: str) -> subprocess.Popen[str]:
    """Another process of Derush, which obeys lines on its standard input."""
    command = [*prefix, sys.executable, "-c", CHILD + code, str(place.data_dir), place.url or ""]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def add_run(store: Store) -> None:
    run_id = new_id()
    store.save([Execution(id=run_id, run_id=run_id, kind="run", queued_at=utc_now())])


def test_a_database_is_made_once_and_kept(place: Place) -> None:
    for expected in (1, 2):
        with closing(place.open()) as database:
            store = Store(database)
            add_run(store)
            assert len(store.runs()) == expected


def test_sqlite_writes_ahead_and_checks_references(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "new" / "data", None)) as database, database.reading() as connection:
        values = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")]
    assert values == ["wal", 1, 1]


def test_the_newest_migration_is_the_one_the_code_expects(place: Place) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "services" / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
    with closing(place.open()) as database, database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def schema(connection: Connection) -> list[list[str]]:
    """The words of every table and index; constraints may stand in another order."""
    made = text("SELECT sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' AND sql <> '' ORDER BY name")
    return [sorted(re.split(r"[\s,()]+", statement)) for statement in connection.scalars(made)]


def test_migrations_and_models_make_the_same_tables_to_the_letter(tmp_path: Path) -> None:
    # Beyond what Alembic compares: checks, partial indexes, names.
    fresh = create_engine("sqlite://")
    with (
        closing(open_database(tmp_path, None)) as database,
        database.reading() as migrated,
        fresh.begin() as connection,
    ):
        Base.metadata.create_all(connection)
        assert schema(migrated) == schema(connection)
        assert len(schema(migrated)) >= 8
    fresh.dispose()


def test_an_opening_with_nothing_to_migrate_leaves_alembic_alone(place: Place) -> None:
    place.open().close()
    with child("open_database(data_dir, url); print('alembic' in sys.modules)", place) as other:
        assert other.communicate(timeout=60)[0] == "False\n"


def test_a_database_of_a_newer_derush_is_refused_and_left_alone(place: Place) -> None:
    with closing(place.open()) as database:
        with database.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ServiceError) as refused:
            place.open()
        assert refused.value.code == "database_newer"
        assert "9999" in refused.value.message and "Update Derush" in refused.value.remedy
        with database.begin() as connection:
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_a_migration_that_was_cut_short_is_done_again(place: Place) -> None:
    # Killed as soon as the tables are there, which is before the transaction's end.
    killed = """
import os, signal
from sqlalchemy import event, Engine
@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    if "CREATE TABLE executions" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
open_database(data_dir, url)
"""
    with child(killed, place) as other:
        other.communicate(timeout=60)
    assert other.returncode == -9
    with closing(place.open()) as database:
        add_run(Store(database))


def test_ten_processes_open_a_new_database_at_once(place: Place) -> None:
    code = """
print("ready", flush=True); sys.stdin.readline()
store = Store(open_database(data_dir, url)); store.save([run])
print("saved" if store.get(run_id) else "lost", flush=True)
"""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(child(code, place)) for _ in range(10)]
        assert [other.stdout.readline() for other in children] == ["ready\n"] * 10
        for other in children:
            other.stdin.write("go\n")
            other.stdin.flush()
        assert [other.communicate(timeout=120)[0] for other in children] == ["saved\n"] * 10
    with closing(place.open()) as database:
        assert len(Store(database).runs()) == 10


@contextmanager
def locked_by_another_process(place: Place, until: str) -> Iterator[None]:
    code = f"""
import time
with open_database(data_dir, url).begin():
    print("locked", flush=True)
    {until}
"""
    with child(code, place) as other:
        assert other.stdout.readline() == "locked\n"
        yield
        other.communicate("go\n", timeout=60)


def test_saving_waits_while_another_process_has_the_database_locked(place: Place) -> None:
    with closing(place.open(patience=10)) as database, locked_by_another_process(place, "time.sleep(5)"):
        started = time.monotonic()
        add_run(Store(database))
        assert 4 < time.monotonic() - started < 10
        assert len(Store(database).runs()) == 1


def test_patience_has_an_end_and_reading_needs_none(place: Place) -> None:
    with closing(place.open(patience=0.2)) as database:
        store = Store(database)
        with locked_by_another_process(place, "sys.stdin.readline()"):
            started = time.monotonic()
            with pytest.raises(ServiceError) as locked:
                add_run(store)
            assert locked.value.code == "database_locked"
            assert 0.15 < time.monotonic() - started < 3
            assert store.runs() == []
        add_run(store)
        assert len(store.runs()) == 1


def test_a_transaction_that_reads_then_writes_is_not_overtaken(place: Place) -> None:
    with closing(place.open()) as database:
        with database.begin() as connection:
            connection.execute(text("CREATE TABLE numbers (value INTEGER)"))
            connection.execute(text("INSERT INTO numbers VALUES (0)"))

        def count_up() -> None:
            for _ in range(20):
                with database.begin() as connection:
                    value = connection.scalar(text("SELECT value FROM numbers"))
                    connection.execute(text("UPDATE numbers SET value = :next"), {"next": value + 1})

        threads = [threading.Thread(target=count_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        with database.reading() as connection:
            assert connection.scalar(text("SELECT value FROM numbers")) == 80


def test_a_reader_sees_one_moment(place: Place) -> None:
    count = text("SELECT count(*) FROM executions")
    with closing(place.open()) as database, database.reading() as connection:
        assert connection.scalar(count) == 0
        add_run(Store(database))
        assert connection.scalar(count) == 0


def test_what_goes_wrong_in_a_transaction_undoes_it(place: Place) -> None:
    with closing(place.open()) as database:
        add_run(Store(database))
        with pytest.raises(KeyboardInterrupt), database.begin() as connection:
            connection.execute(text("DELETE FROM executions"))
            raise KeyboardInterrupt
        assert len(Store(database).runs()) == 1


def test_a_data_dir_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError) as refused:
        open_database(tmp_path / "file" / "data", None)
    assert refused.value.code == "data_dir_read_only"
    assert str(tmp_path / "file" / "data") in refused.value.message
    assert refused.value.exit_code == Exit.PREREQUISITE


def test_a_data_dir_that_becomes_read_only_is_named(tmp_path: Path) -> None:
    from tests.postgres import Place

    place = Place(tmp_path / "data", None)
    code = """
store = Store(open_database(data_dir, url))
store.save([run])
print("ready", flush=True); sys.stdin.readline()
def attempt(what):
    try:
        print(len(what() or []), flush=True)
    except ServiceError as error:
        print(error.code, flush=True)
attempt(store.runs)
attempt(lambda: Store(open_database(data_dir, url)).save([run]))
"""
    # Root may write anywhere, so the child gives that up.
    capabilities = "-dac_override,-dac_read_search"
    with child(code, place, *(["setpriv", "--bounding-set", capabilities] if os.geteuid() == 0 else [])) as other:
        assert other.stdout.readline() == "ready\n"
        for path in [*place.data_dir.iterdir(), place.data_dir]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        said = other.communicate("go\n", timeout=60)[0]
    place.data_dir.chmod(0o755)
    assert said == "1\ndata_dir_read_only\n"


@pytest.mark.parametrize("content", [b"This is no database. " * 500, os.urandom(20_000)])
def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ServiceError) as refused:
        open_database(tmp_path, None)
    assert refused.value.code == "database_damaged"
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_database_that_loses_its_pages_is_named(tmp_path: Path) -> None:
    with closing(open_database(tmp_path, None)) as database:
        add_run(Store(database))
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    with pytest.raises(ServiceError) as refused:
        Store(open_database(tmp_path, None)).runs()
    assert refused.value.code == "database_damaged"


def test_a_full_disk_is_named_and_work_goes_on_when_there_is_room(place: Place) -> None:
    limit = "PRAGMA max_page_count = 30"
    if place.url:
        limit = "DO $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
    with closing(place.open()) as database:
        with pytest.raises(ServiceError) as full, database.begin() as connection:
            connection.exec_driver_sql(limit)
            connection.execute(text("CREATE TABLE big (value TEXT)"))
            connection.execute(text("INSERT INTO big VALUES (:value)"), {"value": "x" * 1_000_000})
        assert full.value.code == "disk_full"
        add_run(Store(database))
        assert len(Store(database).runs()) == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://me:hunter2@127.0.0.1:1/history", "no_database"),
        ("postgresql://me:hunter2@/history?host=/nowhere", "no_database"),
        ("postgresql://me@/history?host=/nowhere&password=hunter2", "no_database"),
        ("postgresql:///history?hunter=2", "no_database"),
        ("postgresql://me:hunter2@host:port/history", "bad_database_url"),
        ("postgresql+pg8000://me:hunter2@host/history", "bad_database_url"),
        ("mysql://me:hunter2@host/history", "bad_database_url"),
        ("hunter2", "bad_database_url"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path, url: str, code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        open_database(tmp_path, url, patience=1)
    assert refused.value.code == code
    assert "hunter2" not in f"{refused.value} {refused.value.__cause__} {refused.value.record()}"
    assert "DATABASE_URL" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_fails_is_used_again_when_it_is_back() -> None:
    from tests.postgres import private_server

    with private_server() as server, closing(open_database(Path("/nowhere"), server.new_database())) as database:
        store = Store(database)
        add_run(store)
        server.stop()
        with pytest.raises(ServiceError) as lost:
            add_run(store)
        assert lost.value.code == "no_database"
        server.start()
        add_run(store)
        server.stop()  # nobody looks at it before it is back
        server.start()
        add_run(store)
        assert len(store.runs()) == 3


def test_a_server_that_fails_inside_a_transaction_is_named() -> None:
    from tests.postgres import private_server

    with private_server() as server, closing(open_database(Path("/nowhere"), server.new_database())) as database:
        with pytest.raises(ServiceError) as lost, database.begin() as connection:
            connection.execute(text("SELECT 1"))
            server.stop()
            connection.execute(text("SELECT 1"))
        assert lost.value.code == "no_database"
