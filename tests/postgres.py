"""Databases for tests: SQLite, and a PostgreSQL server of the tests' own, on a socket of its own, gone with the tests.

A plugin: a module that says `pytest_plugins = ["tests.postgres"]` has its fixtures.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from services.database import Database, open_database
from services.executions import Store
from tests.conftest import missing, wait_until

_USER = "derush"


def _binaries() -> Path:
    """Where Debian keeps the newest server. Without one the test fails in CI, and is skipped elsewhere."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        missing("a PostgreSQL server: apt-get install postgresql")
    return found[-1].parent


def _as_somebody() -> list[str]:
    """Begin a command as a user whom PostgreSQL serves (it refuses root), and that ends when the tests do."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return command


class Server:
    """A server with its data below `folder`, which is also where its socket is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Start it, made first where it is new, and wait until it answers."""
        binaries, data = _binaries(), self.folder / "data"
        if not data.exists():
            options = ["--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--no-locale", "--no-sync"]
            self._run(str(binaries / "initdb"), "--pgdata", str(data), *options)
        quick = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=50"]
        command = [
            str(binaries / "postgres"),
            "-D",
            str(data),
            "-k",
            str(self.folder),
            "-c",
            "listen_addresses=",
            *quick,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*_as_somebody(), *command], stdout=log, stderr=log, cwd="/")
        wait_until(self._answers, 60, "an answer of PostgreSQL")

    def stop(self) -> None:
        """Stop it as a failing machine would: at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def address(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    @staticmethod
    def _run(*command: str) -> None:
        ended = subprocess.run([*_as_somebody(), *command], capture_output=True, text=True, cwd="/")
        assert ended.returncode == 0, ended.stderr


@contextmanager
def private_server() -> Iterator[Server]:
    """Start a server, and leave nothing of it."""
    _binaries()
    folder = Path(tempfile.mkdtemp(prefix="derush-pg-", dir="/tmp"))  # a socket's path has room for 100 bytes only
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Place:
    """Where a test keeps its history: a new database of either kind."""

    data_dir: Path
    url: str | None

    def open(self, patience: float = 10.0) -> Database:
        return open_database(self.data_dir, self.url, patience=patience)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with private_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    on_server = request.param == "postgresql"
    return Place(tmp_path / "data", request.getfixturevalue("postgres").new_database() if on_server else None)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(place.open()) as database:
        yield Store(database)
