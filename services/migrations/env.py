"""What Alembic runs: the migrations, in the transaction that `services.database` opened."""

from __future__ import annotations

from alembic import context

from services.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
