"""What executions and events may be: their kinds, statuses and names, and which status may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KINDS = ("run", "step", "task")
STATUSES = ("queued", "running", "succeeded", "failed", "skipped", "cancelled", "interrupted", "accepted")
ACTIVE = frozenset({"queued", "running"})
"""The statuses of an execution that is still to end."""
ENDED = frozenset(STATUSES) - ACTIVE
"""The statuses of an execution that is over, unless it is reopened."""
SETTLED = ENDED - {"interrupted"}
"""Those of them that nothing is left to do of: what was interrupted is only cut short."""

_REOPENED = frozenset({"queued"})
_PARENT = {
    "queued": frozenset({"running", "failed", "skipped", "cancelled", "interrupted"}),
    "running": frozenset({"succeeded", "failed", "skipped", "cancelled", "interrupted", "accepted"}),
    "succeeded": _REOPENED,
    "failed": _REOPENED | {"accepted"},
    "skipped": _REOPENED,
    "cancelled": _REOPENED,
    "interrupted": _REOPENED | {"cancelled"},
    "accepted": _REOPENED,
}
_TASK = {
    "queued": frozenset({"running", "failed", "skipped", "cancelled", "interrupted"}),
    "running": frozenset({"succeeded", "failed", "skipped", "cancelled", "interrupted"}),
    "succeeded": frozenset[str](),
    "failed": frozenset({"accepted"}),
    "skipped": _REOPENED,
    "cancelled": _REOPENED,
    "interrupted": _REOPENED | {"cancelled"},
    "accepted": frozenset[str](),
}
TRANSITIONS: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {"run": MappingProxyType(_PARENT), "step": MappingProxyType(_PARENT), "task": MappingProxyType(_TASK)}
)
"""What a status may become, by kind. Resuming, retrying and accepting reopen a run and its steps; a task that has run to
its end stays as it is, and doing it again is a new attempt with a row of its own."""

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "run_queued": "A run was recorded, or reopened, and waits for its turn.",
        "run_started": "A supervisor took the run up.",
        "run_held": "The run starts nothing new for now: it was paused, or the disk is full.",
        "run_released": "What held the run is over.",
        "run_ended": "The run is over; its figures are final until it is reopened.",
        "step_started": "The first task of a step began.",
        "step_ended": "All tasks of a step are over.",
        "task_started": "A worker began a task.",
        "task_ended": "A task is over, well or not.",
        "task_retried": "A failed task is tried again, as a new attempt.",
        "task_accepted": "A person took a task's failure as it is.",
        "warning": "Something is not as it should be, and the work goes on.",
        "requested": "A person asked the run's supervisor for something: data has action and target.",
        "worker_started": "A worker process is ready for items.",
        "worker_ended": "A worker process is gone.",
    }
)
"""Every event of the history, and its meaning."""


def check_transition(kind: str, before: str, after: str) -> None:
    """Raise ValueError when an execution of this kind may not go from one status to the other."""
    if after not in TRANSITIONS[kind][before]:
        raise ValueError(f"a {kind} that is {before} cannot become {after}")
