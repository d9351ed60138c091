"""What is to be done, and what may be done now: the graph of tasks of a run, without any process.

A task is one step on one item; items are told apart by their absolute path. A video's task needs the steps before it to
have succeeded on the same video. A project's task waits until every other task of the project has ended, well or not.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from config.catalog import StepSpec
from services.worker import WorkItem

Find = Callable[[StepSpec, str], Iterable[WorkItem]]


@dataclass(frozen=True)
class Outcome:
    """How a task ended: `status` is done, up_to_date, failed or skipped."""

    status: str
    seconds: float = 0.0
    message: str = ""
    error: Mapping[str, str] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether what comes after may build on it."""
        return self.status in {"done", "up_to_date", "would_run"}


@dataclass(eq=False)
class Task:
    """One step on one item: what it still waits for, who waits for it, and in the end its outcome."""

    step: StepSpec
    item: WorkItem
    project: str | None
    needs: set[Task] = field(default_factory=set)
    needed_by: list[Task] = field(default_factory=list)
    is_started: bool = False
    outcome: Outcome | None = None


def waits_for(step_id: str, chosen: Iterable[str], steps: Mapping[str, StepSpec]) -> set[str]:
    """Return the chosen steps that `step_id` waits for, looking through those that were not chosen."""
    chosen_set = set(chosen)
    found: set[str] = set()
    for earlier in steps[step_id].after:
        found |= {earlier} if earlier in chosen_set else waits_for(earlier, chosen_set, steps)
    return found


class Flow:
    """The tasks of a run.

    `find` lists the items of a step in a project. It is asked where the step that brings them is not part of the run.
    """

    def __init__(self, chosen: Sequence[str], steps: Mapping[str, StepSpec], find: Find) -> None:
        self.steps = {step_id: spec for step_id, spec in steps.items() if step_id in set(chosen)}
        self.tasks: dict[tuple[str, str], Task] = {}
        self._before = {step_id: waits_for(step_id, self.steps, steps) for step_id in self.steps}
        self._find = find
        self._open: Counter[str] = Counter()
        self._ready: list[tuple[int, int, Task]] = []
        self._number = count()

    def begin_with_archive(self, item: WorkItem) -> None:
        """Take in an archive. Where STEP1 is not part of the run it stands for the project that was made from it."""
        if "STEP1" in self.steps:
            self._queue(self._add("STEP1", item, None, set()))
        elif item.project:
            self.begin_with_project(item.project)

    def begin_with_project(self, project: str) -> None:
        """Take in a project that is there already, with all its videos."""
        self._add_project(project, None)
        self._add_found("original" if "STEP2" in self.steps else "video", project)
        self._queue(*self._of_project(project))

    def discovered(self, by: Task, item: WorkItem) -> None:
        """Take in an item that a task brought: its tasks wait until that one has ended well."""
        by.project = by.project or item.project
        if by.project:
            self._add_project(by.project, by)
            self._add_item(item, by.project, by)

    def end(self, task: Task, outcome: Outcome) -> list[Task]:
        """Record how a task ended; returns the later tasks that are skipped because of it."""
        task.outcome = outcome
        self._open[task.step.id] -= 1
        if task.step.id == "STEP1" and outcome.is_good and task.project and "STEP2" not in self.steps:
            self._add_project(task.project, task)
            self._add_found("video", task.project)
        skipped: list[Task] = []
        for later in task.needed_by:
            if later.outcome is None:
                skipped += self._release(later, task, outcome)
        return skipped

    def next_ready(self) -> Task | None:
        """Take the next task that may be worked on: of the latest step, so that videos are finished before others begin."""
        while self._ready:
            task = heapq.heappop(self._ready)[2]
            if task.outcome is None and not task.is_started:
                task.is_started = True
                return task
        return None

    def put_back(self, task: Task) -> None:
        """Return a task that could not be worked on after all."""
        task.is_started = False
        self._queue(task)

    def is_over(self) -> bool:
        """Tell whether every task has ended."""
        return not +self._open

    def may_get_more(self, step_id: str) -> bool:
        """Tell whether a step has, or may still be brought, work to do."""
        return self._open[step_id] > 0 or any(self.may_get_more(earlier) for earlier in self._before[step_id])

    def open_tasks(self) -> list[Task]:
        """Return the tasks that have not ended."""
        return [task for task in self.tasks.values() if task.outcome is None]

    def _add_found(self, kind: str, project: str) -> None:
        asked = next((step for step in self.steps.values() if step.item == kind), None)
        for item in self._find(asked, project) if asked else ():
            self._queue(*self._add_item(item, project, None))

    def _add_item(self, item: WorkItem, project: str, brought_by: Task | None) -> list[Task]:
        """Add the tasks of every chosen step that works on this kind of item, each needing those before it."""
        added = []
        for step_id, step in self.steps.items():
            if step.item == item.kind and (step_id, item.path) not in self.tasks:
                earlier = (self.tasks.get((before, item.path)) for before in self._before[step_id])
                needs = {task for task in (brought_by, *earlier) if task is not None and task.outcome is None}
                added.append(self._add(step_id, item, project, needs))
        return added

    def _add_project(self, project: str, brought_by: Task | None) -> None:
        for step_id, step in self.steps.items():
            if step.item == "project" and (step_id, project) not in self.tasks:
                self._add(
                    step_id, WorkItem("project", project, project), project, {brought_by} if brought_by else set()
                )

    def _add(self, step_id: str, item: WorkItem, project: str | None, needs: set[Task]) -> Task:
        task = Task(self.steps[step_id], item, project, set())
        self.tasks[step_id, item.path] = task
        self._open[step_id] += 1
        _link(task, needs)
        if task.step.item != "project":
            for whole in self._of_project(project):
                _link(whole, {task})
        return task

    def _of_project(self, project: str | None) -> list[Task]:
        keys = ((step_id, project or "") for step_id, step in self.steps.items() if step.item == "project")
        return [self.tasks[key] for key in keys if key in self.tasks]

    def _release(self, later: Task, ended: Task, outcome: Outcome) -> list[Task]:
        """Take `ended` off what `later` waits for, and say what is skipped by that."""
        later.needs.discard(ended)
        reason = self._whole_is_lost(later) if later.step.item == "project" else _loss(ended, outcome)
        if reason:
            return [later, *self.end(later, Outcome("skipped", message=reason))]
        self._queue(later)
        return []

    def _whole_is_lost(self, whole: Task) -> str | None:
        """Say why there is no use in a project's task: all its videos were lost on the way."""
        if whole.needs:
            return None
        others = [task for task in self.tasks.values() if task.project == whole.project and task is not whole]
        last = [task for task in others if task.step.id in self._before[whole.step.id]] or others
        lost = all(task.outcome is not None and not task.outcome.is_good for task in last)
        return "no video of the project was finished" if lost else None

    def _queue(self, *tasks: Task) -> None:
        order = list(self.steps)
        for task in tasks:
            if not task.needs and task.outcome is None:
                heapq.heappush(self._ready, (-order.index(task.step.id), next(self._number), task))


def _link(later: Task, needs: set[Task]) -> None:
    later.needs |= needs
    for task in needs:
        task.needed_by.append(later)


def _loss(ended: Task, outcome: Outcome) -> str | None:
    if outcome.is_good:
        return None
    return outcome.message if outcome.status == "skipped" else f"{ended.step.id} failed"
