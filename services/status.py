"""The global status of a run: how far it is, what each step is at, what failed, how long it will take.

While a run goes on, what is said of it and of its steps is made up from its tasks; when it is over, from what was
recorded. Nothing is asked that grows with the number of tasks but a few counts in the database.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from services import estimates
from services.estimates import Tally
from services.executions import Execution, Store
from services.history import Again
from services.models import Event
from services.plans import Plan
from services.responses import AtWork, Failure, GlobalStatus, ItemFailure, Reason, RunWarning, StepStatus
from services.stages import Stage, closure, stages_of
from services.statuses import ACTIVE, SETTLED
from services.survival import elapsed_seconds

MOST_ITEMS = 10
"""Of each step, how many tasks at work and how many failures are told one by one; of a run, how many warnings."""


@dataclass(frozen=True)
class _Facts:
    """What the store knows of a run, all by stage but the run itself."""

    run: Execution
    stages: Mapping[str, Stage]
    rows: Mapping[str, Execution]
    tallies: Mapping[str, Tally]
    tasks: Mapping[str, list[Execution]]

    @property
    def is_active(self) -> bool:
        return self.run.status in ACTIVE


def global_status(store: Store, execution_id: str, now: str | None = None) -> GlobalStatus:
    """Return the status of a run, or of the run that a step or task is part of. `now` is the time, by default this moment.

    Raises ServiceError no_such_execution.
    """
    facts = _facts(store, execution_id)
    run = facts.run
    declared = {stage.spec.id: stage.spec.cost for stage in facts.stages.values() if stage.spec}
    known = declared | (store.mean_seconds(declared) if facts.is_active else {})
    steps = {stage.id: stage.spec.id if stage.spec else None for stage in facts.stages.values()}
    weights = estimates.weights(facts.tallies, steps, known)
    elapsed = elapsed_seconds(run, now)
    counts = Counter[str]()
    for own in facts.tallies.values():
        counts.update(own.counts)
    attempts = sum(own.further for own in facts.tallies.values())
    again = store.done_again(run.id) if attempts else Again(0, 0)
    warned = store.events_after(run.id, 0, MOST_ITEMS, names=["warning"])
    return GlobalStatus(
        execution_id=run.id,
        status=run.status,
        objective=run.plan["objective"] if run.plan else run.message,
        workflow=run.plan["workflow"] if run.plan else None,
        progress=estimates.as_told(estimates.progress(facts.tallies, weights), run.status),
        held=Reason(**_texts(run.held, "code", "message")) if run.held else None,
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        heartbeat_at=run.heartbeat_at,
        elapsed_seconds=elapsed,
        remaining_seconds=_remaining(facts, weights, elapsed),
        counts=dict(counts),
        attempts=attempts,
        retried=again.retried,
        redone=again.redone,
        steps=tuple(_step(stage, facts, weights[stage.id]) for stage in facts.stages.values()),
        warnings=tuple(map(_warning, warned)),
        warning_count=store.count_events(run.id, "warning") if len(warned) == MOST_ITEMS else len(warned),
        error=Failure(**_failure(run)) if run.error else None,
    )


def _facts(store: Store, execution_id: str) -> _Facts:
    run = store.run_of(execution_id)
    stages = stages_of(Plan.from_record(run.plan)) if run.plan else {}
    figures = defaultdict(list)
    for part in store.figures(run.id):
        figures[part.stage].append(part)
    tallies = {stage_id: estimates.tally(figures[stage_id]) for stage_id in stages}
    tasks = defaultdict(list)
    for task in store.tasks(run.id, status=("running", "failed"), most=MOST_ITEMS):
        tasks[str(task.stage)].append(task)
    rows = {str(row.stage): row for row in store.steps(run.id)}
    return _Facts(run, stages, rows, estimates.with_expected(tallies, stages), tasks)


def _remaining(facts: _Facts, weights: Mapping[str, float], elapsed: float) -> float | None:
    """Return the seconds left; None where nobody knows them: before a run begins, while it is held, when it was cut short."""
    if facts.run.status == "running" and not facts.run.held:
        return estimates.remaining_seconds(facts.tallies, weights, elapsed)
    return 0.0 if facts.run.status in SETTLED else None


def _step(stage: Stage, facts: _Facts, mean: float) -> StepStatus:
    row, own, tasks = facts.rows.get(stage.id), facts.tallies[stage.id], facts.tasks.get(stage.id, [])
    return StepStatus(
        execution_id=row.id if row else None,
        stage=stage.id,
        step=stage.spec.id if stage.spec else None,
        title=stage.title,
        status=_status(stage, row, facts),
        is_check=stage.is_check,
        progress=own.progress,
        done=own.over,
        total=own.total,
        counts=dict(own.counts),
        running=tuple(_at_work(task) for task in tasks if task.status == "running"),
        seconds=own.seconds,
        remaining_seconds=_step_remaining(facts, own, mean),
        started_at=row.started_at if row else None,
        ended_at=row.ended_at if row else None,
        errors=tuple(_item_failure(task) for task in tasks if task.status == "failed"),
        error_count=own.counts.get("failed", 0),
    )


def _step_remaining(facts: _Facts, own: Tally, mean: float) -> float | None:
    """Return the seconds a step's tasks still take, as many side by side as are at work now; None where nobody knows."""
    if not own.left or not facts.is_active:
        return 0.0
    if facts.run.held or not own.counts.get("running"):
        return None
    return own.left * mean / own.counts["running"]


def _status(stage: Stage, row: Execution | None, facts: _Facts) -> str:
    """Return what a step is at: what was recorded of it, but what its tasks say while the run goes on."""
    own = facts.tallies[stage.id]
    recorded = row.status if row else "queued"
    if not facts.is_active or not own.counts:
        return recorded
    open_before = any(facts.tallies[earlier].left for earlier in closure(stage.id, facts.stages))
    if own.counts.get("running"):
        return "running"
    if own.left or open_before:
        return "running" if own.over else "queued"
    ended = set(own.counts)
    if "failed" in ended:
        return "failed"
    if ended <= {"skipped", "cancelled"}:
        return "skipped" if ended == {"skipped"} else "cancelled"
    return "succeeded"


def _at_work(task: Execution) -> AtWork:
    return AtWork(
        execution_id=task.id,
        subject=task.subject or "",
        project=task.project,
        done=_finite(task.done),
        total=_finite(task.total),
        unit=task.unit,
        message=task.message,
        started_at=task.started_at,
        attempt=task.attempt,
    )


def _item_failure(task: Execution) -> ItemFailure:
    return ItemFailure(execution_id=task.id, subject=task.subject or "", project=task.project, **_failure(task))


def _warning(event: Event) -> RunWarning:
    step, item = event.data.get("step"), event.data.get("item")
    return RunWarning(
        **_texts(event.data, "code", "message"), step=str(step) if step else None, subject=str(item) if item else None
    )


def _failure(row: Execution) -> dict[str, str]:
    return _texts(row.error or {}, "code", "message", "remedy")


def _texts(record: Mapping[str, object], *names: str) -> dict[str, str]:
    """Take texts from a record that a step's own words may be part of."""
    return {name: str(record.get(name, "")) for name in names}


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
