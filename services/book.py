"""The run as the store knows it: rows for the run, its steps and its tasks, kept as the work goes on.

Changes are collected and written together a few times a second, so that a run of thousands of tasks costs the database
little; what a kill takes with it is known by the steps' own records and found out again.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from services.errors import ServiceError
from services.executions import Event, Execution, Store, new_id, utc_now
from services.flow import Flow, Outcome, Task
from services.stages import Stage
from services.statuses import ACTIVE, check_transition

FLUSH_SECONDS = 0.25
HEARTBEAT_SECONDS = 2.0
REST_SECONDS = 1.0
"""How long a run works on before it tries again to write what it could not: each try may take as long itself."""
LONGEST_LOCK = 60.0
"""Seconds that another process may keep the database before the run gives up: it goes on working meanwhile."""
_MOST_ROWS_WAITING = 5000
_FINAL = frozenset({"counts", "exit_code"})
"""Figures of a run that are true only while it is over."""

_STATUS = {
    "done": "succeeded", "up_to_date": "succeeded", "failed": "failed", "skipped": "skipped", "cancelled": "cancelled",
    "accepted": "accepted",
}  # fmt: skip


class Book:
    """Keeps the rows of one run. All methods are called from the run's own thread."""

    def __init__(self, store: Store, run: Execution) -> None:
        self.run = run
        self._store = store
        self._steps: dict[str, Execution] = {}
        self._tasks: dict[Task, Execution] = {}
        self._attempts: dict[Task, set[str]] = defaultdict(set)
        self._changed: dict[str, Execution] = {}
        self._events: list[Event] = []
        self._numbers = 0
        self._next_flush = 0.0
        self._next_heartbeat = 0.0
        self._locked_since: float | None = None
        self.full: str | None = None
        """What to say of the store's disk when it was full at the last try: what could not be written is kept."""

    def open_steps(self, stages: Iterable[Stage]) -> None:
        """Make a row for each stage that has none yet."""
        for stage in stages:
            if stage.id not in self._steps:
                row = self._new("step", stage, self.run.id)
                row.parameters = {"title": stage.title}
                self._steps[stage.id] = row
                self._change(row)

    def restore_step(self, row: Execution) -> None:
        """Take over a step's row of an earlier supervisor."""
        self._steps[str(row.stage)] = row
        if row.status in {"running", "interrupted"}:
            self._reopen(row)

    def restore(self, task: Task, row: Execution) -> None:
        """Take over a task's row of an earlier supervisor."""
        self._tasks[task] = row
        self._attempts[task].add(row.id)
        if task.outcome is None:
            self._reopen(row)
            self._open_step(task)

    def restore_numbers(self, rows: Iterable[Execution]) -> None:
        """Count on from the rows that are there already."""
        self._numbers = max((row.number for row in rows), default=0) + 1

    def known_as(self, task: Task, row_id: str) -> None:
        """Remember the id of an earlier attempt: a person may still mean the task by it."""
        self._attempts[task].add(row_id)

    def begun(self) -> None:
        """Note that a supervisor took the run up."""
        self.run.ended_at, self.run.error = None, None
        self.run.metrics = {name: value for name, value in self.run.metrics.items() if name not in _FINAL}
        self._say("run_started", self.run, **(self.run.owner or {}))

    def row_of(self, task: Task) -> Execution:
        """Return the row of a task's current attempt."""
        return self._tasks[task]

    def ids_of(self, task: Task) -> set[str]:
        """Return every id a person may mean a task by: of its attempts, and of its step."""
        return {*self._attempts[task], self._steps[task.stage.id].id}

    def added(self, tasks: Iterable[Task]) -> None:
        """Make rows for new tasks, and for new attempts."""
        for task in tasks:
            row = self._new("task", task.stage, self._steps[task.stage.id].id)
            row.item_kind, row.subject, row.project = task.item.kind, task.item.path, task.project
            row.attempt = task.attempt
            row.parameters = {"force": True} if task.force else {}
            row.brought_by = self._tasks[task.brought_by].id if task.brought_by else None
            self._tasks[task] = row
            self._attempts[task].add(row.id)
            self._change(row)
            self._open_step(task)

    def again(self, tasks: Iterable[Task], event: str = "task_retried", **facts: Any) -> None:
        """Note that tasks are to be done again: what was tried gets a new row, what never began keeps its own."""
        for task in tasks:
            row = self._tasks[task]
            if row.attempt != task.attempt:
                self.added([task])
                self._say(event, self._tasks[task], previous=row.id, attempt=task.attempt, **facts)
            else:
                row.parameters = {"force": True} if task.force else {}
                self._reopen(row)
            self._open_step(task)

    def started(self, task: Task, log_path: str | None) -> None:
        """Note that a task is being worked on."""
        row, step = self._tasks[task], self._steps[task.stage.id]
        for begun in (step, row):
            if begun.status == "queued":
                self._become(begun, "running")
                begun.started_at = begun.started_at or utc_now()
                self._say(f"{begun.kind}_started", begun, subject=begun.subject)
        row.log_path = log_path
        row.project = task.project

    def progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:
        """Note how far a task is."""
        row = self._tasks[task]
        row.done, row.total, row.unit, row.message = _finite(done), _finite(total), unit, message
        self._change(row)

    def artefact(self, task: Task, artefact: Mapping[str, Any]) -> None:
        """Note what a task made."""
        row = self._tasks[task]
        row.artefacts = [*row.artefacts, dict(artefact)]
        self._change(row)

    def warning(self, task: Task | None, facts: Mapping[str, Any]) -> None:
        """Note a worker's warning."""
        self._say("warning", self._tasks[task] if task else self.run, **facts)

    def left_out(self, files: Mapping[str, Any]) -> None:
        """Note which delivered files were found and are not taken in: how many, and the first ones by name."""
        self.run.metrics = {**self.run.metrics, "left_out": dict(files)}
        self._change(self.run)

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Note how a task ended. Beside the step's own figures stands the item's size: what takes how long depends on it."""
        row = self._tasks[task]
        row.project = task.project
        row.outcome, row.message, row.seconds = outcome.status, outcome.message, _finite(outcome.seconds)
        row.error = dict(outcome.error) if outcome.error else None
        row.metrics = {**outcome.metrics, **({"item_bytes": task.item.size} if task.item.size else {})}
        row.ended_at = utc_now()
        status = _STATUS[outcome.status]
        if status == "succeeded" and row.status == "queued":
            self._become(row, "running")  # its step did not say when it began
        self._become(row, status)
        self._say("task_ended", row, subject=row.subject, outcome=outcome.status, error=row.error)

    def accepted(self, task: Task) -> None:
        """Note that a person takes a failure as it is."""
        row = self._tasks[task]
        row.outcome = "accepted"
        self._become(row, "accepted")
        self._say("task_accepted", row, subject=row.subject)

    def put_back(self, task: Task) -> None:
        """Note that a task was taken from its worker and waits again."""
        row = self._tasks[task]
        if row.status == "running":
            self._become(row, "interrupted")
            self._become(row, "queued")
            row.started_at, row.done = None, 0.0

    def held(self, code: str | None, message: str = "") -> None:
        """Note that the run starts nothing new, and why; or, without a code, that it goes on."""
        self.run.held = {"code": code, "message": message} if code else None
        self._say("run_held" if code else "run_released", self.run, **(self.run.held or {}))

    def workers(self, identities: list[dict[str, Any]], event: str, facts: Mapping[str, Any]) -> None:
        """Note which processes work for the run; at once, so that none is forgotten if this one dies."""
        self.run.workers = identities
        self._say(event, self.run, **facts)
        self.flush(must=False)

    def seen_request(self, event_id: int) -> None:
        """Note the last request that was dealt with."""
        self.run.requests_seen = event_id
        self._change(self.run)

    def step_counts(self, flow: Flow) -> None:
        """Note which steps are over, and how they ended."""
        statuses: dict[str, set[str]] = {stage_id: set() for stage_id in self._steps}
        for task in flow.tasks.values():
            statuses[task.stage.id].add(task.outcome.status if task.outcome else "open")
        for stage_id, row in self._steps.items():
            if not flow.may_get_more(stage_id) and row.status in ACTIVE:
                self._end_step(row, statuses[stage_id])

    def _end_step(self, row: Execution, statuses: set[str]) -> None:
        if "failed" in statuses:
            status = "failed"
        elif statuses <= {"skipped"}:
            status = "skipped"
        else:
            status = "cancelled" if statuses <= {"cancelled", "skipped"} else "succeeded"
        if status in {"failed", "succeeded"} and row.status == "queued":
            self._become(row, "running")
        self._become(row, status)
        row.ended_at = utc_now()
        self._say("step_ended", row, status=status)

    def interrupted(self) -> None:
        """Note that steps and tasks were cut short."""
        for row in (*self._steps.values(), *self._tasks.values()):
            if row.status == "running":
                self._become(row, "interrupted")

    def finish(self, status: str, seconds: float, error: Mapping[str, str] | None, metrics: Mapping[str, Any]) -> None:
        """Record how the run ended. Raises ServiceError when that cannot be written."""
        self.run.seconds += seconds
        self.run.error = dict(error) if error else None
        self.run.metrics = {**self.run.metrics, **metrics}
        self.run.ended_at = utc_now()
        self.run.workers, self.run.held = [], None
        self._become(self.run, status)
        self._say("run_ended", self.run, status=status)
        while not self.flush(must=True):
            pass  # every try waits for its turn, and the last one raises

    def tick(self) -> None:
        """Write what has changed, if it is time. Raises ServiceError when the store cannot be written any more."""
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            self.run.heartbeat_at = utc_now()
            self._change(self.run)
        if now >= self._next_flush or len(self._changed) > _MOST_ROWS_WAITING:
            self.flush(must=False)

    def flush(self, *, must: bool) -> bool:
        """Write what has changed; False when another process keeps the database, or its disk is full: then it is kept.

        Raises ServiceError when a lock lasts too long, when the store cannot be written at all and, if it `must` be, when
        its disk is full.
        """
        now = time.monotonic()
        if not (self._changed or self._events):
            return True
        if not must and (self._locked_since or self.full) and now < self._next_flush:
            return False
        try:
            self._store.save(self._changed.values(), self._events)
        except ServiceError as error:
            self._not_written(error, must)
            self._next_flush = time.monotonic() + REST_SECONDS
            return False
        self._next_flush = now + FLUSH_SECONDS
        self._locked_since, self.full = None, None
        self._changed, self._events = {}, []
        return True

    def _not_written(self, error: ServiceError, must: bool) -> None:
        """Take note of why something could not be written; raise what does not pass by itself."""
        if error.code == "disk_full" and not must:
            self.full = error.message
        elif error.code == "database_locked":
            self._locked_since = self._locked_since or time.monotonic()
            if time.monotonic() - self._locked_since > LONGEST_LOCK:
                raise _locked_too_long() from error
        else:
            raise error

    def _new(self, kind: str, stage: Stage, parent: str) -> Execution:
        number = self._numbers
        self._numbers += 1
        return Execution(
            id=new_id(), parent_execution_id=parent, run_id=self.run.id, kind=kind, number=number, stage=stage.id,
            step=stage.spec.id if stage.spec else None, queued_at=utc_now(), status="queued",
        )  # fmt: skip

    def _become(self, row: Execution, status: str) -> None:
        check_transition(row.kind, row.status, status)
        row.status = status
        self._change(row)

    def _reopen(self, row: Execution) -> None:
        if row.status != "queued":
            self._become(row, "queued")
            row.ended_at, row.outcome, row.error = None, None, None

    def _open_step(self, task: Task) -> None:
        """A step that was over has something to do again."""
        step = self._steps[task.stage.id]
        if step.status != "running":
            self._reopen(step)

    def _change(self, row: Execution) -> None:
        self._changed[row.id] = row

    def _say(self, event: str, row: Execution, **facts: Any) -> None:
        self._change(row)
        self._events.append(Event(run_id=self.run.id, execution_id=row.id, at=utc_now(), event=event, data=facts))


def _finite(number: float) -> float:
    """Return a number that came from a worker; what is none counts as 0."""
    return float(number) if math.isfinite(number) else 0.0


def _locked_too_long() -> ServiceError:
    return ServiceError(
        "database_locked",
        f"Another process kept the database for more than {LONGEST_LOCK:.0f} s.",
        "End what holds it (a backup, a shell with an open transaction), then `derush resume`: finished work is kept.",
    )
