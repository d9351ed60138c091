"""`derush pause`, `resume`, `cancel`, `retry`, `accept`: what a person may ask of a run, while it goes on or after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from config.contract import Exit
from config.settings import load_settings
from services.cli.carrying import carry_out as carry_out_here
from services.cli.carrying import carry_out_detached
from services.cli.options import AsJson, to_person
from services.cli.store import open_settled_store, open_store
from services.errors import ServiceError
from services.executions import Execution, Store
from services.requesting import Action, ask, meant
from services.statuses import ACTIVE
from services.steering import Target

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A run, step or task; the beginning of its id is enough. `last`: the newest run."
    ),
]
OnlyStep = Annotated[str | None, typer.Option("--step", metavar="STEPN", help="Only this step.")]
OnlyVideo = Annotated[
    str | None, typer.Option("--video", metavar="NAME", help="Only this file: its name, `project/name` or path.")
]
OnlyCode = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only what failed with this error.")]
Detach = Annotated[bool, typer.Option("--detach", help="Go on in the background and return.")]
ShowLog = Annotated[bool, typer.Option("--log/--no-log", help="Show the steps' logs while they work.")]


def pause(execution_id: Id = "last") -> int:
    """Finish what is running, start nothing new; `derush resume` goes on."""
    store, run, target = _meant(execution_id, prefer=("running", "queued"))
    ask(store, "pause", run, target)
    to_person.print(f"{run.id} is asked to pause: what is running is finished. `derush resume {run.id[5:]}` goes on.")
    return Exit.OK


def resume(execution_id: Id = "last", detach: Detach = False, show_log: ShowLog = True, as_json: AsJson = False) -> int:
    """Go on with a run that was paused or interrupted; finished work is not touched."""
    store, run, target = _meant(execution_id, prefer=("paused", "interrupted"))
    return _ask(store, "resume", run, target, detach, show_log, as_json)


def cancel(execution_id: Id = "last", step: OnlyStep = None, video: OnlyVideo = None) -> int:
    """End a run, or only one step or one video of it. What is done stays done."""
    preferred = ("running", "paused", "queued", "interrupted")
    store, run, target = _meant(execution_id, step, video, prefer=preferred)
    if ask(store, "cancel", run, target).came_to == "cancelled":
        to_person.print(f"{run.id} is cancelled.")
    else:
        to_person.print(f"{run.id} is asked to cancel{' all of it' if target.is_everything else ''}.")
    return Exit.OK


def retry(
    execution_id: Id = "last",
    step: OnlyStep = None,
    video: OnlyVideo = None,
    code: OnlyCode = None,
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
    store, run, target = _meant(execution_id, step or from_step, video, code, onwards=from_step is not None)
    return _ask(store, "retry", run, target, detach, show_log, as_json)


def accept(
    execution_id: Id = "last",
    step: OnlyStep = None,
    video: OnlyVideo = None,
    code: OnlyCode = None,
    detach: Detach = False,
    show_log: ShowLog = True,
    as_json: AsJson = False,
) -> int:
    """Take failures as they are: what depends on them goes on as if they were done."""
    store, run, target = _meant(execution_id, step, video, code)
    return _ask(store, "accept", run, target, detach, show_log, as_json)


def carry_out(execution_id: Annotated[str, typer.Argument(metavar="ID")]) -> int:
    """Carry out a run that was recorded: what `--detach` and the panel start."""
    settings = load_settings()
    return carry_out_here(lambda: open_store(settings).get(execution_id), settings, show_log=True, as_json=False)


def _meant(
    text: str, step: str | None = None, video: str | None = None, code: str | None = None, *, onwards: bool = False,
    prefer: Sequence[str] = (),
) -> tuple[Store, Execution, Target]:  # fmt: skip
    """Return the store, the run that is meant, and which part of it.

    `last` means the newest run that stands as the first of `prefer` says, else as the second, and so on; else the newest.
    """
    store = open_settled_store()
    found = _newest(store, prefer) if text == "last" else store.find(text)
    return store, *meant(store, found, step, video, code, onwards=onwards)


def _newest(store: Store, prefer: Sequence[str]) -> Execution:
    """Return the newest run that stands so, else the newest of all."""
    for wanted in (*prefer, None):
        statuses = ACTIVE if wanted == "paused" else (wanted,) if wanted else ()
        for run in store.runs(limit=50, status=statuses):
            if wanted in (None, _standing(run)):
                return run
    return store.find("last")


def _standing(run: Execution) -> str:
    """Return what a run is at: its status, but for those that go on and are paused."""
    return "paused" if run.is_paused else run.status


def _ask(
    store: Store, action: Action, run: Execution, target: Target, detach: bool, show_log: bool, as_json: bool
) -> int:
    """Ask a run that goes on; carry one out that was taken up again, here or by a process of its own."""
    settings = load_settings()
    asked = ask(store, action, run, target)
    if asked.came_to == "asked":
        return _asked(run, action, as_json)
    if detach:
        return carry_out_detached(store, run, settings, as_json=as_json)
    return carry_out_here(lambda: store.get(run.id), settings, show_log=show_log, as_json=as_json)


def _asked(run: Execution, action: str, as_json: bool) -> int:
    to_person.print(f"{run.id} is asked to {'go on' if action == 'resume' else action}.")
    if as_json:
        print(json.dumps({"schema": "derush.asked/1", "execution_id": run.id, "asked": action}))
    return Exit.OK
