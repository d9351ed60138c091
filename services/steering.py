"""What a person may ask of a run while it goes on, or before it goes on again: which tasks are meant."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.executions import Execution
from services.flow import STOPPED_AT_FAILURE, Task

ACTIONS = ("pause", "resume", "cancel", "retry", "accept")


@dataclass(frozen=True)
class Target:
    """Which part of a run is meant; nothing named means all of it.

    `execution` is the id of a step or a task, `step` a step (STEP3) or a task of the plan, `video` a file's name, its stem, its path or
    `project/name`. With `onwards` a step's tasks are meant whatever came of them, and done by force.
    """

    execution: str | None = None
    step: str | None = None
    video: str | None = None
    onwards: bool = False

    def record(self) -> dict[str, Any]:
        """Return the target as an event carries it."""
        return asdict(self)

    @property
    def is_everything(self) -> bool:
        """Whether the whole run is meant."""
        return not (self.execution or self.step or self.video)


def target_from(record: dict[str, Any]) -> Target:
    """Read a target back from an event."""
    return Target(record.get("execution"), record.get("step"), record.get("video"), bool(record.get("onwards")))


def chosen(tasks: Iterable[Task], target: Target, ids_of: Callable[[Task], set[str]]) -> list[Task]:
    """Return the tasks that a target means. `ids_of` gives the ids of a task's attempts and of its step."""
    return [task for task in tasks if _is_meant(task, target, ids_of)]


def _is_meant(task: Task, target: Target, ids_of: Callable[[Task], set[str]]) -> bool:
    if target.execution and target.execution not in ids_of(task):
        return False
    if target.step and target.step.upper() not in {task.stage.id.upper(), task.stage.label.upper()}:
        return False
    return not target.video or _folded(target.video) in _names(task)


def is_row_meant(row: Execution, target: Target) -> bool:
    """Tell whether a target means a recorded task; a run's own row and its steps' are never meant by a name."""
    if row.kind != "task" and (row.kind != "step" or target.video):
        return False
    if target.execution and target.execution not in {row.id, row.parent_execution_id}:
        return False
    if target.step and target.step.upper() not in {str(row.stage).upper(), str(row.step).upper()}:
        return False
    return not target.video or _folded(target.video) in _names_of(str(row.subject), row.project)


def _names(task: Task) -> set[str]:
    return _names_of(task.item.path, task.project)


def _names_of(item: str, owner: str | None) -> set[str]:
    path = Path(item)
    names = {path.name, path.stem, str(path)}
    if owner:
        project = Path(owner).name
        names |= {f"{project}/{path.name}", f"{project}/{path.stem}"}
    return {_folded(name) for name in names}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", os.fspath(text)).casefold()


def can_be_retried(task: Task, *, onwards: bool) -> bool:
    """Tell whether a task has ended in a way that trying again makes sense of; with `onwards`, whether it has ended."""
    if task.outcome is None or onwards:
        return task.outcome is not None
    stopped = task.outcome.status == "skipped" and task.outcome.message == STOPPED_AT_FAILURE
    return task.outcome.status in {"failed", "cancelled"} or stopped


def is_followed_by_work(task: Task) -> bool:
    """Tell whether a task that comes after this one, at any distance, is at work."""
    return any(later.is_running or is_followed_by_work(later) for later in task.needed_by)


def first_of(tasks: Iterable[Task]) -> list[Task]:
    """Return those tasks that come after none of the others: doing them again does the others again too."""
    chosen_tasks = set(tasks)
    return [task for task in chosen_tasks if not any(earlier in chosen_tasks for earlier in _all_before(task))]


def _all_before(task: Task) -> Iterable[Task]:
    waiting, seen = list(task.after), set()
    while waiting:
        earlier = waiting.pop()
        if earlier not in seen:
            seen.add(earlier)
            waiting.extend(earlier.after)
    return seen
