"""What is told about runs: typed responses, for the command line and the panel. The form is docs/schemas/status.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.statuses import STATUSES

Status = Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reason(_Response):
    """Why a run starts nothing new."""

    code: str
    message: str


class Failure(_Response):
    """What went wrong, and what to do about it."""

    code: str
    message: str
    remedy: str


class ItemFailure(Failure):
    """A task that failed. `subject` is the path of what it was about."""

    execution_id: str
    subject: str
    project: str | None


class AtWork(_Response):
    """A task that is being worked on: `done` of `total`, in `unit`; a total of 0 means that nobody knows it."""

    execution_id: str
    subject: str
    project: str | None
    done: float
    total: float
    unit: str
    message: str
    started_at: str | None
    attempt: int = Field(ge=1)


class StepStatus(_Response):
    """A step, or a command, of a run. Of several attempts at a task only the last counts.

    `stage` is the id of the task in the run's plan. `execution_id` is null until a supervisor took the run up. `total`
    counts what is there and what earlier steps are expected to bring, `done` what has ended, well or not. `seconds` is
    what its tasks took, added up, `remaining_seconds` what is left, side by side as now; null while the step does not work.
    `running` and `errors` hold the first ones; `error_count` counts them all.
    """

    execution_id: str | None
    stage: str
    step: str | None
    title: str
    status: Status
    is_check: bool
    progress: float = Field(ge=0, le=1)
    done: int = Field(ge=0)
    total: int = Field(ge=0)
    counts: dict[Status, int]
    running: tuple[AtWork, ...]
    seconds: float = Field(ge=0)
    remaining_seconds: float | None = Field(ge=0)
    started_at: str | None
    ended_at: str | None
    errors: tuple[ItemFailure, ...]
    error_count: int = Field(ge=0)


class GlobalStatus(_Response):
    """A run as a whole. Times are UTC, ISO 8601 with offset; durations are seconds.

    `progress` weighs each step by what its tasks cost. `elapsed_seconds` is the time that supervisors worked on the run.
    `remaining_seconds` is null while it cannot be told. `counts` are the last attempts of all tasks by status,
    `attempts` how many attempts were made before those.
    """

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "derush.status/1",
            "title": "Global status of a run",
        },
    )

    schema_: Literal["derush.status/1"] = Field(default="derush.status/1", alias="schema")
    execution_id: str
    status: Status
    objective: str
    workflow: str | None
    progress: float = Field(ge=0, le=1)
    held: Reason | None
    queued_at: str
    started_at: str | None
    ended_at: str | None
    heartbeat_at: str | None
    elapsed_seconds: float = Field(ge=0)
    remaining_seconds: float | None = Field(ge=0)
    counts: dict[Status, int]
    attempts: int = Field(ge=0)
    steps: tuple[StepStatus, ...]
    error: Failure | None

    def record(self) -> dict[str, Any]:
        """Return the status as JSON can hold it."""
        return self.model_dump(by_alias=True)
