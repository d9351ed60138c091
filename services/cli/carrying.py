"""What the commands that carry a run out share: signals, what is shown, the summary at the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from config.contract import Exit
from config.settings import Settings
from services.cli.console import NotesOnly, RunView
from services.cli.options import to_person
from services.cli.store import open_store
from services.cli.summary import print_summary, summary
from services.executions import Execution, Store
from services.launcher import Run
from services.launching import start

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUPERVISOR_PATIENCE = 0.25
"""Seconds that writing waits for another process: a run keeps what it could not write and goes on meanwhile."""


def carry_out(recorded: Callable[[], Execution], settings: Settings, *, show_log: bool, as_json: bool) -> int:
    """Carry a run out here and now, showing it or printing one document at its end; returns the exit code.

    `recorded` records it, or finds it.
    """
    view = RunView(Console(), show_log=show_log)
    store = open_store(settings, patience=SUPERVISOR_PATIENCE)
    with _signals_kept():  # a run that is recorded hears them: else it would stay in the queue, and nobody come for it
        running = Run(recorded(), settings, store, NotesOnly() if as_json else view)
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


def carry_out_detached(store: Store, run: Execution, settings: Settings, *, as_json: bool) -> int:
    """Let a process of its own carry a recorded run out, and say how to follow it; returns the exit code.

    Raises ServiceError cannot_start.
    """
    start(store, settings, run)
    follow = f"derush status {run.id} --watch"
    to_person.print(f"Started: `{follow}` shows it.", soft_wrap=True)
    print(json.dumps({"schema": "derush.started/1", "execution_id": run.id, "follow": follow}) if as_json else run.id)
    return Exit.OK


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Let the signals that stop a run wait for the end of the block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _stop_on_signals(run: Run, say: Callable[[str], None]) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        run.interrupt()
        say("Stopping… (Ctrl-C again stops at once)")

    for number in _STOPPING:
        signal.signal(number, stop)
