"""The history of runs, as it is read: pages, the status and supervisors ask it, and nothing here writes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Subquery, Text, case, func, literal, or_, select, tuple_, type_coerce
from sqlalchemy.orm import Session

from config.contract import Exit
from services.database import Database
from services.errors import ServiceError
from services.models import Event, Execution, json_text, storable
from services.statuses import ACTIVE

# Literal, not a parameter: an index over only some rows serves for certain where the query says the same words.
IS_RUN = Execution.kind == literal("run", literal_execute=True)


@dataclass(frozen=True)
class Figures:
    """Tasks of a stage that share a status and an outcome: how many, and the seconds they took, added up.

    `parts` is how much of each is done, from 0 to 1, added up; `brought` is how many of them another task brought;
    `further` is how many attempts were made before the last ones.
    """

    stage: str
    status: str
    outcome: str | None
    count: int
    seconds: float
    parts: float
    brought: int
    further: int


class Again(NamedTuple):
    """How many tasks of a run were done again: `retried` had failed, `redone` had not.

    Those come after a task that was done again, or a person wanted them anew. Where both was so, a task counts in both.
    """

    retried: int
    redone: int


class Part(NamedTuple):
    """A task of a run, one attempt of it, without what weighs: how matrices and timelines are made."""

    id: str
    number: int
    stage: str
    item_kind: str | None
    subject: str
    project: str | None
    brought_by: str | None
    status: str
    outcome: str | None
    attempt: int
    started_at: str | None
    ended_at: str | None


@dataclass(frozen=True)
class Pace:
    """Tasks of a step that were done, and their seconds; `sized` are those with items of known size, of so many `bytes`."""

    tasks: int
    seconds: float
    sized: int
    sized_seconds: float
    bytes: float


class History:
    """Executions and events in a database. Every method is one short transaction and raises as `Database.reading` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, execution_id: str) -> Execution:
        """Return one execution. Raises ServiceError no_such_execution."""
        found = self._executions(select(Execution).where(Execution.id == storable(execution_id)))
        return found[0] if found else _raise_missing(execution_id)

    def several(self, execution_ids: Collection[str]) -> list[Execution]:
        """Return the executions of these ids, in the order in which they were created; those that are not there are left out."""
        found = select(Execution).where(Execution.id.in_([storable(each) for each in execution_ids]))
        return self._executions(found.order_by(Execution.number)) if execution_ids else []

    def run_of(self, execution_id: str) -> Execution:
        """Return the run that an execution is part of; a run is part of itself. Raises ServiceError no_such_execution."""
        run_id = select(Execution.run_id).where(Execution.id == storable(execution_id)).scalar_subquery()
        found = self._executions(select(Execution).where(Execution.id == run_id))
        return found[0] if found else _raise_missing(execution_id)

    def find(self, text: str) -> Execution:
        """Return the execution with an id, with the only id that begins so (`exec_` may be left out), or the `last` run.

        Raises ServiceError no_such_execution or ambiguous_id.
        """
        if text == "last":
            newest = self.runs(limit=1)
            return newest[0] if newest else _raise_missing(text)
        digits = re.fullmatch(r"(?:exec_)?([0-9a-f]{1,12})", text.strip().lower())
        if not digits:
            return _raise_missing(text)
        prefix = f"exec_{digits[1]}"
        found = self._executions(
            select(Execution).where(Execution.id.between(prefix, f"{prefix}g")).order_by(Execution.id).limit(4)
        )
        if len(found) > 1:
            ids = ", ".join(execution.id for execution in found[:3])
            message = f"More than one execution begins with {text}: {ids}{'…' if len(found) > 3 else ''}."
            raise ServiceError("ambiguous_id", message, "Give more of its digits.", Exit.USAGE)
        return found[0] if found else _raise_missing(text)

    def runs(
        self, limit: int = 50, before: str | None = None, status: Collection[str] = (), text: str | None = None
    ) -> list[Execution]:
        """Return runs, newest first. `before` is the id of the last run of the page before this one.

        `text` is looked for, without regard to case (a to z), in a run's id, subject, project, message, plan and
        parameters. Raises ServiceError no_such_execution when there is no run `before`.
        """
        position = tuple_(Execution.queued_at, Execution.id)
        statement = select(Execution).where(IS_RUN).order_by(Execution.queued_at.desc(), Execution.id.desc())
        if before is not None:
            last = self.get(before)
            statement = statement.where(position < tuple_(literal(last.queued_at), literal(last.id)))
        if status:
            statement = statement.where(Execution.status.in_(status))
        if text:
            statement = statement.where(_mentions(text))
        return self._executions(statement.limit(limit))

    def active_runs(self) -> list[Execution]:
        """Return the runs that are queued or running, oldest first."""
        active = Execution.status.in_(ACTIVE)
        return self._executions(select(Execution).where(IS_RUN, active).order_by(Execution.queued_at, Execution.id))

    def tree(self, run_id: str) -> list[Execution]:
        """Return a run, its steps and its tasks in the order in which they were created; empty when there is no such run."""
        return self._executions(
            select(Execution).where(Execution.run_id == storable(run_id)).order_by(Execution.number, Execution.id)
        )

    def figures(self, run_id: str) -> list[Figures]:
        """Return what the tasks of a run amount to, by stage, status and outcome. Of several attempts only the last counts."""
        task = Execution
        part = case(
            (or_(task.total <= 0, task.done <= 0), 0.0), (task.done >= task.total, 1.0), else_=task.done / task.total
        )
        alike = (task.stage, task.status, task.outcome)
        sums = (func.sum(task.seconds), func.sum(part), func.count(task.brought_by), func.sum(task.attempt - 1))
        grouped = _of_last_attempts(select(*alike, func.count(), *sums).group_by(*alike), run_id)
        with self._database.reading() as connection:
            return [Figures(*row) for row in connection.execute(grouped)]

    def done_again(self, run_id: str) -> Again:
        """Return how many tasks of a run were done again, by what came of them before."""
        task, tried = Execution, _tried_again(run_id)
        is_earlier = (task.run_id == storable(run_id), task.kind == "task", task.attempt < tried.c.attempt)
        had_failed = task.status == "failed"
        found = select(task.stage, task.subject, had_failed.label("had_failed")).join(tried, _same_task(tried))
        of_each = found.where(*is_earlier).distinct().subquery()
        counted = select(of_each.c.had_failed, func.count()).group_by(of_each.c.had_failed)
        with self._database.reading() as connection:
            counts = {bool(failed): count for failed, count in connection.execute(counted)}
        return Again(counts.get(True, 0), counts.get(False, 0))

    def steps(self, run_id: str) -> list[Execution]:
        """Return the steps of a run, in the order in which they were created."""
        is_step = (Execution.run_id == storable(run_id), Execution.kind == "step")
        return self._executions(select(Execution).where(*is_step).order_by(Execution.number))

    def tasks(self, run_id: str, status: Collection[str] = (), most: int = 50) -> list[Execution]:
        """Return the tasks of a run in the order of creation, at most `most` of each stage and status.

        Of several attempts only the last counts. `status` are the wanted ones; none means all.
        """
        task = Execution
        place = func.row_number().over(partition_by=(task.stage, task.status), order_by=task.number)
        wanted = _of_last_attempts(select(task.id, place.label("place")), run_id)
        first = (wanted.where(task.status.in_(status)) if status else wanted).subquery()
        found = select(task).join(first, first.c.id == task.id).where(first.c.place <= most)
        return self._executions(found.order_by(task.number))

    def parts(self, run_id: str) -> list[Part]:
        """Return every attempt at every task of a run, in the order of creation."""
        columns = [getattr(Execution, name) for name in Part._fields]
        is_task = (Execution.run_id == storable(run_id), Execution.kind == "task")
        with self._database.reading() as connection:
            found = connection.execute(select(*columns).where(*is_task).order_by(Execution.number))
            return [Part(*row) for row in found]

    def counts(self, run_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Return how many tasks of each run have which status; every attempt counts."""
        grouped = select(Execution.run_id, Execution.status, func.count()).group_by(Execution.run_id, Execution.status)
        of_runs = (Execution.run_id.in_(run_ids), Execution.kind == "task")
        found: dict[str, dict[str, int]] = {run_id: {} for run_id in run_ids}
        with self._database.reading() as connection:
            for run_id, status, count in connection.execute(grouped.where(*of_runs)):
                found[run_id][status] = count
        return found

    def attempts(self, task: Execution) -> list[Execution]:
        """Return every attempt at a task, the first one first."""
        same = (Execution.stage == task.stage, Execution.subject == task.subject, Execution.kind == "task")
        statement = select(Execution).where(Execution.run_id == task.run_id, *same)
        return self._executions(statement.order_by(Execution.attempt, Execution.number))

    def events_after(self, run_id: str, after: int, limit: int = 1000, names: Sequence[str] = ()) -> list[Event]:
        """Return the events of a run with ids above `after`, oldest first; only those of `names`, if there are any."""
        statement = (
            select(Event).where(Event.run_id == storable(run_id), Event.id > after).order_by(Event.id).limit(limit)
        )
        if names:
            statement = statement.where(or_(*(Event.event == literal(name, literal_execute=True) for name in names)))
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(statement))

    def count_events(self, run_id: str, name: str) -> int:
        """Return how many events of a name a run has."""
        named = (Event.run_id == storable(run_id), Event.event == literal(name, literal_execute=True))
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).where(*named)).scalar() or 0)

    def events_since(self, after: int, limit: int) -> list[Event]:
        """Return the events of any run with ids above `after`, oldest first."""
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(select(Event).where(Event.id > after).order_by(Event.id).limit(limit)))

    def newest_event_id(self) -> int:
        """Return the id of the newest event; 0 when there is none."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.max(Event.id))).scalar() or 0)

    def events_of(self, execution: Execution, limit: int = 1000) -> list[Event]:
        """Return the first `limit` events about one execution, oldest first."""
        about = (Event.run_id == execution.run_id, Event.execution_id == execution.id)
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(select(Event).where(*about).order_by(Event.id).limit(limit)))

    def mean_seconds(self, steps: Iterable[str], limit: int = 300) -> dict[str, float]:
        """Return how many seconds a task took on average, by step, over each step's `limit` newest that were really done."""
        found: dict[str, float] = {}
        with self._database.reading() as connection:
            for step in steps:
                recent = _newest_done(select(Execution.seconds), step, limit).subquery()
                mean = connection.execute(select(func.avg(recent.c.seconds))).scalar()
                if mean is not None:
                    found[step] = float(mean)
        return found

    def paces(self, steps: Iterable[str], limit: int = 300) -> dict[str, Pace]:
        """Return what tasks took, by step, over each step's `limit` newest that were really done."""
        found: dict[str, Pace] = {}
        with self._database.reading() as connection:
            for step in steps:
                rows = connection.execute(_newest_done(select(Execution.seconds, Execution.metrics), step, limit)).all()
                sized = [(seconds, metrics["item_bytes"]) for seconds, metrics in rows if metrics.get("item_bytes")]
                found[step] = Pace(
                    tasks=len(rows),
                    seconds=sum(row.seconds for row in rows),
                    sized=len(sized),
                    sized_seconds=sum(seconds for seconds, _ in sized),
                    bytes=sum(size for _, size in sized),
                )
        return found

    def _executions(self, statement: Select[Execution]) -> list[Execution]:
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(statement))


def _newest_done(statement: Any, step: str, limit: int) -> Any:
    """Let a statement on executions see the `limit` newest tasks of a step that were really done."""
    done = Execution.outcome == literal("done", literal_execute=True)
    is_task = Execution.kind == literal("task", literal_execute=True)
    return statement.where(is_task, done, Execution.step == step).order_by(Execution.ended_at.desc()).limit(limit)


def _of_last_attempts(statement: Any, run_id: str) -> Any:
    """Let a statement on executions see a run's tasks only, each by its last attempt.

    Few tasks are tried more than once, as a rule: to look those up costs less than to put all attempts in order.
    """
    task, tried = Execution, _tried_again(run_id)
    of_run = (task.run_id == storable(run_id), task.kind == "task")
    is_last = task.attempt == func.coalesce(tried.c.attempt, 1)
    return statement.outerjoin(tried, _same_task(tried)).where(*of_run, is_last)


def _tried_again(run_id: str) -> Subquery:
    """The tasks of a run that were tried more than once, each with the number of its last attempt."""
    task = Execution
    of_run = (task.run_id == storable(run_id), task.kind == "task", task.attempt > 1)
    last = func.max(task.attempt).label("attempt")
    return select(task.stage, task.subject, last).where(*of_run).group_by(task.stage, task.subject).subquery()


def _same_task(tried: Subquery) -> ColumnElement[bool]:
    return (tried.c.stage == Execution.stage) & (tried.c.subject == Execution.subject)


def _mentions(text: str) -> ColumnElement[bool]:
    """Look for text in the columns as they are kept: escaped, or as JSON."""
    words = (Execution.id, Execution.subject, Execution.project, Execution.message)
    values = (Execution.plan, Execution.parameters)
    in_words = [type_coerce(column, Text).icontains(storable(text), autoescape=True) for column in words]
    in_values = [type_coerce(column, Text).icontains(json_text(text)[1:-1], autoescape=True) for column in values]
    return or_(*in_words, *in_values)


def _raise_missing(text: str) -> Execution:
    shown = text.encode("unicode_escape").decode()
    remedy = "`derush history` lists the runs."
    raise ServiceError("no_such_execution", f"There is no execution {shown!r}.", remedy, Exit.USAGE)
