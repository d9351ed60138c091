"""The small process that attends to one job of `maintenance`: it waits for the command and writes how it ended.

`python -m services.attendant ENDING COMMAND…`; TERM stops the command and all it started.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from config.contract import Exit
from services.commands import Child

_LOOK_SECONDS = 0.5


class _Asked:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.stop = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.stop = True


def attend(command: list[str], asked: _Asked) -> int:
    """Run a command to its end, or until it is to stop; returns its exit code."""
    child = Child(command, changes={}, stdout=None, stderr=None)
    while child.process.poll() is None and not asked.stop:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(_LOOK_SECONDS)
    if child.process.poll() is None:
        child.stop()
        return Exit.INTERRUPTED
    return child.process.returncode


def main() -> None:
    """Attend to the command, then write its ending, whole."""
    place, *command = sys.argv[1:]
    asked = _Asked()
    signal.signal(signal.SIGTERM, asked)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # whoever started this held it back until now
    exit_code = attend(command, asked)
    ended_at = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    fresh = Path(f"{place}.part")
    fresh.write_text(json.dumps({"exit_code": int(exit_code), "ended_at": ended_at}), encoding="utf-8")
    fresh.replace(place)


if __name__ == "__main__":
    main()
