"""Starting runs: what can be done, what it would come to, and doing it; and the list of those there were."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response, abort, url_for
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from services.launching import launch
from services.planner import workflows
from services.plans import plan_text
from services.previews import preview
from services.responses import Preview
from services.run_request import RunRequest, brings_commands, plan_of
from web.access import actor, audit, needs
from web.api.common import Input, KnownStatus, Output, Text, answer, first_of, section
from web.api.execution_records import ExecutionOut, execution_out
from web.panel import panel
from web.workflow.form import steps_of

blueprint: APIBlueprint = section("runs", "Runs: what can be started, what it would do, and what was done.")


class RunQuery(Input):
    """Which runs: of a status, with `text` in what they are called or about; older than the run `before`."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    before: Annotated[str, Field(max_length=100)] | None = None
    status: KnownStatus | None = None
    text: Text | None = None


class Runs(Output):
    """Runs, newest first. `next` is the `before` of the next page; null where nothing is left."""

    runs: list[ExecutionOut]
    next: str | None


class LaunchHeader(BaseModel):
    """Asked for twice with the same `Idempotency-Key`, a run is started once. Other headers are not looked at."""

    idempotency_key: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, alias="Idempotency-Key"
    )


class Launched(Output):
    """A run that was started. `status` and `events` are where to see how it goes; `is_new` is false for a repeated key."""

    execution_id: str
    is_new: bool
    why: str
    status: str
    events: str


class PlanOut(Output):
    """A plan, why it became this one, and how it is written in a file for `derush run --plan`."""

    workflow: str
    why: str
    plan: dict[str, Any]
    yaml: str


class WorkflowOut(Output):
    """A declared workflow: what it is about, its steps in order, the phrases that ask for it."""

    name: str
    about: str
    steps: list[str]
    triggers: dict[Literal["fr", "en"], list[str]]


class Workflows(Output):
    """The declared workflows."""

    workflows: list[WorkflowOut]


@blueprint.get("/runs", responses={200: Runs})
def list_runs(query: RunQuery) -> Response:
    """List runs, newest first."""
    status = [query.status] if query.status else []
    found = panel().store.runs(query.limit + 1, query.before, status, query.text)
    shown, last = first_of(found, query.limit)
    return answer(Runs(runs=[execution_out(run) for run in shown], next=last.id if last else None))


@blueprint.post("/runs", responses={200: Launched, 201: Launched})
@needs("run")
def start(header: LaunchHeader, body: RunRequest) -> Response:
    """Start a run, in a process of its own. A plan with commands of its own needs a token of scope `admin`."""
    settings = panel().settings
    made = plan_of(body, settings)
    if brings_commands(made.plan) and "admin" not in actor().scopes:
        audit("start run", body.model_dump_json(include={"workflow"}), "refused: the plan has commands of its own")
        abort(403)
    launched = launch(
        panel().store, settings, made.plan, body.options, body.priority, header.idempotency_key, may_wait=body.queue
    )
    run_id = launched.run.id
    if launched.is_new:
        audit("start run", run_id)
    said = Launched(
        execution_id=run_id, is_new=launched.is_new, why=made.why,
        status=url_for("api_executions.status", execution_id=run_id),
        events=url_for("api_executions.events", execution_id=run_id),
    )  # fmt: skip
    return answer(said, 201 if launched.is_new else 200)


@blueprint.post("/runs/preview", responses={200: Preview})
@needs("run")
def look_ahead(body: RunRequest) -> Response:
    """Tell what a run would do, without doing it: what is up to date, what is left out, how long it takes, whether it fits."""
    return answer(preview(panel().store, panel().settings, plan_of(body, panel().settings).plan, body.options))


@blueprint.post("/plans", responses={200: PlanOut})
@needs("run")
def plan(body: RunRequest) -> Response:
    """Make the plan of a request, in plain words or not, and start nothing. It can be edited and sent as `plan`."""
    made = plan_of(body, panel().settings)
    said = PlanOut(workflow=made.plan.workflow, why=made.why, plan=made.plan.record(), yaml=plan_text(made.plan))
    return answer(said)


@blueprint.get("/workflows", responses={200: Workflows})
def list_workflows() -> Response:
    """List what can be done."""
    found = [
        WorkflowOut(
            name=workflow.name,
            about=workflow.about,
            steps=steps_of(workflow),
            triggers={"fr": list(workflow.triggers.fr), "en": list(workflow.triggers.en)},
        )
        for workflow in workflows().values()
    ]
    return answer(Workflows(workflows=found))
