"""`derush pause`, `resume`, `cancel`, `retry`, `accept`: what a person may ask of a run, while it goes on or after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from config.contract import Exit
from config.settings import load_settings
from services.cli.carrying import carry_out as carry_out_here
from services.cli.carrying import open_store
from services.cli.options import AsJson, to_person
from services.errors import ServiceError
from services.executions import Execution, Store, utc_now
from services.launcher import reopen, start_detached
from services.steering import Target, is_row_meant
from services.survival import settle_orphans

_ACTIVE = ("queued", "running")

Id = Annotated[
    str,
    typer.Argument(
        metavar="[ID]", help="A run, step or task; the beginning of its id is enough. `last`: the newest run."
    ),
]
OnlyStep = Annotated[str | None, typer.Option("--step", metavar="STEPN", help="Only this step.")]
OnlyVideo = Annotated[
    str | None, typer.Option("--video", metavar="NAME", help="Only this file: its name, `project/name` or path.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Go on in the background and return.")]
ShowLog = Annotated[bool, typer.Option("--log/--no-log", help="Show the steps' logs while they work.")]


def pause(execution_id: Id = "last") -> int:
    """Finish what is running, start nothing new; `derush resume` goes on."""
    store, run, _ = _meant(execution_id, prefer=_ACTIVE)
    if run.status not in _ACTIVE:
        raise _not_going_on(run, "There is nothing to pause.")
    store.request(run.id, "pause", {})
    to_person.print(f"{run.id} is asked to pause: what is running is finished. `derush resume {run.id[5:]}` goes on.")
    return Exit.OK


def resume(execution_id: Id = "last", detach: Detach = False, show_log: ShowLog = True, as_json: AsJson = False) -> int:
    """Go on with a run that was paused or interrupted; finished work is not touched."""
    store, run, _ = _meant(execution_id, prefer=("interrupted", *_ACTIVE))
    if run.status not in {"interrupted", *_ACTIVE}:
        raise _not_going_on(run, f"`derush retry {run.id[5:]}` does again what failed.")
    store.request(run.id, "resume", {})
    if run.status in _ACTIVE:
        to_person.print(f"{run.id} is asked to go on.")
        return Exit.OK
    return _go_on(store, run, detach, show_log, as_json)


def cancel(execution_id: Id = "last", step: OnlyStep = None, video: OnlyVideo = None) -> int:
    """End a run, or only one step or one video of it. What is done stays done."""
    store, run, target = _meant(execution_id, step, video, prefer=(*_ACTIVE, "interrupted"))
    resting = ["queued", "interrupted"]
    if target.is_everything and store.change(run.id, resting, status="cancelled", ended_at=utc_now()):
        to_person.print(f"{run.id} is cancelled.")
        return Exit.OK
    if run.status not in _ACTIVE:
        raise _not_going_on(run, "There is nothing to cancel.")
    store.request(run.id, "cancel", target.record())
    to_person.print(f"{run.id} is asked to cancel{' all of it' if target.is_everything else ''}.")
    return Exit.OK


def retry(
    execution_id: Id = "last",
    step: OnlyStep = None,
    video: OnlyVideo = None,
    from_step: Annotated[
        str | None, typer.Option("--from", metavar="STEPN", help="Do this step and those after it again, done or not.")
    ] = None,
    detach: Detach = False,
    show_log: ShowLog = True,
    as_json: AsJson = False,
) -> int:
    """Do again what failed or was cancelled, and what depends on it; with --from a step and all that follows."""
    if step and from_step:
        raise ServiceError("wrong_usage", "--step and --from exclude each other.", "Give one of them.", Exit.USAGE)
    store, run, target = _meant(execution_id, step or from_step, video, onwards=from_step is not None)
    return _ask(store, run, "retry", target, detach, show_log, as_json)


def accept(
    execution_id: Id = "last",
    step: OnlyStep = None,
    video: OnlyVideo = None,
    detach: Detach = False,
    show_log: ShowLog = True,
    as_json: AsJson = False,
) -> int:
    """Take failures as they are: what depends on them goes on as if they were done."""
    store, run, target = _meant(execution_id, step, video)
    return _ask(store, run, "accept", target, detach, show_log, as_json)


def carry_out(execution_id: Annotated[str, typer.Argument(metavar="ID")]) -> int:
    """Carry out a run that was recorded: what `--detach` and the panel start."""
    settings = load_settings()
    run = open_store(settings).get(execution_id)
    return carry_out_here(run, settings, show_log=True, as_json=False)


def _meant(
    text: str, step: str | None = None, video: str | None = None, *, onwards: bool = False, prefer: Sequence[str] = ()
) -> tuple[Store, Execution, Target]:
    """Return the store, the run that is meant, and which part of it.

    `last` means the newest run in one of the statuses of `prefer`, where there is one.
    """
    store = open_store(load_settings())
    settle_orphans(store)
    found = _newest(store, prefer) if text == "last" else store.find(text)
    run = found if found.kind == "run" else store.get(found.run_id)
    part = None if found.kind == "run" else found.id
    step_id = f"STEP{step}" if step and step.isdecimal() else step
    target = Target(part, step_id, video, onwards)
    if not target.is_everything and not any(is_row_meant(row, target) for row in store.tree(run.id)):
        what = " of ".join(word for word in (video, step_id) if word)
        remedy = f"`derush show {run.id[5:]}` lists what it has; name another run by its id."
        raise ServiceError("no_such_part", f"{run.id} has no {what}.", remedy, Exit.USAGE)
    return store, run, target


def _newest(store: Store, prefer: Sequence[str]) -> Execution:
    """Return the newest run in one of these statuses, else the newest of all; dry runs have nothing to go on with."""
    for statuses in (prefer, ()) if prefer else ((),):
        for run in store.runs(limit=50, status=statuses):
            if not run.parameters.get("dry_run"):
                return run
    return store.find("last")


def _ask(store: Store, run: Execution, action: str, target: Target, detach: bool, show_log: bool, as_json: bool) -> int:
    """Ask a run that goes on; take one up again that has ended."""
    store.request(run.id, action, target.record())
    if store.get(run.id).status in _ACTIVE:
        to_person.print(f"{run.id} is asked to {action}.")
        return Exit.OK
    return _go_on(store, run, detach, show_log, as_json)


def _go_on(store: Store, run: Execution, detach: bool, show_log: bool, as_json: bool) -> int:
    settings = load_settings()
    reopen(store, run)
    if not detach:
        return carry_out_here(store.get(run.id), settings, show_log=show_log, as_json=as_json)
    start_detached(run.id, settings)
    print(json.dumps({"execution_id": run.id}) if as_json else run.id)
    return Exit.OK


def _not_going_on(run: Execution, remedy: str) -> ServiceError:
    return ServiceError("run_not_going_on", f"{run.id} is {run.status}.", remedy, Exit.USAGE)
