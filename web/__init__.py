"""The control panel: pages and an API over the history of runs. It records what people ask for, and does no work itself."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path

from flask import Response, request
from flask_babel import Babel
from flask_compress import Compress
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from config.settings import Settings, load_settings
from web import (
    access,
    api,
    artefacts,
    browse,
    executions,
    health,
    home,
    logs,
    mistakes,
    presentation,
    projects,
    sayings,
    system,
    uploads,
    workflow,
)
from web.panel import open_panel, panel

BLUEPRINTS = (access, artefacts, browse, executions, health, home, logs, projects, system, uploads, workflow)
_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "media-src 'self'",
        "connect-src 'self'", "font-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
_LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
_SESSION_DAYS = 14
_LARGEST_FORM = 1 << 20


def create_app(settings: Settings | None = None) -> OpenAPI:
    """Make the panel over these settings (by default this process's). Raises ServiceError as `open_database` does."""
    chosen = settings or load_settings()
    app = OpenAPI(__name__, info=Info(title="Derush", version="1"), doc_ui=False)
    app.config.update(
        SECRET_KEY=_session_key(chosen.data_dir / "panel"),
        # A page of another site may make a browser ask this server, under a name of its own: only our own are answered.
        TRUSTED_HOSTS=[*_LOOPBACK, chosen.panel_host, *chosen.panel_hosts],
        SESSION_COOKIE_NAME="derush",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(days=_SESSION_DAYS),
        MAX_CONTENT_LENGTH=_LARGEST_FORM,
        WTF_CSRF_CHECK_DEFAULT=False,  # `access.guard` asks for it where a session is used
        WTF_CSRF_TIME_LIMIT=None,  # a page stays open all day
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365),  # the address of a static file holds its hash
        COMPRESS_ALGORITHM=["gzip"],
        COMPRESS_STREAMS=False,  # an event must go out at once
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    opened = open_panel(app, chosen)
    Babel(app, locale_selector=presentation.language, default_translation_directories="translations")
    Compress(app)
    app.after_request(_read_whole)  # what comes later goes first: before it is compressed
    access.csrf.init_app(app)
    access.limiter.init_app(app)
    presentation.init_app(app)
    sayings.init_app(app)
    mistakes.init_app(app)
    health.init_app(app, opened)
    for page in BLUEPRINTS:
        app.register_blueprint(page.blueprint)
    api.init_app(app)
    app.before_request(access.guard)
    app.before_request(_settle_orphans)
    app.after_request(_harden)
    return app


def _settle_orphans() -> None:
    if request.endpoint != "static":
        panel().orphans.look()


def _read_whole(response: Response) -> Response:
    """Read a static file whole: what is streamed goes out at once and is not compressed."""
    if request.endpoint == "static":
        response.direct_passthrough = False
        response.make_sequence()
    return response


def _session_key(folder: Path) -> bytes:
    """Return the key that signs sessions: made once, readable by this user alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "session.key"
    if not path.exists():
        fresh = folder / f".session.{secrets.token_hex(4)}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        try:
            path.hardlink_to(fresh)  # whole or not at all, and never over another's
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", "no-store")
    if request.endpoint == "static" and "v" not in request.args:
        response.headers["Cache-Control"] = "no-cache"  # a script that another imports: its address holds no hash
    return response
