"""The files that a run made, by video, each with where it can be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from flask import request

from services.executions import Execution
from services.kept_files import Kept, kept_now
from services.matrix import Row, Wanted, chosen
from web.executions.cells import whole
from web.panel import panel

PAGE = 50
"""Videos whose files are listed on a page."""


@dataclass(frozen=True)
class Listed:
    """A file as a step reported it; `file` says where it can be looked at, None when it cannot, or is gone."""

    kind: str
    name: str
    path: str
    bytes: int | None
    step: str
    file: Kept | None


@dataclass(frozen=True)
class Made:
    """What a run made, by row of its matrix, a page of it: from the row `first` on, of `count` that left something."""

    rows: Sequence[tuple[Row, Sequence[Listed]]]
    text: str
    first: int
    count: int
    up_to_date: int
    projects: Sequence[str]


def of_tasks(tasks: Iterable[Execution]) -> list[Listed]:
    """Return the files of some tasks, in the order in which they were made."""
    return [_listed(made, task) for task in tasks for made in task.artefacts if isinstance(made, dict)]


def _listed(made: dict[str, object], task: Execution) -> Listed:
    path, size = str(made.get("path", "")), made.get("bytes")
    return Listed(
        kind=str(made.get("kind", "")),
        name=PurePath(path).name,
        path=path,
        bytes=size if isinstance(size, int) else None,
        step=task.step or str(task.stage),
        file=kept_now(path, panel().settings),
    )


def made(run: Execution) -> Made:
    """Return the files of a run that the request asks for: those of videos with a `name`, from the row `first` on."""
    text = request.args.get("name", "").strip()[:200]
    first = max(0, request.args.get("first", 0, int))
    found = whole(run)
    rows = chosen(found, Wanted(text=text))
    shown = rows[first : first + PAGE]
    wanted = [task for row in shown for task in row.tasks if task]
    tasks = {task.id: task for task in panel().store.several(wanted)}
    listed = [(row, of_tasks(tasks[each] for each in row.tasks if each in tasks)) for row in shown]
    return Made(
        rows=[(row, files) for row, files in listed if files],
        text=text,
        first=first,
        count=len(rows),
        up_to_date=sum(cell[:1] == "u" for row in found.rows for cell in row.cells),
        projects=list(dict.fromkeys(row.project for row in found.rows)),
    )
