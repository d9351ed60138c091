"""A step, a task or a video of a run, opened: everything that is known of it."""

from __future__ import annotations

from collections.abc import Sequence

from flask import render_template

from config.catalog import steps
from services.executions import Execution
from services.matrix import Matrix, Row
from services.run_commands import part_commands
from web.executions import run_files
from web.panel import panel

_MOST_TASKS = 100
_MOST_EVENTS = 200
_URGENCY = ("failed", "interrupted", "running", "cancelled", "queued", "skipped", "accepted", "succeeded")


def part_of(run: Execution, execution_id: str | None) -> str | None:
    """Return the id of a step or task of a run; None where none is named, or another run's.

    Raises ServiceError no_such_execution.
    """
    if not execution_id:
        return None
    found = panel().store.get(execution_id)
    return found.id if found.run_id == run.id and found.kind != "run" else None


def part_html(execution_id: str) -> str:
    """Show a step or a task."""
    row = panel().store.get(execution_id)
    return _step_html(row) if row.kind == "step" else _task_html(row)


def _step_html(step: Execution) -> str:
    """Show a step's tasks, each by its last attempt, what failed first."""
    parts = [part for part in panel().store.parts(step.run_id) if part.stage == step.stage]
    last = {part.subject: part for part in parts}.values()
    ordered = sorted(last, key=lambda part: _URGENCY.index(part.status))
    return render_template(
        "executions/_step.html", step=step, tasks=ordered[:_MOST_TASKS], count=len(ordered),
        spec=steps().get(step.step or ""), commands=part_commands(step),
    )  # fmt: skip


def _task_html(task: Execution) -> str:
    """Show a task: its attempts, how it ended, what it was warned of, its files."""
    attempts = panel().store.attempts(task)
    return render_template(
        "executions/_task.html",
        task=task,
        last=attempts[-1],
        attempts=attempts,
        events=panel().store.events_of(task, _MOST_EVENTS),
        files=run_files.of_tasks([task]),
        commands=part_commands(attempts[-1]),
    )


def video_html(run_id: str, whole: Matrix, row: Row) -> str:
    """Show a row of the matrix: what each step is at on it, and its files."""
    tasks = {task.id: task for task in panel().store.several([each for each in row.tasks if each])}
    cells = [(column, tasks.get(each or "")) for column, each in zip(whole.columns, row.tasks, strict=True)]
    done: Sequence[Execution] = list(tasks.values())
    return render_template(
        "executions/_video.html", run_id=run_id, row=row, cells=cells, files=run_files.of_tasks(done),
        statuses={task.status for task in done},
    )  # fmt: skip
