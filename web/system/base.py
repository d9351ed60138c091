"""What the pages of the system share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import Blueprint, current_app
from flask.blueprints import BlueprintSetupState

from services.background import Background
from services.doctor import Check, examine
from services.inventory import Inventory, ModelFacts
from services.maintenance import Job, JobState, Maintenance
from web.access import audit, audited
from web.panel import Panel

blueprint = Blueprint("system", __name__, url_prefix="/system", template_folder="templates")
PARTS = "derush.system"
"""The name that `Parts` have among the app's extensions."""


@dataclass(frozen=True)
class Parts:
    """What these pages work with, beside the panel."""

    inventory: Inventory
    maintenance: Maintenance
    doctor: Background[list[Check]]

    def models(self, state: JobState | None) -> list[ModelFacts]:
        """Return the models, read through again after each job on them (`state` is the last)."""
        return self.inventory.models(state.ended_at if state else None)


@blueprint.record_once
def _open(state: BlueprintSetupState) -> None:
    opened: Panel = state.app.extensions["derush"]
    settings = opened.settings
    doctor = Background(lambda: examine(settings), "doctor")
    state.app.extensions[PARTS] = Parts(Inventory(settings), Maintenance(settings), doctor)


def parts() -> Parts:
    """Return what these pages work with, in the app that answers this request."""
    return cast(Parts, current_app.extensions[PARTS])


def begin(make: Callable[[], Job], action: str, target: str) -> JobState:
    """Begin a job on an environment or on the models. Raises ServiceError as `make` and `Maintenance.start` do."""
    with audited(action, target, "begun"):
        return parts().maintenance.start(make())


def stop(subject: str) -> None:
    """Stop what is being done on an environment or on the models. Raises ServiceError no_such_job."""
    parts().maintenance.stop(subject)
    audit("stop maintenance", subject)
