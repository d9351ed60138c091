"""The form of the workflow's page, read into what the API takes as well."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from config.contract import Exit
from services.errors import ServiceError
from services.launching import workflow_named
from services.run_request import RunRequest
from services.workflows import Workflow
from web.validation import wrong_input

_LONGEST_KEY = 100


def read_form(form: MultiDict[str, str]) -> tuple[RunRequest, str | None]:
    """Return what the form asks for, and its key: sent twice it starts one run. Raises ServiceError for what is wrong."""
    key = form.get("key", "")[:_LONGEST_KEY] or None
    try:
        return RunRequest.model_validate(_demo() if "demo" in form else _fields(form)), key
    except ValidationError as error:
        raise wrong_input(error) from None


def _demo() -> dict[str, Any]:
    """The demo is taken whole, whatever else the form says."""
    return {"demo": True, "min_size_mb": 0.0, "queue": False}


def _fields(form: MultiDict[str, str]) -> dict[str, Any]:
    in_words = form.get("by") == "words"
    workflow = form.get("workflow", "full")
    chosen = (
        {"request": form.get("request", "")} if in_words else {"workflow": workflow, "steps": _steps(form, workflow)}
    )
    if in_words and not form.get("request", "").strip():
        raise ServiceError("no_request", "Nothing was asked for.", "Say in a few words what is to be done.", Exit.USAGE)
    return {
        **chosen,
        "inputs": [*form.getlist("inputs"), *filter(None, map(str.strip, form.get("more", "").splitlines()))],
        "kind": form.get("kind", "all"),
        "min_size_mb": _number(form, "min_size_mb", float),
        "keywords": [word.strip() for word in form.get("keywords", "").split(",") if word.strip()],
        "force": "force" in form,
        "fail_fast": "fail_fast" in form,
        "device": form.get("device", "auto"),
        "engine": form.get("engine", "").strip() or None,
        "priority": _number(form, "priority", int) or 0,
        "queue": "queue" in form,
    }


def _steps(form: MultiDict[str, str], workflow: str) -> list[str] | None:
    """Return the steps that are ticked, as far as the workflow has them; None when that is all of it."""
    has = steps_of(workflow_named(workflow).workflow)
    ticked = [step for step in has if step in form.getlist("steps")]
    if has and not ticked:
        raise ServiceError("wrong_steps", "No step is chosen.", "Tick at least one.", Exit.USAGE)
    return None if ticked == has else ticked


def steps_of(workflow: Workflow) -> list[str]:
    """Return the steps that a workflow has, in its order."""
    return [step for phase in workflow.phases for step in phase.steps or ()]


def _number(form: MultiDict[str, str], name: str, read: type[int] | type[float]) -> float | None:
    text = form.get(name, "").strip().replace(",", ".")
    try:
        return read(text) if text else None
    except ValueError:
        raise ServiceError("wrong_input", f"{name}: {text[:40]} is no number.", "Correct it.", Exit.USAGE) from None
