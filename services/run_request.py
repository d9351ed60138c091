"""What somebody asks the panel to carry out, by its form or its API: checked, and made into a plan."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from config.catalog import steps as declared_steps
from config.settings import REPOSITORY, Settings
from services.commands import can_start
from services.errors import ServiceError
from services.filesystem_service import allowed
from services.launcher import MOST_URGENT
from services.launching import Made, plan_for, plan_in_words
from services.options import Options
from services.planner import make_plan, workflows
from services.plans import Plan, plan_from_data
from services.preparation import DEMO_ARCHIVE
from services.requests import LONGEST

_TEXT = r"^[^\x00]*$"
"""What a path can hold. A lone surrogate (`\\ud800` in JSON) is no character, and matches no pattern."""
MOST_INPUTS = 500
PathText = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=_TEXT)]
Keyword = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)]
StepId = Annotated[str, Field(json_schema_extra={"enum": list(declared_steps())})]


class RunRequest(BaseModel):
    """A run that is asked for: what it works on, how far it goes, and how it is done."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False,
        json_schema_extra={"example": {"inputs": ["/rushes/2026-03"], "steps": ["STEP1", "STEP2"]}},
    )  # fmt: skip

    inputs: Annotated[tuple[PathText, ...], Field(strict=False, max_length=MOST_INPUTS)] = Field(
        default=(),
        description="Paths on the server, below the folders that may be browsed, or projects. Without any, a workflow that "
        "does not begin with STEP1 takes every project.",
    )
    demo: bool = Field(default=False, description="Take the demo footage that comes with Derush.")
    request: Annotated[str, StringConstraints(max_length=LONGEST, pattern=_TEXT)] = Field(
        default="", description="What is to be done, in plain words, French or English: chooses the workflow."
    )
    workflow: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")] | None = Field(
        default=None, description="A declared workflow; `full` where nothing chooses another."
    )
    steps: Annotated[tuple[StepId, ...], Field(strict=False, min_length=1, max_length=20)] | None = Field(
        default=None, description="Only these of its steps."
    )
    plan: dict[str, Any] | None = Field(
        default=None, description="A plan, as docs/schemas/plan.json says; it says itself what it works on."
    )
    force: bool = Field(default=False, description="Do again what is up to date.")
    fail_fast: bool = Field(default=False, description="Stop at the first failure.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where models run; tracking goes to a GPU by STEP5_ENABLE_GPU only."
    )
    engine: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = Field(
        default=None, description="Tracking engine of STEP5; null: as STEP5_TRACKING_ENGINE says."
    )
    if_busy: Literal["wait", "refuse"] = Field(
        default="wait", description="What to do while another run works on the same material."
    )
    kind: Literal["all", "archives", "videos"] = Field(default="all", description="Which delivered files are taken in.")
    min_size_mb: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="Smaller files are left out, and named; null: as STEP1_MIN_SIZE_MB says.",
    )
    keywords: Annotated[tuple[Keyword, ...], Field(strict=False, max_length=20)] = Field(
        default=(),
        description="Only what has one of these in its name, or in that of a folder it lies in, is taken in; accents and "
        "capitals do not count.",
    )
    priority: int = Field(
        default=0, ge=-MOST_URGENT, le=MOST_URGENT, description="The higher comes first in the queue."
    )
    queue: bool = Field(
        default=True, description="Wait where as many runs are at work as may be; false: be refused (`run_goes_on`)."
    )

    @model_validator(mode="after")
    def _plan_stands_alone(self) -> RunRequest:
        if self.plan is not None and (self.inputs or self.demo or self.request or self.workflow or self.steps):
            raise ValueError("a plan says itself what it works on: leave out inputs, demo, request, workflow and steps")
        return self

    @property
    def options(self) -> Options:
        """How the run is done."""
        return Options(
            force=self.force, fail_fast=self.fail_fast, device=self.device, engine=self.engine, if_busy=self.if_busy,
            kind=self.kind, min_size_mb=self.min_size_mb, keywords=self.keywords,
        )  # fmt: skip


def plan_of(asked: RunRequest, settings: Settings) -> Made:
    """Make the plan. Every path must be below a folder that the panel may use, or a project. Raises ServiceError."""
    if asked.plan is not None:
        plan = plan_from_data(asked.plan, partial(can_start, folder=REPOSITORY)).with_absolute_files()
        return Made(_with_allowed_files(plan, settings), f"A plan of one's own, after {plan.workflow}.")
    files = [input_path(text, settings) for text in asked.inputs] + ([DEMO_ARCHIVE] if asked.demo else [])
    if asked.request.strip():
        exists = partial(_is_allowed, settings=settings)
        return plan_in_words(asked.request, asked.workflow, files, asked.steps, settings, exists)
    plan = plan_for(files, asked.workflow, asked.steps)
    return Made(plan, f"{plan.workflow}: {workflows()[plan.workflow].about}.")


def _with_allowed_files(plan: Plan, settings: Settings) -> Plan:
    for task in plan.tasks:
        for text in task.files:
            input_path(text, settings)
    return plan


def input_path(text: str, settings: Settings) -> Path:
    """Return a path that may be worked on. Raises ServiceError path_not_allowed and no_such_path."""
    path, projects = Path(text), settings.projects_dir
    if path != projects and path.is_relative_to(projects) and _stays_below(path, projects):
        return path  # as it stands: a project is known by where it is
    return allowed(text, settings)


def _stays_below(path: Path, folder: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # not there, links in a circle, a NUL
        return False


def _is_allowed(text: str, settings: Settings) -> bool:
    try:
        input_path(text, settings)
    except ServiceError:
        return False
    return True


def brings_commands(plan: Plan) -> bool:
    """Tell whether a plan has commands that no declared workflow has: whoever may start it may start any program."""
    known = {
        command
        for workflow in workflows().values()
        for command in _commands(make_plan(workflow, objective="", files=[]))
    }
    return not _commands(plan) <= known


def _commands(plan: Plan) -> set[tuple[str, ...]]:
    found = {tuple(command) for task in plan.tasks for command in (task.command or (), task.test)}
    return found | {tuple(command) for command in plan.validation}
