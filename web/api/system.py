"""The machine and what is installed on it, the settings, the tokens, and who did what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timezone
from typing import Any

from flask import Response

from config.settings import SettingsError, load_settings
from services.accounts import SCOPES
from services.errors import ServiceError
from services.inventory import EnvironmentFacts
from services.maintenance import MODELS, Job, JobState, fetch_models, rebuild, verify_models
from services.shown_settings import shown_settings
from services.system_monitor import machine
from web.access import actor, audit, needs
from web.api.common import Nothing, answer, as_json, section
from web.api.system_records import (
    Audit,
    AuditOut,
    AuditQuery,
    CheckOut,
    Doctor,
    EnvironmentOut,
    EnvironmentPath,
    Environments,
    FetchBody,
    JobOut,
    MachineOut,
    MadeToken,
    Me,
    ModelOut,
    Models,
    NewToken,
    Package,
    SettingOut,
    SettingsOut,
    TokenOut,
    TokenPath,
    Tokens,
)
from web.panel import panel
from web.system.base import parts

blueprint = section("system", "The machine, environments, models, settings, tokens, the audit log.")


@blueprint.get("/me", responses={200: Me})
def me() -> Response:
    """Tell who asks."""
    who = actor()
    return answer(Me.model_validate({"name": who.name, "scopes": [scope for scope in SCOPES if scope in who.scopes]}))


@blueprint.get("/machine", responses={200: MachineOut})
def show_machine() -> Response:
    """Tell how the machine is."""
    return answer(MachineOut.model_validate(as_json(machine(panel().settings))))


@blueprint.get("/environments", responses={200: Environments})
def environments() -> Response:
    """List the virtual environments."""
    return answer(Environments(environments=[_environment(facts) for facts in parts().inventory.environments()]))


@blueprint.post("/environments/<name>/rebuild", responses={202: JobOut})
@needs("admin")
def rebuild_environment(path: EnvironmentPath) -> Response:
    """Begin to build an environment anew."""
    return _begin(lambda: rebuild(path.name, panel().settings, panel().store), "rebuild environment", path.name)


@blueprint.post("/environments/<name>/stop", responses={202: Nothing})
@needs("admin")
def stop_environment(path: EnvironmentPath) -> Response:
    """Stop what is being done on an environment."""
    return _stop(path.name)


@blueprint.get("/models", responses={200: Models})
def models() -> Response:
    """List the models."""
    state = parts().maintenance.state(MODELS)
    found = [
        ModelOut(
            name=facts.spec.name, about=facts.spec.about, step=facts.spec.step, licence=facts.spec.licence,
            path=str(facts.path), bytes=facts.spec.bytes, sha256=facts.spec.sha256, state=facts.state,
            problem=facts.problem,
        )
        for facts in parts().models(state)
    ]  # fmt: skip
    return answer(Models(models=found, job=_job(state)))


@blueprint.post("/models/fetch", responses={202: JobOut})
@needs("admin")
def fetch(body: FetchBody) -> Response:
    """Begin to fetch a model, or all that are missing or damaged."""
    return _begin(lambda: fetch_models(body.name), "fetch models", body.name or "all")


@blueprint.post("/models/verify", responses={202: JobOut})
@needs("admin")
def verify() -> Response:
    """Begin to verify every model."""
    return _begin(verify_models, "verify models", "all")


@blueprint.post("/models/stop", responses={202: Nothing})
@needs("admin")
def stop_models() -> Response:
    """Stop what is being done on the models."""
    return _stop(MODELS)


@blueprint.get("/doctor", responses={200: Doctor})
def doctor() -> Response:
    """Tell what was found when everything was looked at last."""
    found = parts().doctor.finding
    checks = [CheckOut.model_validate(check.record()) for check in found.result or ()]
    return answer(Doctor(checks=checks, at=found.at, is_working=found.is_working, error=found.error))


@blueprint.post("/doctor", responses={202: Nothing})
@needs("run")
def examine() -> Response:
    """Begin to look at everything anew."""
    parts().doctor.begin()
    audit("doctor")
    return answer(Nothing(), 202)


@blueprint.get("/settings", responses={200: SettingsOut})
def settings() -> Response:
    """List every setting, without secrets."""
    problem, later = None, panel().settings
    try:
        later = load_settings()
    except SettingsError as error:
        problem = str(error)
    shown = [SettingOut.model_validate(each) for each in shown_settings(panel().settings, later)]
    return answer(SettingsOut(settings=shown, problem=problem))


@blueprint.get("/tokens", responses={200: Tokens})
@needs("admin")
def tokens() -> Response:
    """List the tokens."""
    return answer(Tokens(tokens=[TokenOut.model_validate(token) for token in panel().accounts.tokens()]))


@blueprint.post("/tokens", responses={201: MadeToken})
@needs("admin")
def create_token(body: NewToken) -> Response:
    """Make a token."""
    ends = body.expires_at.astimezone(timezone.utc).isoformat() if body.expires_at else None
    word = panel().accounts.create_token(body.name, [body.scope], ends)
    audit("create token", body.name.strip())
    return answer(MadeToken(token=word), 201)


@blueprint.delete("/tokens/<int:token_id>", responses={200: TokenOut})
@needs("admin")
def revoke_token(path: TokenPath) -> Response:
    """End a token."""
    token = panel().accounts.revoke_token(path.token_id)
    audit("revoke token", token.name)
    return answer(TokenOut.model_validate(token))


@blueprint.get("/audit", responses={200: Audit})
@needs("admin")
def audit_log(query: AuditQuery) -> Response:
    """List who did what."""
    found = panel().accounts.audit_entries(query.limit + 1, query.before, query.text)
    shown = [AuditOut.model_validate(entry) for entry in found[: query.limit]]
    return answer(Audit(entries=shown, next=shown[-1].id if len(found) > len(shown) else None))


def _environment(facts: EnvironmentFacts) -> EnvironmentOut:
    known: dict[str, Any] = as_json(facts)
    packages = [Package(name=name, version=version) for name, version in facts.packages]
    return EnvironmentOut(**{**known, "packages": packages, "job": _job(parts().maintenance.state(facts.name))})


def _job(state: JobState | None) -> JobOut | None:
    return JobOut(**{**as_json(state), "log": state.log.name}) if state else None


def _begin(make: Callable[[], Job], action: str, target: str) -> Response:
    """Start a job; the audit log has it also when it was refused."""
    try:
        state = parts().maintenance.start(make())
    except ServiceError as error:
        audit(action, target, f"refused: {error.code}")
        raise
    audit(action, target, "begun")
    made = _job(state)
    assert made
    return answer(made, 202)


def _stop(subject: str) -> Response:
    parts().maintenance.stop(subject)
    audit("stop maintenance", subject)
    return answer(Nothing(), 202)
