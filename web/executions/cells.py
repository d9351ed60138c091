"""A run's stages and matrix, read once for all who look at the same time."""

from __future__ import annotations

from collections.abc import Mapping

from services.executions import Execution
from services.matrix import Matrix, matrix
from services.plans import Plan
from services.stages import Stage, stages_of
from web.panel import panel


def stages(run: Execution) -> Mapping[str, Stage]:
    """Return the stages of a run's plan."""
    return stages_of(Plan.from_record(run.plan)) if run.plan else {}


def whole(run: Execution) -> Matrix:
    """Return a run's videos and projects, with what each step is at on them; at most MATRIX_SECONDS old."""
    return panel().matrices.get(run.id, lambda: matrix(panel().store.parts(run.id), stages(run)))
