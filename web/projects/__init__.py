"""The projects: what is done on each video by the records that the steps left, its files, where it was delivered."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, render_template

from config.catalog import steps
from services.boards import Row
from services.deliveries import project
from services.kept_files import Kept, kept, size_of
from services.recorded import is_below
from web.panel import panel

blueprint = Blueprint("projects", __name__, template_folder="templates")


@dataclass(frozen=True)
class File:
    """A file that a record, a delivery or an archive names; `file` says where it can be looked at, None when it is gone."""

    step: str
    kind: str
    name: str
    path: str
    bytes: int | None
    file: Kept | None


@blueprint.get("/projects")
def index() -> str:
    """List the projects, the one that changed last first."""
    return render_template("projects/index.html", projects=panel().projects.all(), steps=steps())


@blueprint.get("/projects/<name>")
def show(name: str) -> str:
    """Show a project."""
    found = project(name, panel().settings)
    files = {row.video: _recorded(found.board.path, row) for row in found.board.rows}
    deliveries = [(each, [_file(each.folder / name) for name in each.files]) for each in found.deliveries]
    archives = [(each, [_file(each.folder / name) for name in each.files]) for each in found.archives]
    commands = [["derush", "run", str(found.board.path)], ["derush", "verify", found.name]]
    declared = [step for step in steps().values() if step.item in {"original", "video"}]
    return render_template(
        "projects/show.html", project=found, files=files, deliveries=deliveries, archives=archives, steps=declared,
        commands=[shlex.join(command) for command in commands],
    )  # fmt: skip


def _recorded(folder: Path, row: Row) -> list[File]:
    """Return the files that the record of a video names; what is none, or leads elsewhere, is left out."""
    found = []
    for step, done in row.steps.items():
        for made in _entries(done):
            path = made.get("path")
            if is_below(path):
                found.append(_file(folder / path, str(step), str(made.get("kind", ""))))
    return found


def _entries(done: object) -> list[Mapping[str, Any]]:
    artefacts = done.get("artefacts") if isinstance(done, Mapping) else None
    return [made for made in artefacts if isinstance(made, Mapping)] if isinstance(artefacts, list) else []


def _file(path: Path, step: str = "", kind: str = "") -> File:
    found = kept(str(path), panel().settings)
    size = size_of(found, panel().settings) if found else None
    return File(step, kind, path.name, str(path), size, found if size is not None else None)
