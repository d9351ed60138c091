"""Choosing inputs by looking through the folders below the allowed roots."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from services.errors import ServiceError
from services.filesystem_service import listing
from web import mistakes
from web.access import needs
from web.panel import panel

blueprint = Blueprint("browse", __name__, template_folder="templates")


@blueprint.get("/browse")
@needs("run")
def folder() -> str | tuple[str, int]:
    """Show what stands in a folder, for the dialog; without `path`, the folders to begin with."""
    settings = panel().settings
    try:
        return render_template("browse/_folder.html", found=listing(request.args.get("path") or None, settings))
    except ServiceError as error:
        page = render_template("browse/_folder.html", found=listing(None, settings), problem=error)
        return page, mistakes.status_of(error)
