"""What the commands that carry a run out share: signals, what is shown, the summary at the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from config.settings import Settings
from services.cli.console import NotesOnly, RunView
from services.cli.options import to_person
from services.cli.summary import print_summary, summary
from services.database import open_database
from services.executions import Execution, Store
from services.launcher import Run

SUPERVISOR_PATIENCE = 0.25
"""Seconds that writing waits for another process: a run keeps what it could not write and goes on meanwhile."""


def open_store(settings: Settings, *, patience: float = 10.0) -> Store:
    """Return the store that the settings name."""
    return Store(open_database(settings.data_dir, settings.database_url, patience=patience))


def carry_out(run: Execution, settings: Settings, *, show_log: bool, as_json: bool) -> int:
    """Carry a recorded run out here and now, showing it or printing one document at its end; returns the exit code."""
    view = RunView(Console(), show_log=show_log)
    running = Run(run, settings, open_store(settings, patience=SUPERVISOR_PATIENCE), NotesOnly() if as_json else view)
    _stop_on_signals(running, to_person.print if as_json else view.note)
    if as_json:
        result = running.carry_out()
    else:
        with view:
            result = running.carry_out()
    told = summary(result, settings)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        print_summary(Console(), told, settings)
    return result.exit_code


def _stop_on_signals(run: Run, say: Callable[[str], None]) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        run.interrupt()
        say("Stopping… (Ctrl-C again stops at once)")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
