"""Running the workflow: what to take, what to do with it, what that will come to; then how it goes and what it came to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from config.catalog import steps
from services.launching import launch
from services.planner import workflows
from services.plans import plan_text
from services.previews import preview
from services.project_summaries import ProjectSummary
from services.run_request import plan_of
from services.workflow_progress import Follower
from web import fragments, sse
from web.access import audit, needs
from web.mistakes import wants_fragment
from web.panel import panel
from web.workflow.form import read_form, steps_of

blueprint = Blueprint("workflow", __name__, template_folder="templates")
ENGINES = (
    "mediapipe_landmarker", "opencv_yunet", "opencv_haar", "nanodet", "yolo", "insightface", "openseeface",
)  # fmt: skip
"""The tracking engines that are offered; STEP5 itself says no to what it does not know."""
MOST_NAMED = 20
"""Of files that are left out, how many are named one by one."""
MOST_PROJECTS = 50


@blueprint.get("/workflow")
def index() -> str:
    """Show the run that is watched, and the form."""
    run_id = _chosen_run()
    return render_template(
        "workflow/index.html", parts=_parts(run_id), run_id=run_id, key=secrets.token_urlsafe(16), steps=steps(),
        workflows=workflows(), steps_of=steps_of, engines=ENGINES, settings=panel().settings, projects=_projects(),
    )  # fmt: skip


@blueprint.get("/workflow/progress")
def progress() -> Response:
    """Stream how a run goes: `progress`, `error`, `complete`; for a page, with `parts=1`, its parts as well."""
    run_id = _chosen_run()
    told_last = sse.last_event_id(request.args.get("after"))
    follower = Follower(panel().progress, run_id, sse.last_event_id(request.headers.get("Last-Event-ID"), told_last))
    parts: Callable[[], Mapping[str, str]] = partial(_parts, run_id) if request.args.get("parts") else dict
    return sse.stream(fragments.stream(parts, lambda: b"".join(sse.event(*said) for said in follower.news())))


@blueprint.post("/workflow/preview")
@needs("run")
def look_ahead() -> str:
    """Say what the form, as it is, would do."""
    settings = panel().settings
    asked, _key = read_form(request.form)
    made = plan_of(asked, settings)
    found = preview(panel().store, settings, made.plan, asked.options)
    page = "workflow/_preview.html" if wants_fragment() else "workflow/preview.html"
    return render_template(page, preview=found, why=made.why, plan=plan_text(made.plan), most=MOST_NAMED)


@blueprint.post("/workflow/launch")
@needs("run")
def start() -> ResponseReturnValue:
    """Start a run; the same form sent twice starts one."""
    settings, store = panel().settings, panel().store
    asked, key = read_form(request.form)
    plan = plan_of(asked, settings).plan
    launched = launch(store, settings, plan, asked.options, asked.priority, key, may_wait=asked.queue)
    if launched.is_new:
        audit("start run", launched.run.id)
    shown = url_for("workflow.index", run=launched.run.id)
    if wants_fragment():
        return Response(status=204, headers={"HX-Redirect": shown})
    return redirect(shown, 303)


def _chosen_run() -> str | None:
    """Return the run that is asked for by its id, or by that of a part of it. Raises ServiceError no_such_execution."""
    named = request.args.get("run")
    return panel().store.find(named).run_id if named else None


def _parts(chosen: str | None) -> dict[str, str]:
    run_id = chosen or panel().progress.newest()
    return {
        "state": fragments.shared("workflow/state", _state),
        "run": fragments.shared(f"workflow/run/{run_id}", partial(_run, run_id)),
        "told": fragments.shared(f"workflow/told/{run_id}", partial(_told, run_id)),
    }


def _state() -> str:
    active = panel().store.active_runs()
    is_busy = len(active) >= panel().settings.max_concurrent_runs
    return render_template(
        "workflow/_state.html", active=active, is_busy=is_busy, most=panel().settings.max_concurrent_runs
    )


def _run(run_id: str | None) -> str:
    look = panel().progress.look(run_id) if run_id else None
    left_out: dict[str, Any] = look.run.metrics.get("left_out", {}) if look else {}
    return render_template("workflow/_run.html", look=look, left_out=left_out.get("named", []), most=MOST_NAMED)


def _told(run_id: str | None) -> str:
    """Render what a screen reader says: what the run is at, and only when that changes."""
    return render_template("workflow/_told.html", look=panel().progress.look(run_id) if run_id else None)


def _projects() -> list[ProjectSummary]:
    """Return the projects that can be named in a form; a name that is no UTF-8 cannot."""
    return [each for each in panel().projects.all() if str(each.path).isprintable()][:MOST_PROJECTS]
