"""Runs, steps and tasks: what they are at, what they came to, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flask import Response, request, url_for

from config.contract import Exit
from services.broadcast import encode
from services.errors import ServiceError
from services.executions import Execution
from services.kept_files import kept_now
from services.matrix import LETTERS, UP_TO_DATE
from services.models import HIGHEST_INTEGER
from services.requesting import Action, ask_from_afar, meant
from services.responses import GlobalStatus
from services.statuses import ACTIVE, EVENTS
from services.survival import settle_orphans
from web import sse
from web.access import audited, needs
from web.api.common import answer, as_json, first_of, section, stream_of
from web.api.execution_records import (
    LONGEST_PAGE,
    Artefact,
    Artefacts,
    AskedOut,
    EventQuery,
    Events,
    ExecutionDetail,
    ExecutionPath,
    Executions,
    MatrixOut,
    MatrixRow,
    Part,
    ProjectPath,
    StreamQuery,
    TaskQuery,
    TreeQuery,
    event_out,
    execution_out,
    fields_of,
)
from web.executions.cells import whole
from web.panel import panel

blueprint = section("executions", "Runs, their steps, and the tasks of these: a step on an item.")
by_project = section("status", "The global status of a run that works on a project.", "/api")


@blueprint.get("/executions/<execution_id>", responses={200: ExecutionDetail})
def show(path: ExecutionPath) -> Response:
    """Tell everything that is recorded of an execution."""
    row = panel().store.get(path.execution_id)
    return answer(ExecutionDetail(**fields_of(row), plan=row.plan, artefacts=as_json(row.artefacts)))


@blueprint.get("/executions/<execution_id>/status", responses={200: GlobalStatus})
def status(path: ExecutionPath) -> Response:
    """Tell the global status of the run that an execution is part of: progress, steps, errors with remedies, time left."""
    return answer(panel().broadcast.status(panel().store.get(path.execution_id).run_id))


@blueprint.get("/executions/<execution_id>/tree", responses={200: Executions})
def tree(path: ExecutionPath, query: TreeQuery) -> Response:
    """List the run that an execution is part of, its steps and its tasks, with every attempt."""
    rows = panel().store.tree(panel().store.get(path.execution_id).run_id)
    return answer(_page(rows, query))


@blueprint.get("/executions/<execution_id>/tasks", responses={200: Executions})
def tasks(path: ExecutionPath, query: TaskQuery) -> Response:
    """List the tasks of a run, or of one of its steps, each by its last attempt."""
    return answer(_page(_tasks(path, query.status), query))


@blueprint.get("/executions/<execution_id>/attempts", responses={200: Executions})
def attempts(path: ExecutionPath) -> Response:
    """List every attempt at a task; of a run or a step, itself."""
    row = panel().store.get(path.execution_id)
    return answer(_page(panel().store.attempts(row) if row.kind == "task" else [row], TreeQuery()))


@blueprint.get("/executions/<execution_id>/artefacts", responses={200: Artefacts})
def artefacts(path: ExecutionPath, query: TreeQuery) -> Response:
    """List the files that a run, a step or a task made. A page holds those of `limit` tasks."""
    row = panel().store.get(path.execution_id)
    shown, following = _cut([row] if row.kind == "task" else _tasks(path, None), query)
    found = [_artefact(made, task) for task in shown for made in task.artefacts if isinstance(made, dict)]
    return answer(Artefacts(artefacts=found, next=following))


@blueprint.get("/executions/<execution_id>/matrix", responses={200: MatrixOut})
def cells(path: ExecutionPath) -> Response:
    """Lay a run out as a table: its projects and videos down, its steps across."""
    run = panel().store.run_of(path.execution_id)
    found = whole(run)
    letters = {letter: word for word, letter in LETTERS.items()} | {UP_TO_DATE: "up_to_date"}
    rows = [MatrixRow.model_validate(row) for row in found.rows]
    return answer(MatrixOut(columns=[stage.id for stage in found.columns], rows=rows, letters=letters))


@blueprint.get("/executions/<execution_id>/history", responses={200: Events})
def history(path: ExecutionPath, query: EventQuery) -> Response:
    """List what happened in the run that an execution is part of."""
    run = panel().store.run_of(path.execution_id)
    found = panel().store.events_after(run.id, query.after, query.limit + 1)
    shown, last = first_of(found, query.limit)
    return answer(Events(events=[event_out(event) for event in shown], next=last.id if last else None))


_STREAM = stream_of("Server-sent events, each with its id; `data` is JSON, as in the history.", *EVENTS)


@blueprint.get("/executions/<execution_id>/events", responses={200: _STREAM})
def events(path: ExecutionPath, query: StreamQuery) -> Response:
    """Stream what happens in the run that an execution is part of: what was said first, then what is said from now on.

    Whoever comes back with the header `Last-Event-ID` gets what he missed.
    """
    run = panel().store.run_of(path.execution_id)
    after = sse.last_event_id(request.headers.get("Last-Event-ID"), query.after)
    return sse.stream(_follow(run, after) if query.follow else _past(run, after))


@blueprint.post("/executions/<execution_id>/pause", responses={202: AskedOut})
@needs("run")
def pause(path: ExecutionPath) -> Response:
    """Let a run finish what is at work and start nothing new."""
    return _ask(path, "pause", Part())


@blueprint.post("/executions/<execution_id>/resume", responses={202: AskedOut})
@needs("run")
def resume(path: ExecutionPath) -> Response:
    """Let a paused run go on, or take an interrupted one up again."""
    return _ask(path, "resume", Part())


@blueprint.post("/executions/<execution_id>/cancel", responses={202: AskedOut})
@needs("run")
def cancel(path: ExecutionPath, body: Part) -> Response:
    """End a run, or only a step or a video of it. What is done stays done."""
    return _ask(path, "cancel", body)


@blueprint.post("/executions/<execution_id>/retry", responses={202: AskedOut})
@needs("run")
def retry(path: ExecutionPath, body: Part) -> Response:
    """Do again what failed or was cancelled, and what depends on it."""
    return _ask(path, "retry", body)


@blueprint.post("/executions/<execution_id>/accept", responses={202: AskedOut})
@needs("run")
def accept(path: ExecutionPath, body: Part) -> Response:
    """Take failures as they are: what depends on them goes on as if they were done."""
    return _ask(path, "accept", body)


@by_project.get("/<project>/status/<execution_id>", responses={200: GlobalStatus})
def status_of_project(path: ProjectPath) -> Response:
    """Tell the global status of a run that works on a project, or may yet: what an archive brings is known once it is there."""
    run = panel().store.run_of(path.execution_id)
    known = {part.project and Path(part.project).name for part in panel().store.parts(run.id) if part.item_kind}
    may_still_come = run.status in ACTIVE and (not known or None in known)
    if path.project not in known and not may_still_come:
        message = f"{run.id} does not work on the project {path.project[:200]}."
        raise ServiceError("no_such_execution", message, "Name one of its projects: its tasks tell them.", Exit.USAGE)
    return answer(panel().broadcast.status(run.id))


def _tasks(path: ExecutionPath, status: str | None) -> list[Execution]:
    row = panel().store.get(path.execution_id)
    if row.kind == "task":
        return [row] if status in (None, row.status) else []
    found = panel().store.tasks(row.run_id, status=[status] if status else (), most=HIGHEST_INTEGER)
    return [task for task in found if row.kind == "run" or task.parent_execution_id == row.id]


def _cut(rows: list[Execution], query: TreeQuery) -> tuple[Sequence[Execution], int | None]:
    """Return the page that is asked for, and the number to go on after."""
    shown, last = first_of([row for row in rows if row.number > query.after], query.limit)
    return shown, last.number if last else None


def _page(rows: list[Execution], query: TreeQuery) -> Executions:
    shown, following = _cut(rows, query)
    return Executions(executions=[execution_out(row) for row in shown], next=following)


def _artefact(made: dict[str, Any], task: Execution) -> Artefact:
    path, size = str(made.get("path", "")), made.get("bytes")
    file = kept_now(path, panel().settings)
    return Artefact(
        execution_id=task.id,
        step=task.step,
        project=task.project,
        kind=str(made.get("kind", "")),
        path=path,
        bytes=size if isinstance(size, int) else None,
        sha256=str(made["sha256"]) if made.get("sha256") else None,
        url=url_for("artefacts.raw", place=file.place, path=file.path) if file else None,
    )


def _follow(run: Execution, after: int) -> Iterator[bytes]:
    for said in panel().broadcast.events(run.id, after):
        yield said or sse.HEARTBEAT


def _past(run: Execution, after: int) -> Iterator[bytes]:
    while page := panel().store.events_after(run.id, after, LONGEST_PAGE):
        yield encode(page)
        after = page[-1].id


def _ask(path: ExecutionPath, action: Action, part: Part) -> Response:
    """Ask something of a run, as the buttons of its page do."""
    store = panel().store
    settle_orphans(store)
    run, target = meant(store, store.get(path.execution_id), part.step, part.video, part.code, onwards=part.onwards)
    with audited(action, path.execution_id):
        asked = ask_from_afar(store, panel().settings, action, run, [target])[0]
    return answer(AskedOut(execution_id=asked.run_id, action=action, came_to=asked.came_to), 202)
