"""The store of executions and events: the only place with SQL."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Text,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from config.contract import Exit
from services.database import Database
from services.errors import ServiceError
from services.models import Event, Execution, json_text, storable
from services.statuses import ENDED, EVENTS, STATUSES, TRANSITIONS, check_transition

__all__ = [
    "ENDED",
    "EVENTS",
    "STATUSES",
    "TRANSITIONS",
    "Event",
    "Execution",
    "Figures",
    "Store",
    "check_transition",
    "new_id",
    "utc_now",
]

_BLANK = Execution(id="", run_id="", kind="", queued_at="")
_DEFAULTS = {column.name: getattr(_BLANK, column.name) for column in Execution.__table__.columns}
_FIXED = frozenset({"id", "parent_execution_id", "run_id", "kind", "number"})
_CHUNK = 2_000
# Literal, not a parameter: an index over only some rows serves for certain where the query says the same words.
_IS_RUN = Execution.kind == literal("run", literal_execute=True)


def new_id() -> str:
    """Return an execution's id: `exec_` and 12 hexadecimal digits."""
    return f"exec_{secrets.token_hex(6)}"


def utc_now() -> str:
    """Return the time as the database keeps it: UTC, ISO 8601, microseconds, with offset."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _upsert(dialect: str) -> Insert:
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = build(Execution)
    changed = {name: statement.excluded[name] for name in _DEFAULTS if name not in _FIXED}
    return statement.on_conflict_do_update(index_elements=["id"], set_=changed)


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


class Store:
    """Executions and events in a database. Every method is one short transaction and raises as `Database.begin` does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._save = _upsert(database.dialect)

    def save(self, executions: Iterable[Execution], events: Iterable[Event] = ()) -> None:
        """Write executions as they are now, new or known, and add events; all or nothing.

        An execution's place in the tree (id, parent, run, kind, number) is set once.
        """
        rows = [_execution_row(execution) for execution in executions]
        said = [_event_row(event) for event in events]
        with self._database.begin() as connection:
            if rows:
                connection.execute(self._save, rows)
            if said:
                connection.execute(insert(Event), said)

    def get(self, execution_id: str) -> Execution:
        """Return one execution. Raises ServiceError no_such_execution."""
        found = self._executions(select(Execution).where(Execution.id == storable(execution_id)))
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
        self, limit: int = 50, before: str | None = None, status: Sequence[str] = (), text: str | None = None
    ) -> list[Execution]:
        """Return runs, newest first. `before` is the id of the last run of the page before this one.

        `text` is looked for, without regard to case (a to z), in a run's id, subject, project, message, plan and
        parameters. Raises ServiceError no_such_execution when there is no run `before`.
        """
        position = tuple_(Execution.queued_at, Execution.id)
        statement = select(Execution).where(_IS_RUN).order_by(Execution.queued_at.desc(), Execution.id.desc())
        if before is not None:
            last = self.get(before)
            statement = statement.where(position < tuple_(literal(last.queued_at), literal(last.id)))
        if status:
            statement = statement.where(Execution.status.in_(status))
        if text:
            statement = statement.where(_mentions(text))
        return self._executions(statement.limit(limit))

    def tree(self, run_id: str) -> list[Execution]:
        """Return a run, its steps and its tasks in the order in which they were created; empty when there is no such run."""
        return self._executions(
            select(Execution).where(Execution.run_id == storable(run_id)).order_by(Execution.number, Execution.id)
        )

    def counts(self, run_id: str) -> dict[str, dict[str, int]]:
        """Return how many tasks of a run have which status, by stage. Of several attempts only the last counts."""
        latest = func.row_number().over(
            partition_by=(Execution.stage, Execution.subject),
            order_by=(Execution.attempt.desc(), Execution.number.desc()),
        )
        tasks = (
            select(Execution.stage, Execution.status, latest.label("age"))
            .where(Execution.run_id == storable(run_id), Execution.kind == "task")
            .subquery()
        )
        grouped = (
            select(tasks.c.stage, tasks.c.status, func.count())
            .where(tasks.c.age == 1)
            .group_by(tasks.c.stage, tasks.c.status)
        )
        found: dict[str, dict[str, int]] = {}
        with self._database.reading() as connection:
            for stage, status, number in connection.execute(grouped):
                found.setdefault(stage or "", {})[status] = number
        return found

    def events_after(self, run_id: str, after: int, limit: int = 1000, names: Sequence[str] = ()) -> list[Event]:
        """Return the events of a run with ids above `after`, oldest first; only those of `names`, if there are any."""
        statement = (
            select(Event).where(Event.run_id == storable(run_id), Event.id > after).order_by(Event.id).limit(limit)
        )
        if names:
            statement = statement.where(or_(*(Event.event == literal(name, literal_execute=True) for name in names)))
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(statement))

    def request(self, run_id: str, action: str, target: Mapping[str, Any]) -> int:
        """Ask the supervisor of a run for something, and return the id of the event that says so."""
        row = {
            "run_id": run_id,
            "at": utc_now(),
            "event": "requested",
            "data": {"action": action, "target": dict(target)},
        }
        with self._database.begin() as connection:
            return int(connection.execute(insert(Event).returning(Event.id), row).scalar_one())

    def claim(self, run_id: str, owner: Mapping[str, Any], most_running: int) -> bool:
        """Make a queued run a running one, if it is its turn; tell whether it was.

        It is when fewer than `most_running` runs are running, and no other queued run comes first: by priority, then by
        age. Runs that are held neither take a place nor a turn.
        """
        other, running = aliased(Execution), aliased(Execution)
        earlier = tuple_(other.queued_at, other.id) < tuple_(Execution.queued_at, Execution.id)
        comes_first = or_(
            other.priority > Execution.priority, (other.priority == Execution.priority) & earlier
        )  # fmt: skip
        first = select(other.id).where(*_waiting(other, "queued"), comes_first).correlate(Execution)
        at_work = select(func.count()).select_from(running).where(*_waiting(running, "running")).scalar_subquery()
        now = utc_now()
        return self._update(
            update(Execution)
            .where(Execution.id == run_id, *_waiting(Execution, "queued"), at_work < most_running, ~first.exists())
            .values(
                status="running",
                owner=dict(owner),
                heartbeat_at=now,
                started_at=func.coalesce(Execution.started_at, now),
            )
        )

    def change(self, execution_id: str, from_status: Collection[str], **values: Any) -> bool:
        """Set columns of an execution if its status is one of `from_status`; tell whether it was."""
        return self._update(
            update(Execution).where(Execution.id == execution_id, Execution.status.in_(from_status)).values(**values)
        )

    def active_runs(self) -> list[Execution]:
        """Return the runs that are queued or running, oldest first."""
        active = Execution.status.in_(("queued", "running"))
        return self._executions(select(Execution).where(_IS_RUN, active).order_by(Execution.queued_at, Execution.id))

    def mean_seconds(self, steps: Iterable[str], limit: int = 300) -> dict[str, float]:
        """Return how many seconds a task took on average, by step, over each step's `limit` newest that were really done."""
        done = Execution.outcome == literal("done", literal_execute=True)
        is_task = Execution.kind == literal("task", literal_execute=True)
        found: dict[str, float] = {}
        with self._database.reading() as connection:
            for step in steps:
                newest = select(Execution.seconds).where(is_task, done, Execution.step == step)
                recent = newest.order_by(Execution.ended_at.desc()).limit(limit).subquery()
                mean = connection.execute(select(func.avg(recent.c.seconds))).scalar()
                if mean is not None:
                    found[step] = float(mean)
        return found

    def compact(self, before: str) -> int:
        """Delete the events of runs that ended before a time, but for each run's last `run_ended`; return how many.

        Many short transactions with as long a pause after each, so that others may write meanwhile.
        """
        said_more = select(Event.id).where(Event.run_id == Execution.id, Event.event != "run_ended").exists()
        ended = select(Execution.id).where(_IS_RUN, Execution.status.in_(ENDED), Execution.ended_at < before, said_more)
        with self._database.reading() as connection:
            run_ids = list(connection.scalars(ended))
        return sum(self._drop_events(run_ids[start : start + 50]) for start in range(0, len(run_ids), 50))

    def _drop_events(self, run_ids: Sequence[str]) -> int:
        later = aliased(Event)
        is_last_end = (Event.event == "run_ended") & ~(
            select(later.id)
            .where(later.run_id == Event.run_id, later.id > Event.id, later.event == "run_ended")
            .exists()
        )
        doomed = (
            select(Event.id)
            .join(Execution, Execution.id == Event.run_id)
            .where(Event.run_id.in_(run_ids), Execution.status.in_(ENDED), ~is_last_end)
            .limit(_CHUNK)
        )
        dropped, last = 0, _CHUNK
        while last == _CHUNK:
            started = time.monotonic()
            with self._database.begin() as connection:
                last = connection.execute(delete(Event).where(Event.id.in_(doomed))).rowcount
            dropped += last
            time.sleep(time.monotonic() - started)
        return dropped

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

    def attempts(self, task: Execution) -> list[Execution]:
        """Return every attempt at a task, the first one first."""
        same = (Execution.stage == task.stage, Execution.subject == task.subject, Execution.kind == "task")
        statement = select(Execution).where(Execution.run_id == task.run_id, *same)
        return self._executions(statement.order_by(Execution.attempt, Execution.number))

    def events_of(self, execution: Execution, limit: int = 1000) -> list[Event]:
        """Return the first `limit` events about one execution, oldest first."""
        about = (Event.run_id == execution.run_id, Event.execution_id == execution.id)
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(select(Event).where(*about).order_by(Event.id).limit(limit)))

    def _executions(self, statement: Select[Execution]) -> list[Execution]:
        with self._database.reading() as connection, Session(connection) as session:
            return list(session.scalars(statement))

    def _update(self, statement: Any) -> bool:
        with self._database.begin() as connection:
            return bool(connection.execute(statement).rowcount == 1)


def _execution_row(execution: Execution) -> dict[str, Any]:
    """Read what was set straight from the instance: a supervisor saves very many, and SQLAlchemy is slow over defaults."""
    known = vars(execution)
    return {name: known.get(name, default) for name, default in _DEFAULTS.items()}


def _event_row(event: Event) -> dict[str, Any]:
    names = ("run_id", "execution_id", "at", "event", "data")
    return {name: getattr(event, name) for name in names}


def _waiting(table: Any, status: str) -> tuple[ColumnElement[bool], ...]:
    """The runs of a status that nothing holds."""
    return (table.kind == literal("run", literal_execute=True), table.status == status, table.held.is_(None))


def _of_last_attempts(statement: Any, run_id: str) -> Any:
    """Let a statement on executions see a run's tasks only, each by its last attempt.

    Few tasks are tried more than once, as a rule: to look those up costs less than to put all attempts in order.
    """
    task = Execution
    of_run = (task.run_id == storable(run_id), task.kind == "task")
    last = func.max(task.attempt).label("attempt")
    again = select(task.stage, task.subject, last).where(*of_run, task.attempt > 1).group_by(task.stage, task.subject)
    tried = again.subquery()
    same = (tried.c.stage == task.stage) & (tried.c.subject == task.subject)
    return statement.outerjoin(tried, same).where(*of_run, task.attempt == func.coalesce(tried.c.attempt, 1))


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
