"""The panel over a real history in a folder of the test's own, asked through its own client."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from config.settings import Settings, read_settings
from services.executions import Store
from web import create_app
from web.panel import Panel

PASSWORD = "correct horse battery"


@pytest.fixture
def panel_settings(tmp_path: Path) -> Settings:
    """Settings whose every place is below the test's folder."""
    places = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR", "DATA_DIR", "UPLOADS_DIR")
    return read_settings({**{name: str(tmp_path / name.lower()) for name in places}, "CACHE_ROOT_DIR": str(tmp_path)})


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
def client(app: Flask, opened: Panel) -> FlaskClient:
    """A browser that is signed in; `csrf(client)` gives the token its forms need."""
    browser = app.test_client()
    assert browser.get(f"/link/{opened.accounts.new_link()}").status_code == 302
    return browser


def csrf(client: FlaskClient) -> str:
    """Return a CSRF token of a browser's session, as its pages carry it."""
    page = client.get("/password").get_data(as_text=True)
    return page.partition('name="csrf-token" content="')[2].partition('"')[0]
