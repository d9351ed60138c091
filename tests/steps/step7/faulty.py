"""STEP7 under faults: `faults.c` compiled, and a process that runs STEP7 with it as often as it is asked to."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.steps.step7.conftest import REPOSITORY, Workplace

HERE = Path(__file__).resolve().parent
OPEN, WRITE, FSYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, CHMOD, UTIME, TRUNCATE = (1 << bit for bit in range(11))
TAKES_SPACE = OPEN | WRITE | MKDIR | LINK


@dataclass(frozen=True)
class Order:
    """What happens to a run of STEP7. Calls that change a file below a folder are counted from 1.

    `kill_at`: the one at which the process is killed (0: none). From `fail_from` on (0: none) those of the kinds
    `fail_kinds` are refused with `fail_with`. `below`: which folder, the workplace's `disks` if none is named.
    """

    kill_at: int = 0
    fail_from: int = 0
    fail_kinds: int = 0
    fail_with: int = errno.ENOSPC
    below: str = ""


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, negative for a signal, how many calls were counted, and what it said."""

    status: int
    calls: int
    said: str


class FaultServer:
    """The process that runs STEP7 under faults; a context."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "faults.so"
        self._output = folder / "output"
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(self._library), str(HERE / "faults.c"), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def __enter__(self) -> FaultServer:
        environment = {
            "PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, "LD_PRELOAD": str(self._library),
            "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fault_server.py")], env=environment, cwd=REPOSITORY, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def run(self, workplace: Workplace, order: Order = Order(), notes: Path | None = None) -> Ended:
        """Run STEP7 on a workplace; `notes` is a file to which every counted call is added: kind, path, second path."""
        assert self._process.stdin and self._process.stdout
        (workplace.root / "events").unlink(missing_ok=True)
        told: dict[str, Any] = {
            **asdict(order), "below": order.below or str(workplace.root / "disks"), "notes": notes and str(notes),
            "variables": workplace.environment, "arguments": workplace.command()[2:], "output": str(self._output),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Ended(answer["status"], answer["calls"], self._output.read_text())


class Disks(Workplace):
    """A workplace whose projects, deliveries and archives stand on `disks`, logs and events beside it."""

    @property
    def work_dir(self) -> Path:
        return self.root / "disks/projects"

    @property
    def output(self) -> Path:
        return self.root / "disks/output"

    @property
    def archives(self) -> Path:
        return self.root / "disks/archives"

    def lay_out(self, **variables: str) -> None:
        """Begin anew: one project with a video, a document and a folder of its own, delivered nowhere."""
        shutil.rmtree(self.root / "disks", ignore_errors=True)
        self.archives.mkdir(parents=True)
        self.variables = variables
        self.make_video("Projet 1", "clip")
        (self.work_dir / "Projet 1/notes").mkdir()
        (self.work_dir / "Projet 1/notes/day 1.txt").write_text("read me")
