"""What every page works with: one record that the app carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from config.settings import Settings
from services.accounts import Accounts
from services.broadcast import Broadcast
from services.database import open_database
from services.executions import Store
from services.matrix import Matrix
from services.project_summaries import ProjectSummaries
from services.recent import Recent
from services.survival import Orphans
from services.workflow_progress import LOOK_SECONDS, WorkflowProgress

MATRIX_SECONDS = 1.0
"""Between two looks at all tasks of a run: there may be thousands."""
_NAME = "derush"


@dataclass(frozen=True)
class Panel:
    """The settings, the history of runs, who may use the panel, and what happens just now.

    `rendered` keeps parts of pages for a moment, by name and language, and `matrices` those of runs, for all who watch.
    Every request lets `orphans` look first, so that no page says of a run that it goes on whose supervisor is gone.
    """

    settings: Settings
    store: Store
    accounts: Accounts
    broadcast: Broadcast
    orphans: Orphans
    projects: ProjectSummaries
    progress: WorkflowProgress
    rendered: Recent[tuple[str, str], str]
    matrices: Recent[str, Matrix]


def open_panel(app: Flask, settings: Settings) -> Panel:
    """Open what the pages work with and give it to the app. Raises ServiceError as `open_database` does."""
    database = open_database(settings.data_dir, settings.database_url)
    store = Store(database)
    broadcast = Broadcast(store)
    opened = Panel(
        settings, store, Accounts(database), broadcast, Orphans(store), ProjectSummaries(settings.projects_dir),
        WorkflowProgress(store, broadcast.status), Recent(LOOK_SECONDS), Recent(MATRIX_SECONDS),
    )  # fmt: skip
    app.extensions[_NAME] = opened
    return opened


def panel() -> Panel:
    """Return the record of the app that answers this request."""
    return cast(Panel, current_app.extensions[_NAME])
