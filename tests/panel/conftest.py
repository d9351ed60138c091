"""The panel over a real history in a folder of the test's own, asked through its own client."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from config.settings import Settings, read_settings
from services import launching
from services.executions import Store
from web import create_app
from web.panel import Panel

PASSWORD = "correct horse battery"


def settings_below(folder: Path) -> Settings:
    """Return settings whose every place is below a folder; inputs are taken from `rushes` there."""
    names = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR", "DATA_DIR", "UPLOADS_DIR")
    places = {name: str(folder / name.lower()) for name in names}
    return read_settings({**places, "CACHE_ROOT_DIR": str(folder), "BROWSE_ROOTS": str(folder / "rushes")})


@pytest.fixture
def panel_settings(tmp_path: Path) -> Settings:
    return settings_below(tmp_path)


@pytest.fixture
def app(panel_settings: Settings) -> Flask:
    return create_app(panel_settings)


@pytest.fixture
def opened(app: Flask) -> Panel:
    found: Panel = app.extensions["derush"]
    return found


@pytest.fixture
def store(opened: Panel) -> Store:
    return opened.store


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    """A browser that nobody is signed in with."""
    return app.test_client()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that is signed in; `csrf(client)` gives the token its forms need."""
    return sign_in(app)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that a process was started for; none really is, and each seems to go on in this one."""
    begun: list[str] = []
    monkeypatch.setattr(launching, "start_detached", lambda run_id, _settings: begun.append(run_id) or os.getpid())  # type: ignore[func-returns-value]
    return begun


def sign_in(app: Flask) -> FlaskClient:
    """Open a browser and follow the link that `derush serve` prints."""
    browser = app.test_client()
    assert browser.get(f"/link/{app.extensions['derush'].accounts.new_link()}").status_code == 302
    return browser


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """Put an app behind a real socket; gives its port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(10)


def csrf(client: FlaskClient, path: str = "/password") -> str:
    """Return a CSRF token of a browser's session, as its pages carry it."""
    page = client.get(path).get_data(as_text=True)
    return page.partition('name="csrf-token" content="')[2].partition('"')[0]
