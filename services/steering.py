"""What a person may ask of a run while it goes on, or before it goes on again: which tasks are meant."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.executions import Execution
from services.flow import STOPPED_AT_FAILURE, Flow, Task


@dataclass(frozen=True)
class Target:
    """Which part of a run is meant; nothing named means all of it.

    `execution` is the id of a step or a task, `step` a step (STEP3) or a task of the plan, `video` a file's name, its stem, its path or
    `project/name`; `code` leaves only what failed with that error. With `onwards` a step's tasks are meant whatever came of them, and done by force.
    """

    execution: str | None = None
    step: str | None = None
    video: str | None = None
    onwards: bool = False
    code: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Target:
        """Read a target back from an event."""
        onwards = bool(record.get("onwards"))
        return cls(record.get("execution"), record.get("step"), record.get("video"), onwards, record.get("code"))

    def record(self) -> dict[str, Any]:
        """Return the target as an event carries it."""
        return asdict(self)

    @property
    def is_everything(self) -> bool:
        """Whether the whole run is meant."""
        return not (self.execution or self.step or self.video or self.code)


def chosen(tasks: Iterable[Task], target: Target, ids_of: Callable[[Task], set[str]]) -> list[Task]:
    """Return the tasks that a target means. `ids_of` gives the ids of a task's attempts and of its step."""
    return [
        task
        for task in tasks
        if _is_meant(target, ids_of(task), (task.stage.id, task.stage.label), task.item.path, task.project)
        and _failed_so(target, task.outcome.error if task.outcome else None)
    ]


def is_row_meant(row: Execution, target: Target) -> bool:
    """Tell whether a target means a recorded step or task; a run's own row is never meant."""
    ids = {row.id, row.parent_execution_id}
    is_meant = row.kind != "run" and _is_meant(target, ids, (row.stage, row.step), row.subject, row.project)
    return is_meant and _failed_so(target, row.error)


def _failed_so(target: Target, error: Mapping[str, Any] | None) -> bool:
    """Tell whether a target means what ended with this error, or without one."""
    return target.code is None or (error or {}).get("code") == target.code


def _is_meant(
    target: Target, ids: Collection[str | None], steps: Iterable[str | None], item: str | None, project: str | None
) -> bool:
    """Tell whether a target means what has these ids, belongs to a step of these names and is about this item, if any."""
    if target.execution and target.execution not in ids:
        return False
    if target.step and _folded(target.step) not in {_folded(name) for name in steps if name}:
        return False
    return not target.video or (item is not None and _folded(target.video) in _names_of(item, project))


def _names_of(item: str, project: str | None) -> set[str]:
    path = Path(item)
    names = {path.name, path.stem, str(path)}
    if project:
        names |= {f"{Path(project).name}/{name}" for name in (path.name, path.stem)}
    return {_folded(name) for name in names}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def can_be_retried(task: Task, *, onwards: bool) -> bool:
    """Tell whether a task has ended in a way that trying again makes sense of; with `onwards`, whether it has ended."""
    if task.outcome is None or onwards:
        return task.outcome is not None
    error = task.outcome.error or {}
    return task.outcome.status in {"failed", "cancelled"} or error.get("code") == STOPPED_AT_FAILURE


def is_followed_by_work(task: Task, flow: Flow) -> bool:
    """Tell whether a task that comes after this one, at any distance, is at work."""
    return any(later.is_running for later in _reached(task, flow.followers))


def first_of(tasks: Iterable[Task]) -> list[Task]:
    """Return those tasks that come after none of the others, in their order: doing them again does the others again too."""
    wanted = dict.fromkeys(tasks)
    return [task for task in wanted if wanted.keys().isdisjoint(_reached(task, lambda later: later.after))]


def _reached(task: Task, neighbours: Callable[[Task], Iterable[Task]]) -> set[Task]:
    """Return every task that is found from one by going from neighbour to neighbour, at any distance."""
    found: set[Task] = set()
    waiting = [task]
    while waiting:
        new = set(neighbours(waiting.pop())) - found
        found |= new
        waiting += new
    return found
