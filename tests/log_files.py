"""Logs as they are found: one of gigabytes, and one that a process writes to while somebody looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

HUGE = 2_000_000_000
_WRITER = """
import logging, sys, time
from pathlib import Path
from workflow_scripts.stepkit.logs import open_log
open_log(Path(sys.argv[1]))
logging.getLogger().handlers = logging.getLogger().handlers[:1]
began, number, count = time.monotonic(), 0, int(sys.argv[2])
while number < count:
    while number < min(count, (time.monotonic() - began) * 5_000):
        logging.info("line %d of clip_%d.mp4", number, number % 7)
        number += 1
    time.sleep(0.005)
"""


def huge_log(path: Path, last: str = "2026-11-21T10:31:06Z ERROR   the last line\n") -> Path:
    """Make a log of 2 GB that takes no room: its end is real, what stands before is one endless line of zeros."""
    path.write_bytes(b"")
    os.truncate(path, HUGE)
    lines = "".join(f"2026-11-21T10:31:05Z INFO    line {number}\n" for number in range(5_000))
    with path.open("ab") as stream:
        stream.write(f"\n{lines}{last}".encode())
    return path


def write_busily(path: Path, count: int) -> None:
    """Let a process log lines as a step does, 5,000 a second, and wait for its end."""
    subprocess.run([sys.executable, "-c", _WRITER, path, str(count)], cwd=REPOSITORY, check=True)
