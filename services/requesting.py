"""What a person asks of a run, as it is carried out: by the run's supervisor while it goes on, else by taking it up again.

The command line and the panel both ask through here, so that both mean and do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from config.contract import Exit
from config.settings import Settings
from services.errors import ServiceError
from services.executions import Execution, Store
from services.launcher import reopen
from services.launching import start
from services.statuses import ACTIVE
from services.steering import Target, is_row_meant

Action = Literal["pause", "resume", "cancel", "retry", "accept"]
_RESTING = ("queued", "interrupted")
_SAID = {
    "queued": "is queued", "running": "is running", "succeeded": "has succeeded", "failed": "has failed",
    "skipped": "was skipped", "cancelled": "was cancelled", "interrupted": "was interrupted", "accepted": "was accepted",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What was asked of which part of a run, and what came of it so far.

    `asked`: its supervisor will do it. `cancelled`: done, nobody was at work on it. `reopened`: the run is in the queue
    again, and needs a process that carries it out.
    """

    run_id: str
    action: Action
    target: Target
    came_to: Literal["asked", "cancelled", "reopened"]


def meant(store: Store, named: Execution, step: str | None = None, video: str | None = None, code: str | None = None,
          *, onwards: bool = False) -> tuple[Execution, Target]:  # fmt: skip
    """Return the run that a run, step or task is part of, and which part of it is meant.

    `step` may be a number. Raises ServiceError no_such_part when the run has nothing of that name.
    """
    run = store.run_of(named.id)
    step_id = f"STEP{step}" if step and step.isdecimal() else step or None
    target = Target(None if named.kind == "run" else named.id, step_id, video or None, onwards, code or None)
    if not target.is_everything and not any(is_row_meant(row, target) for row in store.tree(run.id)):
        what = " of ".join(word for word in (target.video, target.step) if word) or "such part"
        what += f" that failed with {target.code}" if target.code else ""
        remedy = f"`derush show {run.id[5:]}` lists what it has; name another run by its id."
        raise ServiceError("no_such_part", f"{run.id} has no {what}.", remedy, Exit.USAGE)
    return run, target


def ask(store: Store, action: Action, run: Execution, target: Target) -> Asked:
    """Ask something of a run. Raises ServiceError run_not_going_on where it makes no sense any more."""
    came_to: Literal["asked", "cancelled", "reopened"] = "asked"
    if action == "cancel":
        came_to = _cancel(store, run, target)
    else:
        _require_sense(action, run)
        store.request(run.id, action, target.record())
        # Looked at after the request: a supervisor that ended just before did not see it.
        if store.get(run.id).status not in ACTIVE:
            reopen(store, run)
            came_to = "reopened"
    return Asked(run.id, action, target, came_to)


def ask_from_afar(
    store: Store, settings: Settings, action: Action, run: Execution, targets: Sequence[Target]
) -> list[Asked]:
    """Ask something of parts of a run, and let a process of its own carry it out where the run was reopened.

    Raises ServiceError as `ask` and `launching.start` do.
    """
    asked = [ask(store, action, store.get(run.id), target) for target in targets]
    if any(each.came_to == "reopened" for each in asked):
        start(store, settings, store.get(run.id))
    return asked


def _require_sense(action: Action, run: Execution) -> None:
    if action == "pause" and run.status not in ACTIVE:
        raise _not_going_on(run, "There is nothing to pause.")
    if action == "resume" and run.status not in {"interrupted", *ACTIVE}:
        raise _not_going_on(run, f"`derush retry {run.id[5:]}` does again what failed.")


def _cancel(store: Store, run: Execution, target: Target) -> Literal["asked", "cancelled"]:
    if target.is_everything and store.end_run(run.id, _RESTING, "cancelled", "cancelled by a person"):
        return "cancelled"
    if run.status not in ACTIVE:
        raise _not_going_on(run, "There is nothing to cancel.")
    store.request(run.id, "cancel", target.record())
    return "asked"


def _not_going_on(run: Execution, remedy: str) -> ServiceError:
    return ServiceError("run_not_going_on", f"{run.id} {_SAID[run.status]}.", remedy, Exit.USAGE)
