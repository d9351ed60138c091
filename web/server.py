"""`python -m web.server`: the panel under gunicorn, one process with many threads, once on the same data."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO

from flask import Flask
from gunicorn.app.base import BaseApplication

from config.contract import Exit
from config.settings import Settings, SettingsError, load_settings
from services.accounts import Accounts
from services.database import open_database
from services.errors import ServiceError
from web import create_app, sse

THREADS = 160
"""A page that is open and visible keeps one for its stream of events; the rest answer."""
_GRACE_SECONDS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; returns an exit code."""
    parser = ArgumentParser(prog="derush serve")
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings()
        serve(settings, arguments.port or settings.panel_port)
    except SettingsError as error:
        print(f"Wrong settings:\n{error}\nCorrect them in .env or in the environment.", file=sys.stderr)
        return Exit.USAGE
    except ServiceError as error:
        print(f"✗ {error.message} {error.remedy} ({error.code})", file=sys.stderr)
        return error.exit_code
    return Exit.OK


def serve(settings: Settings, port: int) -> None:
    """Serve the panel until a signal ends it.

    Raises ServiceError panel_runs, port_in_use, password_needed, or as `open_database` does.
    """
    lock = _only_one(settings.data_dir)
    database = open_database(settings.data_dir, settings.database_url)
    accounts = Accounts(database)
    address = f"[{settings.panel_host}]:{port}" if ":" in settings.panel_host else f"{settings.panel_host}:{port}"
    if not _is_loopback(settings.panel_host) and not accounts.has_password:
        raise ServiceError(
            "password_needed", f"{settings.panel_host} can be reached by others, and no password is set.",
            "Run `derush password` first, or leave PANEL_HOST out to serve this machine only.", Exit.USAGE,
        )  # fmt: skip
    _require_port(settings.panel_host, port, address)
    kept_since = datetime.now(timezone.utc) - timedelta(days=settings.panel_audit_keep_days)
    accounts.forget_audit(kept_since.isoformat(timespec="microseconds"))
    _greet(accounts, f"http://{address}")
    database.close()  # the process that serves is another one: it opens its own
    _Server(settings, address, lock).run()


def _greet(accounts: Accounts, origin: str) -> None:
    if accounts.has_password:
        print(f"The panel is at {origin}/  (Ctrl-C ends it)", flush=True)
    else:
        print("Open the panel with this link; it signs you in once, then you may set a password:", flush=True)
        print(f"  {origin}/link/{accounts.new_link()}", flush=True)
        print("Ctrl-C ends it; runs go on.", flush=True)


def _only_one(data_dir: Path) -> IO[str]:
    """Hold a lock on the data for as long as this process lives, and the one that serves for it.

    Waits a moment for a server that is just ending.
    """
    folder = data_dir / "panel"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise ServiceError(
            "data_dir_read_only", f"{folder} cannot be written ({error.strerror}).", "Set DATA_DIR to another folder."
        ) from None
    deadline = time.monotonic() + _GRACE_SECONDS + 1
    while not _taken(lock):
        if time.monotonic() > deadline:
            lock.seek(0)
            raise ServiceError(
                "panel_runs", f"A panel runs on this data already (process {lock.read().strip() or 'unknown'}).",
                "Use that one, end it, or set another DATA_DIR.", Exit.USAGE,
            )  # fmt: skip
        time.sleep(0.1)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_port(host: str, port: int, address: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        remedy = "Another program uses it? Choose another with --port, or PANEL_HOST and PANEL_PORT."
        raise ServiceError("port_in_use", f"{address} cannot be used ({error.strerror}).", remedy, Exit.USAGE) from None


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn with its settings given here, not on a command line. Holds the lock open."""

    def __init__(self, settings: Settings, address: str, lock: IO[str]) -> None:
        self._settings = settings
        self._address = address
        self._lock = lock
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        chosen = {
            "bind": self._address,
            "worker_class": "gthread",
            "threads": THREADS,
            "graceful_timeout": _GRACE_SECONDS,
            "loglevel": "warning",
            "proc_name": "derush-panel",
            "control_socket_disable": True,
            # A killed master tells its worker nothing: streams that went on would keep it, and the data, for ever.
            "post_worker_init": lambda worker: sse.close_when_not(lambda: worker.alive and os.getppid() == worker.ppid),
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in the process that serves it."""
        return create_app(self._settings)


if __name__ == "__main__":
    sys.exit(main())
