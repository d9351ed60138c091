"""How the machine is, whether everything is there that runs need, and the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from flask import Response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from services.maintenance import MODELS
from services.shown_settings import settings_now
from services.system_monitor import machine
from web import fragments, sse
from web.access import audit, needs
from web.mistakes import wants_fragment
from web.panel import panel
from web.system.base import blueprint, parts


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """Show the machine, and everything else in a line each."""
    return render_template("system/index.html", parts=_overview())


@blueprint.get("/live")
def index_live() -> Response:
    """Stream the parts of the overview as they change."""
    return sse.stream(fragments.stream(_overview))


def _overview() -> Mapping[str, str]:
    return {
        "machine": fragments.shared("system/machine", _machine),
        "summary": fragments.shared("system/summary", _summary),
    }


def _machine() -> str:
    return render_template("_machine.html", machine=machine(panel().settings), settings=panel().settings)


def _summary() -> str:
    known = parts()
    return render_template(
        "system/_summary.html",
        environments=Counter(it.state for it in known.inventory.environments()),
        models=Counter(it.state for it in known.models(known.maintenance.state(MODELS))),
        finding=known.doctor.finding,
        checks=Counter(check.state for check in known.doctor.finding.result or ()),
    )


@blueprint.get("/doctor")
def doctor() -> ResponseReturnValue:
    """Show what `derush doctor` finds; the first to ask sets it to work."""
    if parts().doctor.finding.at is None:
        parts().doctor.begin()
    return render_template("system/doctor.html", parts=_doctor())


@blueprint.get("/doctor/live")
def doctor_live() -> Response:
    """Stream what was found, as soon as it is."""
    return sse.stream(fragments.stream(_doctor))


def _doctor() -> Mapping[str, str]:
    return {"doctor": fragments.shared("system/doctor", _checks)}


def _checks() -> str:
    finding = parts().doctor.finding
    checks = Counter(check.state for check in finding.result or ())
    return render_template("system/_doctor.html", finding=finding, checks=checks)


@blueprint.post("/doctor")
@needs("run")
def examine_again() -> ResponseReturnValue:
    """Look at everything anew; the page shows it when it is found."""
    parts().doctor.begin()
    audit("doctor")
    return _checks() if wants_fragment() else redirect(url_for("system.doctor"))


@blueprint.get("/settings")
def settings() -> ResponseReturnValue:
    """Show every setting, where its value comes from, and what is set otherwise since the panel was started."""
    return render_template("system/settings.html", shown=settings_now(panel().settings))
