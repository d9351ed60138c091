"""What is told of a run while it goes on and when it is over, in three kinds: `progress`, `error`, `complete`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.executions import Event, Execution
from services.history import Figures
from services.responses import AtWork, GlobalStatus, Status, StepStatus
from services.statuses import ENDED

SOURCES = ("task_ended", "task_retried", "run_ended")
"""The events of the history that errors are read from."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StepAtHand(_Told):
    """A step that is at work: `current` of `total` items have ended, and the file it works on, or one of them.

    `message` says how far the file is.
    """

    step: str
    title: str
    current: int = Field(ge=0)
    total: int = Field(ge=0)
    filename: str
    message: str
    progress: float = Field(ge=0, le=1)


class RunProgress(StepAtHand):
    """`progress`: how far a run is. `step` to `message` are of the first step at work, `steps` are all of them.

    While none is at work they are of the next one, and `message` says what the run waits for. `progress` is of the whole
    run; `remaining_seconds` is null while nobody knows it.
    """

    execution_id: str
    status: Status
    objective: str
    remaining_seconds: float | None = Field(ge=0)
    steps: tuple[StepAtHand, ...]


class RunError(_Told):
    """`error`: work on a file failed for good, or (without `filename`) the run could not be carried out at all."""

    execution_id: str
    run_id: str
    step: str | None
    filename: str | None
    project: str | None
    code: str
    message: str
    remedy: str


class RunCounts(_Told):
    """What a run came to. `scanned` files were found where it began, `left_out` of them were not taken in, by size or kind.

    `matched` are the delivered files that were given their project without being asked about; null where none came in.
    `done` to `accepted` count tasks, a step on an item each. `left_for_a_person` are those that wait for somebody to do
    something about them.
    """

    scanned: int = Field(ge=0)
    matched: int | None = Field(ge=0)
    left_out: int = Field(ge=0)
    done: int = Field(ge=0)
    up_to_date: int = Field(ge=0)
    failed: int = Field(ge=0)
    skipped: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    accepted: int = Field(ge=0)
    left_for_a_person: int = Field(ge=0)


class RunEnding(_Told):
    """`complete`: a run is over, well or not; `message` says why it could not be carried out, if so."""

    execution_id: str
    status: Status
    objective: str
    counts: RunCounts
    seconds: float = Field(ge=0)
    message: str


def progress_of(status: GlobalStatus) -> RunProgress:
    """Return how far a run is."""
    at_work = tuple(_at_hand(step, step.running[0]) for step in status.steps if step.running)
    first = at_work[0] if at_work else _next(status)
    return RunProgress(
        **{**first.model_dump(), "progress": status.progress},
        execution_id=status.execution_id,
        status=status.status,
        objective=status.objective,
        remaining_seconds=None if status.remaining_seconds is None else round(status.remaining_seconds),
        steps=at_work,
    )


def _next(status: GlobalStatus) -> StepAtHand:
    """Return the first step that is not over, with what it waits for."""
    waits = status.held.message if status.held else {"queued": "waits for its turn"}.get(status.status, "")
    for step in status.steps:
        if step.status not in ENDED:
            return _at_hand(step, None, waits)
    return StepAtHand(step="", title="", current=0, total=0, filename="", message=waits, progress=0.0)


def _at_hand(step: StepStatus, task: AtWork | None, message: str = "") -> StepAtHand:
    return StepAtHand(
        step=step.step or step.stage,
        title=step.title,
        current=step.done,
        total=step.total,
        filename=Path(task.subject).name if task and step.step else "",
        message=_how_far(task) if task else message,
        progress=step.progress,
    )


def _how_far(task: AtWork) -> str:
    if task.message or not task.done:
        return task.message
    return f"{task.done:.0f} of {task.total:.0f} {task.unit}" if task.total else f"{task.done:.0f} {task.unit}"


def ending_of(status: GlobalStatus, run: Execution, figures: Iterable[Figures]) -> RunEnding:
    """Return what a run that is over came to. `figures` are those of its tasks."""
    return RunEnding(
        execution_id=status.execution_id,
        status=status.status,
        objective=status.objective,
        counts=_counts(status, _left_out(run), list(figures)),
        seconds=status.elapsed_seconds,
        message=f"{status.error.message} {status.error.remedy}" if status.error else "",
    )


def _counts(status: GlobalStatus, left_out: int, figures: list[Figures]) -> RunCounts:
    checks = {step.stage for step in status.steps if step.is_check}
    entries = {step.stage for step in status.steps[:1]}
    outcomes = Counter[str]()
    for part in figures:
        outcomes[part.outcome or part.status] += 0 if part.stage in checks else part.count
    came_in = any(step.step == "STEP1" for step in status.steps[:1])
    matched = sum(part.count for part in figures if part.stage in entries and part.status == "succeeded")
    named = ("done", "up_to_date", "failed", "skipped", "cancelled", "accepted")
    return RunCounts(
        scanned=sum(part.count for part in figures if part.stage in entries) + left_out,
        matched=matched if came_in else None,
        left_out=left_out,
        left_for_a_person=sum(part.count for part in figures if part.status == "failed"),
        **{name: outcomes[name] for name in named},
    )


def _left_out(run: Execution) -> int:
    return int(run.metrics.get("left_out", {}).get("count", 0))


def failures_in(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events that tell a failure for good: work that will be tried again by itself has not failed yet.

    `events` are all there are of SOURCES: that a task is tried again is said right after its end, in the same transaction.
    """
    failed: Event | None = None
    for event in events:
        if failed and not _is_tried_again(failed, event):
            yield failed
        failed = event if _is_failure(event) else None
    if failed:
        yield failed


def _is_tried_again(failed: Event, then: Event) -> bool:
    return then.event == "task_retried" and then.data.get("previous") == failed.execution_id and "delay" in then.data


def _is_failure(event: Event) -> bool:
    ended_badly = event.data.get("outcome" if event.event == "task_ended" else "status") == "failed"
    return event.event in {"task_ended", "run_ended"} and ended_badly


def error_of(row: Execution, error: Mapping[str, Any]) -> RunError:
    """Return what is told of a task that failed, or of a run."""
    return RunError(
        execution_id=row.id,
        run_id=row.run_id,
        step=row.step or row.stage,
        filename=Path(row.subject).name if row.subject else None,
        project=Path(row.project).name if row.project else None,
        **{name: str(error.get(name, "")) for name in ("code", "message", "remedy")},
    )
