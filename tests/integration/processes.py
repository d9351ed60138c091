"""`derush` as a process, for the tests that start, watch, interrupt and kill it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tests.conftest import REPOSITORY

DERUSH = (sys.executable, "-m", "services.cli")


def start(
    command: Sequence[str], variables: Mapping[str, str], *, output: IO[str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in the repository and return at once; what it says goes to a file, or to pipes."""
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=variables, stdout=output or subprocess.PIPE, stderr=output or subprocess.PIPE,
        text=True,
    )  # fmt: skip


def told_by(process: subprocess.Popen[str], seconds: float = 60) -> dict[str, Any]:
    """Wait for the end of a `derush … --json` and return its document."""
    out, err = process.communicate(timeout=seconds)
    assert out, err
    told: dict[str, Any] = json.loads(out)
    return told


def interrupt(process: subprocess.Popen[str]) -> int:
    """Ctrl-C; returns the exit code."""
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    return process.returncode


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, those that are gone left aside."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Return all processes below one, by the kernel's own list."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread, or the process itself, ended meanwhile
            for child in children.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def command_line(pid: int) -> list[str]:
    """Return the words of a process's command line; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
