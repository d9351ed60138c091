"""The API's own document: as OpenAPI 3.1 for programs, as a page for people."""

from __future__ import annotations

import re
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from flask_openapi3.openapi import OpenAPI
from markupsafe import Markup

from web.api.common import PREFIX
from web.api.reading import sections

_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
blueprint = Blueprint("api", __name__, url_prefix=PREFIX, template_folder="templates")


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """Give the document."""
    return jsonify(_document())


@blueprint.get("/docs")
def docs() -> str:
    """Show the document: every route with what it takes and gives, and a command that asks for it."""
    document = _document()
    return render_template(
        "api/docs.html", document=document, sections=sections(document, request.host_url.rstrip("/"))
    )


@blueprint.app_template_filter()
def ticks(text: str) -> Markup:
    """Write text in which names stand between backticks."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>" if number % 2 else "{}").format(it) for number, it in enumerate(parts)
    )


def _document() -> dict[str, Any]:
    """Return what the routes declare, and of each the scope that it asks of a token."""
    app = cast(OpenAPI, current_app)
    document = app.api_doc
    for rule in app.url_map.iter_rules():
        item = document["paths"].get(_VARIABLE.sub(r"{\1}", rule.rule), {})
        scope = getattr(app.view_functions[rule.endpoint], "derush_scope", "read")
        for method in (rule.methods or set()) & {name.upper() for name in item}:
            item[method.lower()]["security"] = [{"token": [scope]}, {"session": []}]
    return document
