"""Every run: the list, and for each run what it is at, what failed, its videos, when its tasks ran, its files, its commands."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from services.executions import Execution
from services.plans import Plan, plan_text
from web import fragments, sse
from web.access import needs
from web.executions import asking, listing, run_files, shell, videos
from web.executions.opened import part_of
from web.executions.pictures import Picture
from web.executions.run_page import MOST_WARNINGS, RunPage
from web.panel import panel
from web.presentation import readable

blueprint = Blueprint("executions", __name__, template_folder="templates")
blueprint.app_template_global("log_url")(shell.log_url)
blueprint.app_template_global("run_log")(shell.run_log)


@blueprint.get("/executions")
def index() -> str:
    """List the runs, newest first; with `before`, those that are older than one."""
    page = listing.page(listing.wanted())
    is_further = request.headers.get("HX-Target") == listing.FURTHER
    return render_template("executions/_page.html" if is_further else "executions/index.html", page=page)


@blueprint.get("/executions/live")
def live() -> Response:
    """Stream the rows of the list as they change."""
    return sse.stream(fragments.stream(listing.Followed(request.args.get("since", ""), request.args.get("newest"))))


@blueprint.get("/executions/<execution_id>")
def show(execution_id: str) -> ResponseReturnValue:
    """Show a run; what the id of a step or task leads to is its run, with that part open. An id's beginning is enough."""
    found = panel().store.find(execution_id)
    if found.kind != "run":
        return redirect(url_for(".show", execution_id=found.run_id, part=found.id, _anchor="part"))
    if found.id != execution_id:
        return redirect(url_for(".show", execution_id=found.id))
    return render_template("executions/show.html", page=_page(found, "summary"), most_warnings=MOST_WARNINGS)


@blueprint.get("/executions/<execution_id>/videos")
def matrix(execution_id: str) -> str:
    """Show what each step has done on each video; only what is open beside that, where only that is asked for."""
    run = panel().store.run_of(execution_id)
    shown = videos.shown(run)
    part = videos.opened_html(run, shown.whole)
    if request.headers.get("HX-Target") == "part":
        return part
    return render_template("executions/videos.html", page=_page(run, "videos"), shown=shown, part=part)


@blueprint.get("/executions/<execution_id>/timeline")
def timeline(execution_id: str) -> str:
    """Show when which task was at work."""
    return render_template("executions/timeline.html", page=_page(panel().store.run_of(execution_id), "timeline"))


@blueprint.get("/executions/<execution_id>/files")
def files(execution_id: str) -> str:
    """List what a run made."""
    run = panel().store.run_of(execution_id)
    made, most = run_files.made(run), run_files.PAGE
    return render_template("executions/files.html", page=_page(run, "files"), made=made, most=most)


@blueprint.get("/executions/<execution_id>/commands")
def commands(execution_id: str) -> str:
    """Show how to do in a shell what these pages do."""
    page = _page(panel().store.run_of(execution_id), "commands")
    return render_template("executions/commands.html", page=page, **shell.commands(page.run, page.status))


@blueprint.get("/executions/<execution_id>/plan.yaml")
def plan(execution_id: str) -> Response:
    """Give the plan that a run carries out, as `derush run --plan` takes it."""
    run = panel().store.run_of(execution_id)
    text = plan_text(Plan.from_record(run.plan)) if run.plan else ""
    headers = {"Content-Disposition": f'attachment; filename="{run.id}.plan.yaml"'}
    return Response(readable(text), mimetype="application/yaml", headers=headers)


@blueprint.get("/executions/<execution_id>/live/<view>")
def run_live(execution_id: str, view: str) -> Response:
    """Stream the parts of one of a run's pages as they change."""
    page = _page(panel().store.run_of(execution_id), view)
    further = videos.Changes(page.run).since_the_last if view == "videos" else bytes
    return sse.stream(fragments.stream(page.parts, further))


@blueprint.post("/executions/<execution_id>/<action>")
@needs("run")
def ask(execution_id: str, action: str) -> ResponseReturnValue:
    """Ask for a pause, to resume, cancel, retry or accept a run, a step, a video or a task."""
    return asking.answer(panel().store.get(execution_id), action)


def _page(run: Execution, view: str) -> RunPage:
    """Return a page of a run; `part` names a step or task of it that is open."""
    picture = Picture.of_request() if view == "timeline" else None
    return RunPage(run, view, part_of(run, request.args.get("part")), picture)
