"""Environments and models: what is there, and the jobs that build, fetch and verify it."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from services.maintenance import MODELS, fetch_models, rebuild, verify_models
from web import fragments, sse
from web.access import needs
from web.mistakes import wants_fragment
from web.panel import panel
from web.system.base import begin, blueprint, parts, stop


@blueprint.get("/environments")
def environments() -> ResponseReturnValue:
    """Show the environments, and what is being done on them."""
    known = parts().inventory.environments()
    return render_template("system/environments.html", environments=known, parts=_environments(), part_of=part_of)


@blueprint.get("/environments/live")
def environments_live() -> Response:
    """Stream the environments as they change, with the output of what is being done."""
    return sse.stream(fragments.stream(_environments))


def _environments() -> Mapping[str, str]:
    maintenance = parts().maintenance
    made = {}
    for facts in parts().inventory.environments():
        state = maintenance.state(facts.name)
        output = maintenance.output(state) if state else ""
        made[part_of(facts.name)] = render_template(
            "system/_environment.html", environment=facts, job=state, output=output
        )
    return made


def part_of(name: str) -> str:
    """Return the id of the part of the page that an environment has."""
    return f"environment-{name}"


@blueprint.post("/environments/<name>/rebuild")
@needs("admin")
def rebuild_environment(name: str) -> ResponseReturnValue:
    """Begin to build an environment anew."""
    begin(lambda: rebuild(name, panel().settings, panel().store), "rebuild environment", name)
    return _changed_environment(name)


@blueprint.post("/environments/<name>/stop")
@needs("admin")
def stop_environment(name: str) -> ResponseReturnValue:
    """Stop what is being done on an environment."""
    stop(name)
    return _changed_environment(name)


def _changed_environment(name: str) -> ResponseReturnValue:
    return _environments()[part_of(name)] if wants_fragment() else redirect(url_for("system.environments"))


@blueprint.get("/models")
def models() -> ResponseReturnValue:
    """Show the models, and what is being done on them."""
    return render_template("system/models.html", parts=_models())


@blueprint.get("/models/live")
def models_live() -> Response:
    """Stream the models as they change, with the output of what is being done."""
    return sse.stream(fragments.stream(_models))


def _models() -> Mapping[str, str]:
    known = parts()
    state = known.maintenance.state(MODELS)
    output = known.maintenance.output(state) if state else ""
    return {"models": render_template("system/_models.html", models=known.models(state), job=state, output=output)}


@blueprint.post("/models/fetch")
@needs("admin")
def fetch() -> ResponseReturnValue:
    """Begin to fetch the model that the form names, or all that are missing or damaged."""
    name = request.form.get("name") or None
    begin(lambda: fetch_models(name), "fetch models", name or "all")
    return _changed_models()


@blueprint.post("/models/verify")
@needs("admin")
def verify() -> ResponseReturnValue:
    """Begin to verify every model."""
    begin(verify_models, "verify models", "all")
    return _changed_models()


@blueprint.post("/models/stop")
@needs("admin")
def stop_models() -> ResponseReturnValue:
    """Stop what is being done on the models."""
    stop(MODELS)
    return _changed_models()


def _changed_models() -> ResponseReturnValue:
    return _models()["models"] if wants_fragment() else redirect(url_for("system.models"))
