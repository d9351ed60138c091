"""The control panel. It shows what the steps recorded on disk, and does no work itself."""

from __future__ import annotations

from flask import Flask, Response

from config.settings import Settings, load_settings
from web import projects

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(settings: Settings | None = None) -> Flask:
    """Make the panel over these settings (by default this process's)."""
    app = Flask(__name__)
    chosen = settings or load_settings()
    # A page of another site may make a browser ask this server, under a name of its own: only our own names are answered.
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost", "[::1]"]
    app.config["DERUSH"] = chosen
    app.register_blueprint(projects.blueprint)
    app.after_request(_harden)
    return app


def _harden(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
