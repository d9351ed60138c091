"""The tables: executions, one tree of everything that happens; events, what was said about it; who may use the panel.

Rows are plain dataclass instances that stand apart from any session: nothing is loaded lazily, nothing is tracked.
Every time is UTC in ISO 8601 with microseconds and the offset "+00:00", so that times sort as text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column
from sqlalchemy.types import TypeDecorator

from services.statuses import KINDS, STATUSES

_UNSTORABLE = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|[0-9a-f]{4})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def storable(value: str) -> str:
    r"""Escape what a database's text cannot hold (NUL, lone surrogates), as `\` and four digits; a `\` is doubled.

    File names are bytes: Python reads those that are no UTF-8 as lone surrogates.
    """
    return _UNSTORABLE.sub(lambda found: "\\\\" if found[0] == "\\" else f"\\{ord(found[0]):04x}", value)


def restored(value: str) -> str:
    """Undo `storable`."""
    return _ESCAPED.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1], 16)), value)


def json_text(value: object) -> str:
    """Return a value as JSON that any database's text holds, readable otherwise."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", _ENCODER.encode(value))


class AnyText(TypeDecorator[str]):
    """Text that may hold whatever a file name can, and comes back exactly."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Escape on the way in."""
        return None if value is None else storable(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Restore on the way out."""
        return None if value is None else restored(value)


class JsonText(TypeDecorator[Any]):
    """A JSON value, kept as text: PostgreSQL's own JSON type refuses what file names may hold. None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write as text."""
        return None if value is None else json_text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Read from text."""
        return None if value is None else json.loads(value)


# Ids and times are compared byte by byte, whatever the language of a PostgreSQL.
_Key = String(40).with_variant(String(40, collation="C"), "postgresql")
_EventId = BigInteger().with_variant(Integer(), "sqlite")
HIGHEST_INTEGER, HIGHEST_BIG_INTEGER = 2**31 - 1, 2**63 - 1
"""The highest numbers that these columns can be compared with."""


def _one_of(column: str, accepted: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in accepted)})", name=column)


def _only(words: str) -> dict[str, Any]:
    """Make an index hold only some rows."""
    return {"sqlite_where": text(words), "postgresql_where": text(words)}


class Base(MappedAsDataclass, DeclarativeBase):
    """What all tables share: dataclasses with keyword arguments, and names for constraints."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class Execution(Base, kw_only=True):
    """A run, a step of a run, or a task: one step on one item. `stage` is the id of the task in the run's plan.

    `number` is the order of creation within the run. `held` says why a run starts nothing new. `owner` and `workers`
    identify processes. `requests_seen` is the id of the last request event that was handled.
    """

    __tablename__ = "executions"

    id: Mapped[str] = mapped_column(_Key, primary_key=True)
    parent_execution_id: Mapped[str | None] = mapped_column(
        _Key, ForeignKey("executions.id", deferrable=True, initially="DEFERRED"), default=None
    )
    run_id: Mapped[str] = mapped_column(_Key, ForeignKey("executions.id", deferrable=True, initially="DEFERRED"))
    kind: Mapped[str] = mapped_column(String(8))
    number: Mapped[int] = mapped_column(default=0)
    stage: Mapped[str | None] = mapped_column(AnyText, default=None)
    step: Mapped[str | None] = mapped_column(AnyText, default=None)
    item_kind: Mapped[str | None] = mapped_column(AnyText, default=None)
    subject: Mapped[str | None] = mapped_column(AnyText, default=None)
    project: Mapped[str | None] = mapped_column(AnyText, default=None)
    brought_by: Mapped[str | None] = mapped_column(AnyText, default=None)
    status: Mapped[str] = mapped_column(String(16), default="queued")
    outcome: Mapped[str | None] = mapped_column(AnyText, default=None)
    done: Mapped[float] = mapped_column(default=0.0)
    total: Mapped[float] = mapped_column(default=0.0)
    unit: Mapped[str] = mapped_column(AnyText, default="")
    message: Mapped[str] = mapped_column(AnyText, default="")
    attempt: Mapped[int] = mapped_column(default=1)
    queued_at: Mapped[str] = mapped_column(_Key)
    started_at: Mapped[str | None] = mapped_column(_Key, default=None)
    ended_at: Mapped[str | None] = mapped_column(_Key, default=None)
    heartbeat_at: Mapped[str | None] = mapped_column(_Key, default=None)
    seconds: Mapped[float] = mapped_column(default=0.0)
    error: Mapped[dict[str, Any] | None] = mapped_column(JsonText, default=None)
    held: Mapped[dict[str, Any] | None] = mapped_column(JsonText, default=None)
    priority: Mapped[int] = mapped_column(default=0)
    owner: Mapped[dict[str, Any] | None] = mapped_column(JsonText, default=None)
    workers: Mapped[list[dict[str, Any]]] = mapped_column(JsonText, default_factory=list)
    requests_seen: Mapped[int] = mapped_column(BigInteger, default=0)
    plan: Mapped[dict[str, Any] | None] = mapped_column(JsonText, default=None)
    parameters: Mapped[dict[str, Any]] = mapped_column(JsonText, default_factory=dict)
    artefacts: Mapped[list[Any]] = mapped_column(JsonText, default_factory=list)
    metrics: Mapped[dict[str, Any]] = mapped_column(JsonText, default_factory=dict)
    log_path: Mapped[str | None] = mapped_column(AnyText, default=None)

    __table_args__ = (
        _one_of("kind", KINDS),
        _one_of("status", STATUSES),
        CheckConstraint("(kind = 'run') = (parent_execution_id IS NULL)", name="parent"),
        Index("ix_executions_tree", "run_id", "number"),
        # Partial, so that the few runs stay quick to list among very many tasks.
        Index("ix_executions_runs", "queued_at", "id", **_only("kind = 'run'")),
        Index("ix_executions_run_status", "status", "queued_at", "id", **_only("kind = 'run'")),
        Index("ix_executions_costs", "step", "ended_at", "seconds", **_only("kind = 'task' AND outcome = 'done'")),
        Index("ix_executions_steps", "run_id", "number", **_only("kind = 'step'")),
        Index("ix_executions_again", "run_id", "stage", "subject", "attempt", **_only("kind = 'task' AND attempt > 1")),
    )

    @property
    def is_paused(self) -> bool:
        """Whether a person paused this run: it starts nothing new until it is resumed."""
        return self.held is not None and self.held.get("code") == "paused"


class Event(Base, kw_only=True):
    """Something that happened in a run. Ids rise in the order in which events can be read, and are never used again."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(_EventId, primary_key=True, init=False)
    run_id: Mapped[str] = mapped_column(_Key, ForeignKey("executions.id", deferrable=True, initially="DEFERRED"))
    execution_id: Mapped[str | None] = mapped_column(_Key, default=None)
    at: Mapped[str] = mapped_column(_Key)
    event: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]] = mapped_column(JsonText, default_factory=dict)

    __table_args__ = (
        Index("ix_events_run", "run_id", "id"),
        # A supervisor asks for requests all the time, and there are few among very many events.
        Index("ix_events_requested", "run_id", "id", **_only("event = 'requested'")),
        # Counted with every look at a run.
        Index("ix_events_warnings", "run_id", "id", **_only("event = 'warning'")),
        {"sqlite_autoincrement": True},
    )


class Account(Base, kw_only=True):
    """The one account of the panel. `generation` changes with the password: sessions of an earlier one are over.

    `link_digest` is the sha256 of the link that signs in once; it is gone when the link was used.
    """

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    password_hash: Mapped[str | None] = mapped_column(String(256), default=None)
    generation: Mapped[str] = mapped_column(String(40))
    link_digest: Mapped[str | None] = mapped_column(String(64), default=None)


class Token(Base, kw_only=True):
    """A key that a program signs in with: its sha256 only, what it may do, until when."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, init=False)
    name: Mapped[str] = mapped_column(AnyText)
    scopes: Mapped[list[str]] = mapped_column(JsonText, default_factory=list)
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[str] = mapped_column(_Key)
    last_used_at: Mapped[str | None] = mapped_column(_Key, default=None)
    expires_at: Mapped[str | None] = mapped_column(_Key, default=None)
    revoked_at: Mapped[str | None] = mapped_column(_Key, default=None)

    __table_args__ = (Index("ix_tokens_digest", "digest", unique=True),)


class AuditEntry(Base, kw_only=True):
    """Somebody did something through the panel or its API: who, from where, what, to what, how it ended."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(_EventId, primary_key=True, init=False)
    at: Mapped[str] = mapped_column(_Key)
    who: Mapped[str] = mapped_column(AnyText)
    address: Mapped[str] = mapped_column(AnyText)
    action: Mapped[str] = mapped_column(AnyText)
    target: Mapped[str] = mapped_column(AnyText, default="")
    outcome: Mapped[str] = mapped_column(AnyText, default="done")

    __table_args__ = ({"sqlite_autoincrement": True},)
