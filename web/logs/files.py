"""A log file that a request names by its path below LOGS_DIR. Raises ServiceError no_such_log for a folder, too."""

from __future__ import annotations

from pathlib import Path

from flask import Response, send_file

from services.log_file import LogFile
from services.logs import log_path
from web.panel import panel


def path_of(name: str) -> Path:
    """Return the path of a log."""
    path = log_path(panel().settings.logs_dir, name)
    LogFile(path).close()
    return path


def given(name: str) -> Response:
    """Give a log itself, or the part of it that `Range` asks for."""
    return send_file(path_of(name), mimetype="text/plain", as_attachment=True, conditional=True, max_age=0)
