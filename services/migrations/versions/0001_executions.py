"""The tree of executions, and its events."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _key() -> sa.String:
    return sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")


def _only(words: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(words), "postgresql_where": sa.text(words)}


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "executions",
        sa.Column("id", _key(), nullable=False),
        sa.Column("parent_execution_id", _key()),
        sa.Column("run_id", _key(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("stage", sa.Text),
        sa.Column("step", sa.Text),
        sa.Column("item_kind", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("brought_by", sa.Text),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("done", sa.Double, nullable=False),
        sa.Column("total", sa.Double, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("queued_at", _key(), nullable=False),
        sa.Column("started_at", _key()),
        sa.Column("ended_at", _key()),
        sa.Column("heartbeat_at", _key()),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("held", sa.Text),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("workers", sa.Text, nullable=False),
        sa.Column("requests_seen", sa.BigInteger, nullable=False),
        sa.Column("plan", sa.Text),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("artefacts", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("log_path", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
        sa.ForeignKeyConstraint(
            ["parent_execution_id"], ["executions.id"], name="fk_executions_parent_execution_id",
            deferrable=True, initially="DEFERRED",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["executions.id"], name="fk_executions_run_id", deferrable=True, initially="DEFERRED"
        ),
        sa.CheckConstraint("kind IN ('run', 'step', 'task')", name=op.f("ck_executions_kind")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'skipped', 'cancelled', 'interrupted', 'accepted')",
            name=op.f("ck_executions_status"),
        ),
        sa.CheckConstraint("(kind = 'run') = (parent_execution_id IS NULL)", name=op.f("ck_executions_parent")),
    )  # fmt: skip
    op.create_index("ix_executions_tree", "executions", ["run_id", "number"])
    op.create_index("ix_executions_runs", "executions", ["queued_at", "id"], **_only("kind = 'run'"))
    op.create_index("ix_executions_run_status", "executions", ["status", "queued_at", "id"], **_only("kind = 'run'"))
    op.create_index(
        "ix_executions_costs",
        "executions",
        ["step", "ended_at", "seconds"],
        **_only("kind = 'task' AND outcome = 'done'"),
    )
    op.create_index("ix_executions_steps", "executions", ["run_id", "number"], **_only("kind = 'step'"))
    op.create_index(
        "ix_executions_again",
        "executions",
        ["run_id", "stage", "subject", "attempt"],
        **_only("kind = 'task' AND attempt > 1"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", _key(), nullable=False),
        sa.Column("execution_id", _key()),
        sa.Column("at", _key(), nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["executions.id"], name="fk_events_run_id", deferrable=True, initially="DEFERRED"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_run", "events", ["run_id", "id"])
    op.create_index("ix_events_requested", "events", ["run_id", "id"], **_only("event = 'requested'"))
