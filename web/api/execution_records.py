"""What the API takes and tells of executions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from services.executions import Event, Execution
from services.models import HIGHEST_INTEGER
from services.requesting import Action
from services.responses import Status
from web.api.common import Input, KnownStatus, OptionalBody, Output, Position, Text, as_json

LONGEST_PAGE = 1000


class ExecutionPath(Input):
    """The id of an execution."""

    execution_id: str = Field(description="The id of a run, step or task.")


class ExecutionOut(Output):
    """A run, a step of one, or a task.

    Times are UTC, ISO 8601 with offset, durations seconds. A task has done `done` of `total`, in `unit`; a total of 0 means
    that nobody knows it. `stage` is the id of the task in the run's plan, `attempt` counts from 1.
    """

    id: str
    parent_execution_id: str | None
    run_id: str
    kind: Literal["run", "step", "task"]
    number: int
    stage: str | None
    step: str | None
    item_kind: str | None
    subject: str | None
    project: str | None
    brought_by: str | None
    status: Status
    outcome: str | None
    message: str
    attempt: int
    done: float | None
    total: float | None
    unit: str
    priority: int
    queued_at: str
    started_at: str | None
    ended_at: str | None
    heartbeat_at: str | None
    seconds: float | None
    error: dict[str, Any] | None
    held: dict[str, Any] | None
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    log_path: str | None


class ExecutionDetail(ExecutionOut):
    """An execution, with the plan of a run and what a task left."""

    plan: dict[str, Any] | None
    artefacts: list[Any]


class Executions(Output):
    """Executions in the order in which they were created. `next` is the number to go on after; null where nothing is left."""

    executions: list[ExecutionOut]
    next: int | None


class Artefact(Output):
    """A file that a task made. `url` is where it can be fetched; null when it is gone or not kept where the panel may look."""

    execution_id: str
    step: str | None
    project: str | None
    kind: str
    path: str
    bytes: int | None
    sha256: str | None
    url: str | None


class Artefacts(Output):
    """The files that were made, in the order in which their tasks were created."""

    artefacts: list[Artefact]
    next: int | None


class EventOut(Output):
    """Something that happened; ids rise in the order in which events can be read."""

    id: int
    at: str
    run_id: str
    execution_id: str | None
    event: str
    data: dict[str, Any]


class Events(Output):
    """Events, oldest first. `next` is the id to go on after; null when there are no more by now."""

    events: list[EventOut]
    next: int | None


class MatrixRow(Output):
    """A project, or a video of the project before it. `cells` has, for each column, a letter and the number of attempts."""

    id: str
    name: str
    project: str
    is_project: bool
    cells: list[str]
    tasks: list[str | None]


class MatrixOut(Output):
    """A run as a table. `letters` says what a cell's letter means; an empty cell has no task."""

    columns: list[str]
    rows: list[MatrixRow]
    letters: dict[str, str]


class Part(OptionalBody):
    """Which part of a run is meant; nothing named means all of the execution in the address.

    `step` is `STEP3`, `3` or a task of the plan; `video` a file's name, its stem, its path or `project/name`; `code` the
    code of the error that tasks failed with. `onwards` (retry): the step and all that follows, done or not.
    """

    step: Text | None = None
    video: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")] | None = None
    code: Text | None = None
    onwards: bool = False


class AskedOut(Output):
    """What was asked. `asked`: the run's supervisor does it soon; `cancelled`: done; `reopened`: the run was taken up again."""

    execution_id: str
    action: Action
    came_to: Literal["asked", "cancelled", "reopened"]


class TreeQuery(Input):
    """A page of a run's executions: those after the one with the number `after`."""

    after: Annotated[int, Field(ge=-1, le=HIGHEST_INTEGER)] = -1
    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE)] = LONGEST_PAGE


class TaskQuery(TreeQuery):
    """Which tasks: of a status, or all; each by its last attempt."""

    status: KnownStatus | None = None


class EventQuery(Input):
    """Where to begin: after the event of this id."""

    after: Position = 0
    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE)] = LONGEST_PAGE


class StreamQuery(Input):
    """Where to begin (`Last-Event-ID` wins), and whether to wait for what is still to happen."""

    after: Position = 0
    follow: bool = True


class ProjectPath(ExecutionPath):
    """A project and an execution."""

    project: str = Field(description="The name of a project that the run works on.")


def execution_out(row: Execution) -> ExecutionOut:
    """Return what is told of an execution in a list."""
    return ExecutionOut(**fields_of(row))


def fields_of(row: Execution) -> dict[str, Any]:
    """Return the fields of an ExecutionOut."""
    return {name: as_json(getattr(row, name)) for name in ExecutionOut.model_fields}


def event_out(event: Event) -> EventOut:
    """Return what is told of an event."""
    return EventOut(**{name: as_json(getattr(event, name)) for name in EventOut.model_fields})
