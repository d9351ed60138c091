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


class RunWarning(_Response):
    """Something a person should know though the work went on. `subject` is the path of what it is about, if of anything."""

    code: str
    message: str
    step: str | None
    subject: str | None


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
    counts what is there and what earlier steps are expected to bring, `done` what has ended, well or not, `progress` what
    has ended well. `seconds` is
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

    `progress` is how much of the work that was asked for has ended well, each step weighed by what its tasks cost; 1 only
    when all of it has, or the run succeeded without what a person cancelled. `elapsed_seconds` is the time that supervisors worked on the run.
    `remaining_seconds` is null while it cannot be told. `counts` are the last attempts of all tasks by status,
    `attempts` how many attempts were made before those: `retried` tasks had failed, `redone` ones had ended well and were
    done again with what comes before them, or because a person wanted that. `warnings` holds the first ones, until the
    run's events are deleted (EVENTS_KEEP_DAYS); `warning_count` counts them all.
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
    retried: int = Field(ge=0)
    redone: int = Field(ge=0)
    steps: tuple[StepStatus, ...]
    warnings: tuple[RunWarning, ...]
    warning_count: int = Field(ge=0)
    error: Failure | None

    def record(self) -> dict[str, Any]:
        """Return the status as JSON can hold it."""
        return self.model_dump(by_alias=True)


class PreviewInput(_Response):
    """Something that is taken in. `form` is archive, folder, video or project; `project` is the name of its project.

    `is_new`: there is no such project yet, it will be called so. `bytes` and `clips` are null where nobody knows them
    before it is taken in.
    """

    path: str
    form: str
    bytes: int | None = Field(ge=0)
    clips: int | None = Field(ge=0)
    project: str
    is_new: bool


class LeftOutInput(_Response):
    """Something delivered that is not taken in; why, as a code (too_small, other_kind, other_name, still_arriving, part_of_another) and a sentence."""

    path: str
    form: str
    bytes: int = Field(ge=0)
    code: str
    message: str


class PreviewStep(_Response):
    """A step, or a command, of a run that is not begun: how many tasks of it would end how, as things are.

    `to_do` will be done; `up_to_date` need not be; `unknown` are decided by what earlier steps make of them; `failed` and
    `skipped` cannot be done. `is_least`: there may be more than are counted, an archive must be unpacked to know. `seconds`
    is the work of what is to do and unknown, added up; `is_measured` when it goes by what such tasks took.
    """

    stage: str
    step: str | None
    title: str
    is_check: bool
    to_do: int = Field(ge=0)
    up_to_date: int = Field(ge=0)
    unknown: int = Field(ge=0)
    failed: int = Field(ge=0)
    skipped: int = Field(ge=0)
    is_least: bool
    seconds: float = Field(ge=0)
    is_measured: bool


class PreviewPlace(_Response):
    """A folder that a run writes to: its setting, what it needs at most, what its disk has free.

    `is_enough`: all that the run writes to this disk fits, and DISK_RESERVE_GB stay free.
    """

    setting: str
    path: str
    needed_bytes: int = Field(ge=0)
    free_bytes: int = Field(ge=0)
    is_enough: bool


class PreviewFailure(Failure):
    """A task that could not be done. `subject` is the path of what it is about."""

    stage: str
    subject: str


class Refusal(Failure):
    """Why a run could not be carried out as it is asked for; `stage` is null when that is not about one of them."""

    stage: str | None
    exit_code: int


class Preview(_Response):
    """What a run would do, before it is begun.

    `seconds` is how long it will take, as if all that is unknown had to be done; `is_least`: at least that, for nobody
    knows yet how many clips there are. `is_complete` is false when the steps had no time to look at everything: what was
    not looked at counts as unknown.
    """

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "derush.preview/1",
            "title": "What a run would do",
        },
    )

    schema_: Literal["derush.preview/1"] = Field(default="derush.preview/1", alias="schema")
    objective: str
    inputs: tuple[PreviewInput, ...]
    left_out: tuple[LeftOutInput, ...]
    steps: tuple[PreviewStep, ...]
    seconds: float = Field(ge=0)
    is_least: bool
    is_complete: bool
    places: tuple[PreviewPlace, ...]
    failures: tuple[PreviewFailure, ...]
    refusals: tuple[Refusal, ...]

    def record(self) -> dict[str, Any]:
        """Return the preview as JSON can hold it."""
        return self.model_dump(by_alias=True)
