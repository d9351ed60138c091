"""Why work was not done, as records and people get it: a code, a sentence, a remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.crew import DEATHS_WINDOW, MOST_DEATHS
from services.flow import STOPPED_AT_FAILURE, Outcome
from services.stages import Stage
from services.worker import Ended

_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z (INFO|WARNING|ERROR) ")
"""How a line begins in which a step tells of its work (workflow_scripts/stepkit/logs.py)."""


def death(message: Ended) -> dict[str, str]:
    """Say how a worker died, with its last words."""
    code = message.returncode
    how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
    # What it logged of its work is about items before this one; what ends a process is in no log's form.
    said = [line for line in message.worker.log_tail if line and not _LOGGED.match(line)]
    last_words = f" (last words: {said[-1]})" if said else ""
    return {
        "code": "worker_died",
        "message": f"The worker of {message.worker.stage.label} {how}{last_words}.",
        "remedy": "Look at the log, set the file aside or mend it; `derush retry` does only this item anew.",
    }


def given_up(stage: Stage, error: Mapping[str, str]) -> dict[str, str]:
    """Say that a step was stopped because its workers keep dying."""
    return {
        "code": "step_given_up",
        "message": f"{MOST_DEATHS} workers of {stage.label} died within {DEATHS_WINDOW:.0f} s, so it was stopped. {error['message']}",
        "remedy": f"`derush logs {stage.label}` has their last words. When it is mended, `derush retry` goes on.",
    }


def stopped() -> Outcome:
    """Say that a task was not begun because another failed, and nothing was to be begun after that."""
    error = {
        "code": STOPPED_AT_FAILURE,
        "message": "The run stopped at its first failure.",
        "remedy": "`derush retry` does what failed and what was stopped.",
    }
    return Outcome("skipped", message="stopped at the first failure", error=error)


def busy(subject: str, holder: str) -> dict[str, str]:
    """Say that another run works on the same material."""
    return {
        "code": "project_busy",
        "message": f"{Path(subject).name} is being worked on by {holder or 'another run'}.",
        "remedy": f"Wait for it, or end it: `derush cancel {holder}`." if holder else "Wait for it.",
    }


def cannot_start(command: Sequence[str], error: OSError) -> dict[str, str]:
    """Say that a plan's command cannot be started."""
    return {
        "code": "command_not_found",
        "message": f"{command[0]} cannot be started ({error.strerror}).",
        "remedy": "Name a program that is installed, by its full path or as it is found on PATH.",
    }


def command_failed(message: Ended) -> dict[str, str]:
    """Say how a plan's command ended."""
    stage, tail = message.worker.stage, " ".join(list(message.worker.log_tail)[-3:])
    return {
        "code": "check_failed" if stage.is_check else "command_failed",
        "message": f"`{' '.join(stage.command)}` ended with {message.returncode}: {tail[-400:]}",
        "remedy": f"See {message.worker.log_path}.",
    }
