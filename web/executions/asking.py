"""What the buttons of a run's pages ask for, and what is said to that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from services.errors import ServiceError
from services.executions import Execution
from services.requesting import Action, Asked, ask_from_afar, meant
from services.steering import Target
from services.survival import settle_orphans
from web.access import audited
from web.executions.cells import whole
from web.mistakes import done
from web.panel import panel

_LETTERS = {"retry": "fc", "accept": "f", "cancel": "qri"}
"""The cells of a video that an action is about."""


def answer(named: Execution, action: str) -> ResponseReturnValue:
    """Ask for an action on what is named, and say what came of it."""
    if action not in get_args(Action):
        abort(404)
    store = panel().store
    settle_orphans(store)
    run, targets = _targets(store.get(named.id), action)
    with audited(action, _name(run, targets)):
        asked = ask_from_afar(store, panel().settings, cast(Action, action), run, targets)
    return done(_said(asked), url_for("executions.show", execution_id=run.id))


def _targets(named: Execution, action: str) -> tuple[Execution, list[Target]]:
    """Return the run and its parts that are meant: `row` is a video, `from` a step and all after it."""
    if row_id := request.args.get("row"):
        return _of_video(named, row_id, action)
    onwards = request.args.get("from")
    run, target = meant(
        panel().store, named, onwards or request.args.get("step"), request.args.get("video"), request.args.get("code"),
        onwards=onwards is not None,
    )  # fmt: skip
    return run, [target]


def _of_video(run: Execution, row_id: str, action: str) -> tuple[Execution, list[Target]]:
    row = whole(run).row(row_id)
    cells = zip(row.cells, row.tasks, strict=True) if row else ()
    tasks = [task for cell, task in cells if task and cell[0] in _LETTERS.get(action, "")]
    if not tasks:
        message = "Nothing of this video is left that this could be done with."
        raise ServiceError("nothing_to_do", message, "Reload the page: it may be done already.")
    return run, [Target(task) for task in tasks]


def _name(run: Execution, targets: Sequence[Target]) -> str:
    parts = [
        " ".join(str(word) for word in (target.execution, target.step, target.video, target.code) if word)
        for target in targets
    ]
    return " ".join([run.id, ", ".join(part for part in parts if part)]).strip()


def _said(asked: Sequence[Asked]) -> str:
    """Say what was asked, and who will do it when: the state on the page changes when it is done."""
    came_to = {each.came_to for each in asked}
    if "reopened" in came_to:
        said = _("The run was taken up again: a process of its own goes on with it when its turn comes.")
    elif "cancelled" in came_to:
        said = _("Cancelled.")
    else:
        said = {
            "pause": _("Asked to pause: what is at work is finished first, nothing new is begun."),
            "resume": _("Asked to go on."),
            "cancel": _("Asked to cancel: what is at work is stopped, what is done stays."),
            "retry": _("Asked to do it again."),
            "accept": _("Asked to take it as it is: what waits for it goes on."),
        }[asked[0].action]
    return str(said)
