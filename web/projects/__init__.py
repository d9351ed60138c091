"""The first page: the projects, and how far each of their videos is."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template

from config.catalog import steps
from services.boards import boards

blueprint = Blueprint("projects", __name__, template_folder="templates")


@blueprint.get("/")
def index() -> str:
    """Show every project's videos against the steps."""
    settings = current_app.config["DERUSH"]
    return render_template(
        "projects/index.html", steps=list(steps().values()), boards=boards(settings.projects_dir), settings=settings
    )
