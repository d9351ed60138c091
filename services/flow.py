"""What is to be done, and what may be done now: the graph of tasks of a run, without any process.

A task is one stage on one item; items are told apart by their absolute path. A video's task needs the stages before it to
have succeeded on the same video. A project's task waits until every earlier task of the project has ended, well or not. A
command waits until the stages before it are over. The graph grows while items are discovered.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from config.catalog import StepSpec
from services.items import WorkItem
from services.stages import Stage, closure, downstream, nearest_steps

Find = Callable[[StepSpec, str], Iterable[WorkItem]]

STOPPED_AT_FAILURE = "stopped_at_failure"
"""The code of an outcome: skipped, with nothing against the task itself, because another failed first."""
_DONE = frozenset({"done", "up_to_date"})
_GOOD = _DONE | {"accepted"}


@dataclass(frozen=True)
class Outcome:
    """How a task ended: `status` is done, up_to_date, failed, skipped, cancelled or accepted."""

    status: str
    seconds: float = 0.0
    message: str = ""
    error: Mapping[str, str] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether what comes after may build on it."""
        return self.status in _GOOD


@dataclass(eq=False)
class Task:
    """One stage on one item: what it comes after, what of that it still waits for, and in the end its outcome."""

    stage: Stage
    item: WorkItem
    project: str | None
    number: int
    # The graph itself is left out of what stands in an unexpected error: from one task it leads to all others.
    brought_by: Task | None = field(default=None, repr=False)
    after: dict[Task, None] = field(default_factory=dict, repr=False)
    needs: set[Task] = field(default_factory=set, repr=False)
    needed_by: list[Task] = field(default_factory=list, repr=False)
    attempt: int = 1
    force: bool = False
    is_running: bool = False
    outcome: Outcome | None = None

    @property
    def loss(self) -> str | None:
        """Why what comes after cannot be done, if this task ended badly."""
        if self.outcome is None or self.outcome.is_good or self.stage.is_optional:
            return None
        if self.outcome.status == "skipped":
            return self.outcome.message
        return f"{self.stage.label} {'was cancelled' if self.outcome.status == 'cancelled' else 'failed'}"

    @property
    def accepted(self) -> list[str]:
        """The paths of earlier items that a person took as they are, failed."""
        ended = (earlier for earlier in self.after if earlier.outcome and earlier.outcome.status == "accepted")
        return sorted({earlier.item.path for earlier in ended})

    @property
    def is_whole(self) -> bool:
        """Whether it is about a project as a whole."""
        return self.item.kind == "project"


def _lacked(later: Task, outcome: Outcome) -> bool:
    """Tell whether a task that ended would do more with a failure before it accepted: a project was done without that video."""
    return outcome.status == "skipped" or (later.is_whole and outcome.status in _DONE)


class Flow:
    """The tasks of a run.

    `find` lists the items of a step in a project. It is asked where the step that brings them is not part of the run.
    `added` are the tasks that are new since whoever keeps account of them emptied it.
    """

    def __init__(self, stages: Mapping[str, Stage], find: Find, *, force: bool = False) -> None:
        self.stages = dict(stages)
        self.tasks: dict[tuple[str, str], Task] = {}
        self.added: list[Task] = []
        self._find = find
        self._force = force
        self._nearest = {stage_id: nearest_steps(stage_id, stages) for stage_id in stages}
        self._closure = {stage_id: closure(stage_id, stages) for stage_id in stages}
        self._open: Counter[str] = Counter()
        self._ready: dict[str, list[tuple[int, int, int, Task]]] = {stage_id: [] for stage_id in stages}
        self._waiting: Counter[str] = Counter()
        self._projects: dict[str | None, int] = {}
        self._of_project: dict[str, list[Task]] = {}
        self._wholes: dict[str, list[Task]] = {}
        self._commands = [
            self._add(stage, WorkItem("command", stage.id), None, None)
            for stage in self.stages.values()
            if stage.spec is None
        ]

    def begin_with_archive(self, item: WorkItem, begin: Iterable[str] | None = None) -> None:
        """Take in an archive. Where STEP1 is not part of the run it stands for the project that was made from it."""
        wanted = self._wanted(begin)
        if any(self.stages[stage_id].item_kind == "archive" for stage_id in wanted):
            self._add_item(item, None, None, wanted)
        elif item.project:
            self.begin_with_project(item.project, begin)

    def begin_with_project(self, project: str, begin: Iterable[str] | None = None) -> None:
        """Take in a project that is there already, with all its videos."""
        self._projects.setdefault(project, len(self._projects))
        wanted = self._wanted(begin)
        kinds = {self.stages[stage_id].item_kind for stage_id in wanted}
        self._add_found("original" if "original" in kinds else "video", project, wanted)
        self._add_project(project, None, wanted)

    def begin_with_video(self, item: WorkItem, begin: Iterable[str] | None = None) -> None:
        """Take in one video of a project that is there already."""
        wanted = self._wanted(begin)
        self._add_item(item, item.project, None, wanted)
        if item.project:
            self._add_project(item.project, None, wanted)

    def start(self) -> None:
        """Let what waits for nothing begin: once, when everything to begin with was taken in."""
        self._release_commands()

    def discovered(self, by: Task, item: WorkItem) -> None:
        """Take in an item that a task brought: its tasks wait until that one has ended well."""
        by.project = by.project or item.project
        if by.project:
            wanted = downstream([by.stage.id], self.stages)
            self._add_item(item, by.project, by, wanted)
            self._add_project(by.project, by, wanted)

    def restore(self, stage_id: str, item: WorkItem, project: str | None, brought_by: Task | None) -> Task:
        """Take in a task that an earlier supervisor of the run had, in the order in which it had them.

        Whoever restores sets what is known of it with `restored`, and calls `go_on` when all are there.
        """
        return self.tasks.get((stage_id, item.path)) or self._add(
            self.stages[stage_id], item, project, brought_by, settle=False
        )

    def restored(self, task: Task, *, attempt: int, force: bool, outcome: Outcome | None) -> None:
        """Set how far a restored task was."""
        task.attempt, task.force = attempt, task.force or force
        if outcome and task.outcome is None:
            self._close(task, outcome)

    def go_on(self) -> None:
        """After restoring: let what is open wait for what is open, and no more."""
        self.added.clear()
        for task in self.tasks.values():
            task.needs = {earlier for earlier in task.after if earlier.outcome is None}
        for task in list(self.tasks.values()):
            if task.outcome is None and task.stage.spec:
                self._settle(task)

    def end(self, task: Task, outcome: Outcome) -> list[Task]:
        """Record how a task ended; returns the later tasks that ended because of it, skipped."""
        self._close(task, outcome)
        if task.item.kind == "archive" and outcome.is_good and task.project:
            self._take_what_was_there(task.project, task)
        skipped: list[Task] = []
        for later in task.needed_by:
            later.needs.discard(task)
            if later.outcome is None:
                skipped += self._settle(later)
        if not self._open[task.stage.id]:
            skipped += self._release_commands()
        return skipped

    def redo(self, task: Task, *, force: bool) -> list[Task]:
        """Do an ended task again, and all that comes after it; returns the tasks that are open again."""
        return self._open_again([task], force=force)

    def accept(self, task: Task) -> list[Task]:
        """Take a failure as it is: what was skipped because of it, or done without it, is open again, and returned."""
        assert task.outcome is not None
        task.outcome = replace(task.outcome, status="accepted")
        lacking = [later for later in self.followers(task) if later.outcome and _lacked(later, later.outcome)]
        return self._open_again(lacking, force=False)

    def _open_again(self, tasks: Iterable[Task], *, force: bool) -> list[Task]:
        reopened: list[Task] = []
        for task in tasks:
            self._reopen(task, reopened)
        for again in reopened:
            again.force = again.force or force
            again.needs = {earlier for earlier in again.after if earlier.outcome is None}
        for again in reopened:
            if again.outcome is None and again.stage.spec:
                self._settle(again)
        self._release_commands()
        return reopened

    def followers(self, task: Task) -> list[Task]:
        """Return what comes right after a task: the tasks that need it, and every command that its stage comes before."""
        commands = [other for other in self._commands if task.stage.id in self._closure[other.stage.id]]
        return [*task.needed_by, *commands]

    def next_ready(self, stage_id: str) -> Task | None:
        """Take a stage's next task that may be worked on: project by project, the larger items first."""
        ready = self._ready[stage_id]
        while ready:
            task = heapq.heappop(ready)[-1]
            self._waiting[stage_id] -= task.item.size
            if self._may_begin(task):
                task.is_running = True
                return task
        return None

    def ready_count(self, stage_id: str) -> int:
        """Return how many tasks of a stage may be worked on; a few of them may turn out not to."""
        return len(self._ready[stage_id])

    def waiting_bytes(self, stage_id: str) -> int:
        """Return the size of a stage's items that may be worked on, in bytes; as exact as `ready_count`."""
        return self._waiting[stage_id]

    def put_back(self, task: Task) -> None:
        """Return a task that could not be worked on after all, or that is to be tried again."""
        task.is_running = False
        self._queue(task)

    def projects(self) -> list[str]:
        """Return the projects that the run is about, by path."""
        return sorted(project for project in self._projects if project)

    def is_over(self) -> bool:
        """Tell whether every task has ended."""
        return not +self._open

    def may_get_more(self, stage_id: str) -> bool:
        """Tell whether a stage has, or may still be brought, work to do."""
        return self._open[stage_id] > 0 or any(self._open[earlier] > 0 for earlier in self._closure[stage_id])

    def open_tasks(self) -> list[Task]:
        """Return the tasks that have not ended."""
        return [task for task in self.tasks.values() if task.outcome is None]

    def _wanted(self, begin: Iterable[str] | None) -> frozenset[str]:
        roots = begin if begin is not None else (s.id for s in self.stages.values() if s.spec and not s.before)
        return downstream(roots, self.stages)

    def _add_found(self, kind: str, project: str, wanted: frozenset[str], brought_by: Task | None = None) -> None:
        stages = (self.stages[stage_id] for stage_id in self.stages if stage_id in wanted)
        asked = next((stage.spec for stage in stages if stage.spec and stage.spec.item == kind), None)
        for item in self._find(asked, project) if asked else ():
            self._add_item(item, project, brought_by, wanted)

    def _take_what_was_there(self, project: str, task: Task) -> None:
        """Where STEP2 is not part of the run, an archive brings the proxies that its project has already."""
        wanted = downstream([task.stage.id], self.stages)
        if not any(self.stages[stage_id].item_kind == "original" for stage_id in wanted):
            self._add_project(project, task, wanted)
            self._add_found("video", project, wanted, task)

    def _add_item(self, item: WorkItem, project: str | None, brought_by: Task | None, wanted: frozenset[str]) -> None:
        """Add the tasks of every wanted stage that works on this kind of item, each after those before it."""
        for stage in self.stages.values():
            is_new = (stage.id, item.path) not in self.tasks
            if stage.id in wanted and stage.spec and stage.item_kind == item.kind and is_new:
                self._add(stage, item, project, brought_by)

    def _add_project(self, project: str, brought_by: Task | None, wanted: frozenset[str]) -> None:
        self._add_item(WorkItem("project", project, project), project, brought_by, wanted)

    def _add(
        self, stage: Stage, item: WorkItem, project: str | None, brought_by: Task | None, *, settle: bool = True
    ) -> Task:
        task = Task(stage, item, project, len(self.tasks), brought_by, force=self._force and stage.spec is not None)
        self.tasks[stage.id, item.path] = task
        self.added.append(task)
        self._open[stage.id] += 1
        if stage.spec:
            self._link(task, self._earlier(task))
        if project is not None:
            self._projects.setdefault(project, len(self._projects))
            self._of_project.setdefault(project, []).append(task)
            wholes = self._wholes.setdefault(project, [])
            for whole in wholes:
                if whole.outcome is None and task.stage.id in self._closure[whole.stage.id]:
                    self._link(whole, [task])
            if task.is_whole:
                wholes.append(task)
        if stage.spec and settle:
            self._settle(task)
        return task

    def _earlier(self, task: Task) -> Iterator[Task]:
        """Find what a new task comes after: what brought it, its item's earlier stages, the commands before it."""
        yield from (task.brought_by,) if task.brought_by else ()
        nearest = self._nearest[task.stage.id]
        if task.is_whole:
            before = self._closure[task.stage.id]
            yield from (other for other in self._of_project.get(task.project or "", ()) if other.stage.id in before)
        else:
            found = (self.tasks.get((stage_id, task.item.path)) for stage_id in nearest)
            yield from (other for other in found if other)
        commands = (self.tasks.get((stage_id, stage_id)) for stage_id in task.stage.before)
        yield from (command for command in commands if command)

    def _link(self, later: Task, earlier: Iterable[Task]) -> None:
        for task in earlier:
            if task not in later.after:
                later.after[task] = None
                task.needed_by.append(later)
                if task.outcome is None:
                    later.needs.add(task)

    def _settle(self, task: Task) -> list[Task]:
        """Skip a waiting task if it cannot be done any more, queue it if it may begin; returns what was skipped."""
        reason = self._whole_is_lost(task) if task.is_whole else next((e.loss for e in task.after if e.loss), None)
        if reason:
            return [task, *self.end(task, Outcome("skipped", message=reason))]
        self._queue(task)
        return []

    def _whole_is_lost(self, whole: Task) -> str | None:
        """Say why there is no use in a project's task: all its videos were lost on the way, or a command before it."""
        if whole.needs:
            return None
        commands = (task.loss for task in whole.after if task.stage.spec is None)
        if reason := next((loss for loss in commands if loss), None):
            return reason
        others = [task for task in whole.after if task.stage.spec is not None]
        last = [task for task in others if task.stage.id in self._nearest[whole.stage.id]] or others
        lost = bool(last) and all(task.outcome is not None and not task.outcome.is_good for task in last)
        return "no video of the project was finished" if lost else None

    def _release_commands(self) -> list[Task]:
        """Queue the commands whose time has come, or skip them; returns what was skipped."""
        skipped: list[Task] = []
        for task in self._commands:
            due = task.outcome is None and not task.is_running and not self._is_expected(task.stage.before)
            if due and (reason := self._command_is_lost(task.stage)):
                skipped += [task, *self.end(task, Outcome("skipped", message=reason))]
            elif due:
                self._queue(task)
        return skipped

    def _is_expected(self, stage_ids: Iterable[str]) -> bool:
        return any(self.may_get_more(stage_id) for stage_id in stage_ids)

    def _command_is_lost(self, stage: Stage) -> str | None:
        earlier = [task for task in self.tasks.values() if task.stage.id in stage.before]
        bad = [task for task in earlier if task.outcome and not task.outcome.is_good]
        if stage.is_check:
            work = [task for task in earlier if not task.stage.is_check]
            return "there is nothing to check" if not work else _not_done(len(bad)) if bad else None
        losses = [task.loss for task in bad if task.loss]
        return losses[0] if losses and len(losses) == len(earlier) else None

    def _reopen(self, task: Task, reopened: list[Task]) -> None:
        """Open an ended task and what follows it again. Only what was tried before is a new attempt."""
        if task.outcome is None:
            return
        task.attempt += task.outcome.status in {"done", "up_to_date", "failed", "accepted"}
        task.outcome, task.is_running = None, False
        self._open[task.stage.id] += 1
        reopened.append(task)
        for later in self.followers(task):
            self._reopen(later, reopened)

    def _close(self, task: Task, outcome: Outcome) -> None:
        task.outcome, task.is_running = outcome, False
        self._open[task.stage.id] -= 1

    def _may_begin(self, task: Task) -> bool:
        """Tell whether nothing is in the way of a task; what a command comes after may have been opened again."""
        if task.needs or task.outcome is not None or task.is_running:
            return False
        return task.stage.spec is not None or not self._is_expected(task.stage.before)

    def _queue(self, task: Task) -> None:
        if not self._may_begin(task):
            return
        order = self._projects.get(task.project, 0)
        heapq.heappush(self._ready[task.stage.id], (order, -task.item.size, task.number, task))
        self._waiting[task.stage.id] += task.item.size


def _not_done(count: int) -> str:
    return f"{count} task{' was' if count == 1 else 's were'} not done"
