"""The API: everything that a page can do, for programs; and the document that says how."""

from __future__ import annotations

from typing import cast

from flask import Response
from flask.json.provider import DefaultJSONProvider
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import SecuritySchemesDict
from pydantic import ValidationError

from web import mistakes
from web.api import documents, executions, files, logs, runs, system
from web.api.common import StrictRequest
from web.validation import wrong_input

PARTS = (runs.blueprint, executions.blueprint, executions.by_project, files.blueprint, logs.blueprint, system.blueprint)
_SCHEMES: SecuritySchemesDict = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token, made on the page System → Tokens."},
    "session": {
        "type": "apiKey", "in": "cookie", "name": "derush",
        "description": "The session of a browser; what changes something needs the header X-CSRFToken as well.",
    },
}  # fmt: skip


def init_app(app: OpenAPI) -> None:
    """Give the app the API, and the document that is made of its declarations."""
    app.request_class = StrictRequest
    cast(DefaultJSONProvider, app.json).sort_keys = False  # answers stand in the order in which they are declared
    app.security_schemes = _SCHEMES
    app.validation_error_status = "400"
    app.validation_error_callback = _refuse
    for part in PARTS:
        app.register_api(part)
    app.register_blueprint(documents.blueprint)


def _refuse(error: ValidationError) -> Response:
    wrong = wrong_input(error)
    return mistakes.answer(mistakes.status_of(wrong), wrong.code, wrong.message, wrong.remedy)
