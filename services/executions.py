"""The store of executions and events: the history of runs, and everything that changes it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, delete, func, insert, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from services.database import Database
from services.history import IS_RUN, History
from services.models import Event, Execution
from services.statuses import ENDED

__all__ = ["Event", "Execution", "Store", "new_id", "utc_now"]

_BLANK = Execution(id="", run_id="", kind="", queued_at="")
_DEFAULTS = {column.name: getattr(_BLANK, column.name) for column in Execution.__table__.columns}
_FIXED = frozenset({"id", "parent_execution_id", "run_id", "kind", "number"})
_CHUNK = 2_000


def new_id() -> str:
    """Return an execution's id: `exec_` and 12 hexadecimal digits."""
    return f"exec_{secrets.token_hex(6)}"


def utc_now() -> str:
    """Return the time as the database keeps it: UTC, ISO 8601, microseconds, with offset."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


class Store(History):
    """The history, and what writes it. Every method is one short transaction and raises as `Database.begin` does."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
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

    def add(self, execution: Execution, event: Event) -> bool:
        """Write a new execution and an event of it; False, and nothing is written, when there is one of its id already."""
        unless_there = _insert(self._database.dialect).on_conflict_do_nothing(index_elements=["id"])
        with self._database.begin() as connection:
            if connection.execute(unless_there.returning(Execution.id), _execution_row(execution)).first() is None:
                return False
            connection.execute(insert(Event), _event_row(event))
        return True

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
        return self._update(_change(execution_id, from_status, values))

    def end_run(self, run_id: str, from_status: Collection[str], status: str, reason: str, **values: Any) -> bool:
        """End a run that nobody carries out, if its status is one of `from_status`, and say so; tell whether it was.

        What of it was at work is interrupted. `values` are further columns; it ended now unless they tell when.
        """
        now = utc_now()
        columns = {"status": status, "ended_at": now, "owner": None, "workers": [], "held": None, **values}
        cut_short = (Execution.run_id == run_id, Execution.kind != "run", Execution.status == "running")
        event = Event(
            run_id=run_id, execution_id=run_id, at=now, event="run_ended", data={"status": status, "reason": reason}
        )
        with self._database.begin() as connection:
            if not _is_changed(connection, _change(run_id, from_status, columns)):
                return False
            connection.execute(update(Execution).where(*cut_short).values(status="interrupted"))
            connection.execute(insert(Event), _event_row(event))
        return True

    def compact(self, before: str) -> int:
        """Delete the events of runs that ended before a time, but for each run's last `run_ended`; return how many.

        Many short transactions with as long a pause after each, so that others may write meanwhile.
        """
        said_more = select(Event.id).where(Event.run_id == Execution.id, Event.event != "run_ended").exists()
        ended = select(Execution.id).where(IS_RUN, Execution.status.in_(ENDED), Execution.ended_at < before, said_more)
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

    def _update(self, statement: Any) -> bool:
        with self._database.begin() as connection:
            return _is_changed(connection, statement)


def _change(execution_id: str, from_status: Collection[str], values: Mapping[str, Any]) -> Any:
    is_so = (Execution.id == execution_id, Execution.status.in_(from_status))
    return update(Execution).where(*is_so).values(**values)


def _is_changed(connection: Connection, statement: Any) -> bool:
    return bool(connection.execute(statement).rowcount == 1)


def _insert(dialect: str) -> Any:
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return build(Execution)


def _upsert(dialect: str) -> Insert:
    statement = _insert(dialect)
    changed = {name: statement.excluded[name] for name in _DEFAULTS if name not in _FIXED}
    upsert: Insert = statement.on_conflict_do_update(index_elements=["id"], set_=changed)
    return upsert


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
