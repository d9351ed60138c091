"""The first page: what runs now, what waits, what was, the projects and the machine; all of it live."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from config.catalog import steps
from services.statuses import ENDED
from services.system_monitor import machine
from web import fragments, sse
from web.panel import panel

blueprint = Blueprint("home", __name__, template_folder="templates")
MOST_BOARDS = 4
"""Runs whose steps are shown at once; the others are links."""
MOST_LAST_RUNS = 8
MOST_PROJECTS = 12


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """Show what goes on."""
    return render_template("home/index.html", parts=_parts())


@blueprint.get("/live")
def live() -> Response:
    """Stream the parts of the page as they change."""
    return sse.stream(fragments.stream(_parts))


def _parts() -> Mapping[str, str]:
    makers = {"now": _now, "queue": _queue, "last": _last, "projects": _projects, "machine": _machine}
    return {name: fragments.shared(f"home/{name}", make) for name, make in makers.items()}


def _now() -> str:
    running = [run for run in panel().store.active_runs() if run.status == "running"]
    boards = [panel().broadcast.status(run.id) for run in running[:MOST_BOARDS]]
    return render_template("home/_now.html", boards=boards, others=running[MOST_BOARDS:])


def _queue() -> str:
    waiting = [run for run in panel().store.active_runs() if run.status == "queued"]
    return render_template("home/_queue.html", runs=sorted(waiting, key=lambda run: (-run.priority, run.queued_at)))


def _last() -> str:
    runs = panel().store.runs(limit=MOST_LAST_RUNS, status=sorted(ENDED))
    return render_template("home/_last.html", runs=runs)


def _projects() -> str:
    found = panel().projects.all()
    return render_template(
        "home/_projects.html", projects=found[:MOST_PROJECTS], others=len(found) - MOST_PROJECTS, steps=steps()
    )


def _machine() -> str:
    return render_template("_machine.html", machine=machine(panel().settings), settings=panel().settings)
