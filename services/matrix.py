"""A run as a table: its videos down, its steps across, in each cell how far that step is on that video.

Projects are rows too, before their videos: archives are extracted and projects delivered as a whole. A cell is a letter,
and after it the number of attempts if there was more than one: small enough to send thousands of them to a browser.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.history import Part
from services.stages import Stage

LETTERS: Mapping[str, str] = {
    "queued": "q", "running": "r", "succeeded": "s", "failed": "f", "skipped": "k", "cancelled": "c", "interrupted": "i",
    "accepted": "a",
}  # fmt: skip
UP_TO_DATE = "u"
"""The letter of what succeeded because nothing had to be done."""
_URGENCY = "fircqkasu"
"""What a person looks for first, by letter."""
_WHOLES = frozenset({"archive", "project"})


@dataclass(frozen=True)
class Row:
    """A project, or a video of the project before it. `id` is that of its first task, and stays; `name` is the original's.

    `cells` has the last attempt's letter and the number of attempts of each column, empty where there is no task;
    `tasks` the id of that attempt.
    """

    id: str
    name: str
    project: str
    is_project: bool
    cells: tuple[str, ...]
    tasks: tuple[str | None, ...]

    @property
    def urgency(self) -> int:
        """How soon a person wants to see it, 0 the soonest."""
        return min((_URGENCY.index(cell[0]) for cell in self.cells if cell), default=len(_URGENCY))


@dataclass(frozen=True)
class Matrix:
    """The steps of a run that work on items, in the plan's order, and the rows in the order of work."""

    columns: tuple[Stage, ...]
    rows: tuple[Row, ...]

    def task(self, row_id: str, stage: str) -> str | None:
        """Return the id of the last attempt in a cell; None when there is no such cell, or no task in it."""
        for number, column in enumerate(self.columns):
            if column.id == stage:
                return next((row.tasks[number] for row in self.rows if row.id == row_id), None)
        return None

    def row(self, row_id: str) -> Row | None:
        """Return the row of an id."""
        return next((row for row in self.rows if row.id == row_id), None)


@dataclass(frozen=True)
class Wanted:
    """Which rows a person wants to see: with a cell of these letters, with this text in a name; failed ones first."""

    letters: str = ""
    text: str = ""
    failed_first: bool = False


@dataclass
class _Line:
    """A row in the making: its first task, and of every task the last attempt, by stage and subject."""

    first: Part
    last: dict[tuple[str, str], Part] = field(default_factory=dict)


def matrix(parts: Iterable[Part], stages: Mapping[str, Stage]) -> Matrix:
    """Lay the tasks of a run out. `parts` are all attempts in the order of creation; commands are not shown."""
    columns = tuple(stage for stage in stages.values() if stage.spec)
    shown = [part for part in parts if part.stage in stages and stages[part.stage].spec]
    joins = _Joins(shown)
    wholes: dict[str, _Line] = {}
    videos: dict[str, dict[str, _Line]] = defaultdict(dict)
    for part in shown:
        project = joins.project_of(part)
        lines, key = (wholes, project) if part.item_kind in _WHOLES else (videos[project], joins.video_of(part))
        lines.setdefault(key, _Line(part)).last[part.stage, part.subject] = part
        videos[project]  # a project's place is that of its first task, whatever that is about
    rows = [
        _row(line, project, columns)
        for project, below in videos.items()
        for line in (*([wholes[project]] if project in wholes else []), *below.values())
    ]
    return Matrix(columns, tuple(rows))


class _Joins:
    """Which tasks are about the same thing: an original and the proxy that was made of it, an archive and its project."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._original_of: dict[str, str] = {}
        self._project_of_archive: dict[str, str] = {}
        known = {part.id: part for part in parts}
        for part in parts:
            bringer = known.get(part.brought_by or "")
            if bringer and bringer.item_kind == "original" and part.item_kind == "video":
                self._original_of[part.subject] = bringer.subject
            elif bringer and bringer.item_kind == "archive" and part.project:
                self._project_of_archive.setdefault(bringer.subject, part.project)

    def project_of(self, part: Part) -> str:
        """Return the path of a task's project; an archive stands for its own until that is known."""
        return part.project or self._project_of_archive.get(part.subject) or part.subject

    def video_of(self, part: Part) -> str:
        """Return what a task's row is about: the original that was delivered, else the video."""
        return self._original_of.get(part.subject, part.subject)


def _row(line: _Line, project: str, columns: Sequence[Stage]) -> Row:
    is_project = line.first.item_kind in _WHOLES
    # Several archives may go into one project: a cell is that of the task a person wants to see first.
    by_stage: dict[str, list[Part]] = defaultdict(list)
    for part in line.last.values():
        by_stage[part.stage].append(part)
    cells = [min(by_stage[column.id], key=_urgency, default=None) for column in columns]
    return Row(
        id=line.first.id,
        name=_name(project if is_project else line.first.subject),
        project=_name(project),
        is_project=is_project,
        cells=tuple(_cell(part) if part else "" for part in cells),
        tasks=tuple(part.id if part else None for part in cells),
    )


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _urgency(part: Part) -> int:
    return _URGENCY.index(LETTERS[part.status])


def _cell(part: Part) -> str:
    letter = UP_TO_DATE if part.outcome == "up_to_date" and part.status == "succeeded" else LETTERS[part.status]
    return f"{letter}{part.attempt}" if part.attempt > 1 else letter


def chosen(whole: Matrix, wanted: Wanted) -> list[Row]:
    """Return the rows that a person wants to see, in that order; a project stands before its videos, shown or not."""
    needle = _folded(wanted.text)
    groups: list[list[Row]] = []
    for row in whole.rows:
        if not groups or row.project != groups[-1][0].project or row.is_project:
            groups.append([])
        groups[-1].append(row)
    found = []
    for group in groups:
        meant = [row for row in group if _is_wanted(row, wanted.letters, needle)]
        if meant:
            head = [group[0]] if group[0].is_project and group[0] not in meant else []
            found.append([*head, *meant])
    if wanted.failed_first:
        found = [sorted(group, key=lambda row: (not row.is_project, row.urgency)) for group in found]
        found.sort(key=lambda group: min(row.urgency for row in group))
    return [row for group in found for row in group]


def _is_wanted(row: Row, letters: str, needle: str) -> bool:
    has_letter = not letters or any(cell and cell[0] in letters for cell in row.cells)
    return has_letter and (needle in _folded(row.name) or needle in _folded(row.project))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
