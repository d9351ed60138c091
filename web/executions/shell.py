"""What a run's page says for a shell: its commands, and where its logs are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import url_for

from services.errors import ServiceError
from services.executions import Execution
from services.logs import log_path
from services.responses import GlobalStatus
from services.run_commands import again_from, run_command, steering_commands
from web.panel import panel


def log_url(path: str | None) -> str | None:
    """Return the address of a log's page, by the log's path; None when there is none to show."""
    folder = panel().settings.logs_dir
    if not path:
        return None
    try:
        name = Path(path).relative_to(folder).as_posix()
        name.encode()
        log_path(folder, name)
    except (ServiceError, ValueError):
        return None
    return url_for("logs.viewer", name=name)


def run_log(run_id: str) -> str:
    """Return where the log of a run without a terminal is, if it has one."""
    return str(panel().settings.logs_dir / "runs" / f"{run_id}.log")


def commands(run: Execution, status: GlobalStatus) -> dict[str, Any]:
    """Return the commands of a run: to start the same, to steer it, to do a step of it again."""
    command, needs_plan = run_command(run)
    steps = [step for step in status.steps if step.step]
    return {
        "start": command,
        "needs_plan": needs_plan,
        "steering": steering_commands(run, has_failures=any(step.error_count for step in status.steps)),
        "again": [(step, again_from(run.id, str(step.step))) for step in steps],
    }
