"""Warnings of a run are counted with every look at it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make an index over the warnings among the events."""
    only = sa.text("event = 'warning'")
    op.create_index("ix_events_warnings", "events", ["run_id", "id"], sqlite_where=only, postgresql_where=only)
