"""The machine and what is installed on it, the settings, the tokens, and who did what."""

from __future__ import annotations

from datetime import timezone
from typing import Any

from flask import Response

from services.accounts import SCOPES
from services.inventory import EnvironmentFacts
from services.maintenance import MODELS, JobState, fetch_models, rebuild, verify_models
from services.shown_settings import ShownSettings, settings_now
from services.system_monitor import machine
from web.access import actor, audit, needs
from web.api.common import Nothing, answer, as_json, first_of, section
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
    TokenOut,
    TokenPath,
    Tokens,
)
from web.panel import panel
from web.system.base import begin, parts, stop

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
    state = begin(lambda: rebuild(path.name, panel().settings, panel().store), "rebuild environment", path.name)
    return answer(_job(state), 202)


@blueprint.post("/environments/<name>/stop", responses={202: Nothing})
@needs("admin")
def stop_environment(path: EnvironmentPath) -> Response:
    """Stop what is being done on an environment."""
    stop(path.name)
    return answer(Nothing(), 202)


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
    return answer(Models(models=found, job=_job(state) if state else None))


@blueprint.post("/models/fetch", responses={202: JobOut})
@needs("admin")
def fetch(body: FetchBody) -> Response:
    """Begin to fetch a model, or all that are missing or damaged."""
    return answer(_job(begin(lambda: fetch_models(body.name), "fetch models", body.name or "all")), 202)


@blueprint.post("/models/verify", responses={202: JobOut})
@needs("admin")
def verify() -> Response:
    """Begin to verify every model."""
    return answer(_job(begin(verify_models, "verify models", "all")), 202)


@blueprint.post("/models/stop", responses={202: Nothing})
@needs("admin")
def stop_models() -> Response:
    """Stop what is being done on the models."""
    stop(MODELS)
    return answer(Nothing(), 202)


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


@blueprint.get("/settings", responses={200: ShownSettings})
def settings() -> Response:
    """List every setting, without secrets."""
    return answer(settings_now(panel().settings))


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
    shown, last = first_of(found, query.limit)
    entries = [AuditOut.model_validate(entry) for entry in shown]
    return answer(Audit(entries=entries, next=last.id if last else None))


def _environment(facts: EnvironmentFacts) -> EnvironmentOut:
    known: dict[str, Any] = as_json(facts)
    packages = [Package(name=name, version=version) for name, version in facts.packages]
    state = parts().maintenance.state(facts.name)
    return EnvironmentOut(**{**known, "packages": packages, "job": _job(state) if state else None})


def _job(state: JobState) -> JobOut:
    return JobOut(**{**as_json(state), "log": state.log.name})
