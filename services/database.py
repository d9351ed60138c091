"""Where the history of runs is kept: SQLite in WAL mode below DATA_DIR, or the PostgreSQL that DATABASE_URL names.

One writer at a time on either, for as long as one short transaction takes: SQLite has it so, PostgreSQL gets it by an
advisory lock. What a transaction has read stays true until it writes, and event ids become visible in their order.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, ProgrammingError

from config.contract import Exit
from services.errors import ServiceError

FILE_NAME = "derush.sqlite3"
HEAD = "0003"
"""The newest revision in `migrations/versions`. Alembic is only imported where a database is at another one."""

_MIGRATIONS = Path(__file__).with_name("migrations")
_WRITING = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(6861747573)"}
_READING = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"}


@dataclass(frozen=True)
class _Trouble:
    """What a driver's error means for a person. `signs` are SQLite's words for it, and PostgreSQL's SQLSTATEs."""

    code: str
    signs: tuple[str, ...]
    sentence: str
    remedy: str

    def error(self, place: str, said: str) -> ServiceError:
        """Return the error; `said` are the driver's or the system's own words."""
        return ServiceError(self.code, self.sentence.format(place=place, said=said), self.remedy)


_LOCKED = _Trouble(
    "database_locked",
    ("is locked", "locking protocol", "55P03"),
    "Another program has kept the history of runs locked for too long ({place}).",
    "Wait until it is done, or end it; `fuser -v` tells which process has a file open.",
)
_FULL = _Trouble(
    "disk_full",
    ("disk is full", "53100"),
    "The disk of the history of runs is full ({place}).",
    "Make room there.",
)
_READ_ONLY = _Trouble(
    "data_dir_read_only",
    ("readonly database", "unable to open database file", "disk I/O error", "25006"),
    "The history of runs cannot be written in {place}: {said}.",
    "Give your user the right to write there, or set DATA_DIR to another folder.",
)
_DAMAGED = _Trouble(
    "database_damaged",
    ("file is not a database", "disk image is malformed", "XX001", "XX002"),
    "The history of runs cannot be read, {place} is damaged: {said}.",
    "Put a backup back, or move it away: a new history is begun, and what is done stays done.",
)
_LOST = _Trouble(
    "no_database",
    (),
    "The PostgreSQL of DATABASE_URL cannot be used ({place}): {said}.",
    "Start the server, correct DATABASE_URL, or remove it to keep the history below DATA_DIR.",
)
_NEWER = _Trouble(
    "database_newer",
    (),
    "A newer Derush made the history of runs in {place} (revision {said}).",
    "Update Derush, or set DATA_DIR or DATABASE_URL to another place.",
)


class Database:
    """An open database. Any thread may use it: every transaction has a connection of its own.

    `place` names it to a person, without a password.
    """

    def __init__(self, engine: Engine, place: str) -> None:
        self.place = place
        self._engine = engine

    @property
    def dialect(self) -> str:
        """Which database it is: sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that may write; it is committed at the end, undone by an exception.

        Raises ServiceError: database_locked when other writers take longer than its patience, disk_full,
        data_dir_read_only, database_damaged, no_database.
        """
        with self._transaction(_WRITING[self.dialect]) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees the database as of one moment and waits for no writer. Raises as `begin` does."""
        with self._transaction(_READING[self.dialect]) as connection:
            yield connection

    @contextmanager
    def _transaction(self, start: str) -> Iterator[Connection]:
        with self._explained(), self._engine.connect() as connection:
            try:
                connection.exec_driver_sql(start)
                yield connection
                connection.commit()
            except BaseException:
                connection.invalidate()  # a COMMIT that fails leaves SQLite inside its transaction
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explained = self._explain(error)
            if explained is None:
                raise
            raise explained from None

    def _explain(self, error: DBAPIError) -> ServiceError | None:
        """Return what a driver's error means; None where it can only be a mistake in Derush."""
        said = str(error.orig).strip().partition("\n")[0].rstrip(".")
        evidence = str(getattr(error.orig, "sqlstate", None)) if self.dialect == "postgresql" else said
        for trouble in (_LOCKED, _FULL, _READ_ONLY, _DAMAGED):
            if any(sign in evidence for sign in trouble.signs):
                return trouble.error(self.place, said)
        is_wrong_address = isinstance(error, ProgrammingError) and error.statement is None
        is_lost = is_wrong_address or isinstance(error, (OperationalError, InterfaceError))
        return _LOST.error(self.place, said) if is_lost and self.dialect == "postgresql" else None

    def enter_wal(self) -> None:
        """Turn SQLite's WAL mode on, for good. For one process at a time: SQLite does not wait for its turn here."""
        with self._explained(), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")

    def close(self) -> None:
        """Close every connection that no transaction uses."""
        self._engine.dispose()


def open_database(data_dir: Path, url: str | None, *, patience: float = 10.0) -> Database:
    """Open the database, made or brought to the newest schema where it has to be.

    `patience` is how many seconds a transaction waits for other writers. Raises ServiceError as `Database.begin` does;
    also database_newer when a newer Derush made it, and bad_database_url.
    """
    if url:
        database = _postgresql(url, patience)
        if _revision(database) != HEAD:
            _migrate(database)
        return database
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        database = _sqlite(data_dir / FILE_NAME, patience)
        if _revision(database) != HEAD:
            with _taking_turns(data_dir / f"{FILE_NAME}.lock", patience):
                database.enter_wal()
                _migrate(database)
    except OSError as error:
        raise _READ_ONLY.error(str(data_dir), error.strerror or str(error)) from None
    return database


def _sqlite(path: Path, patience: float) -> Database:
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args={"timeout": patience}, max_overflow=-1
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:  # noqa: ARG001
        connection.isolation_level = None  # the driver begins nothing by itself, `Database` does
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    return Database(engine, str(path))


def _postgresql(address: str, patience: float) -> Database:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        url = URL.create("unreadable")
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        message = "DATABASE_URL is not the address of a PostgreSQL."
        raise ServiceError("bad_database_url", message, "Write it like postgresql://user@host/name.", Exit.USAGE)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": max(2, round(patience)),
            "options": f"-c lock_timeout={max(1, round(patience * 1000))}",
        },
        max_overflow=-1,
        pool_pre_ping=True,  # a server that was started again is found again
    )
    return Database(engine, f"{url.host or 'this machine'}/{url.database or ''}")


def _revision(database: Database) -> str | None:
    with database.reading() as connection:
        return _revision_of(connection)


def _revision_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema; None where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _migrate(database: Database) -> None:
    """Bring the schema to HEAD in one transaction. Whoever comes second finds it done."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with database.begin() as connection:
        revision = _revision_of(connection)
        if revision and revision not in known:
            raise _NEWER.error(database.place, revision)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _taking_turns(path: Path, patience: float) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends."""
    deadline = time.monotonic() + patience
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _LOCKED.error(str(path), "") from None
                time.sleep(0.02)
        yield
