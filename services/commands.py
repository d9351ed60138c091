"""Child processes: started without a shell, in a session of their own, ended for certain."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from config.settings import inherited_environment
from services.errors import CommandFailed

GRACE_SECONDS = 5.0
"""How long a process group may take to answer INT, and again TERM, before KILL."""


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment with `changes`; None removes a variable."""
    merged = {**inherited_environment(), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def can_start(program: str, folder: Path) -> bool:
    """Tell whether a program is there: found on PATH, or by its path, which starts at `folder` unless it is a full one."""
    place = str(folder / program) if "/" in program else program
    return shutil.which(place, path=inherited_environment().get("PATH", os.defpath)) is not None


def run(command: Sequence[str], *, changes: Mapping[str, str | None] | None = None, remedy: str, timeout: float) -> str:
    """Run a command to its end and return what it wrote to standard output.

    Raises CommandFailed with the end of its output, also when it takes longer than `timeout` seconds.
    """
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment(changes or {})
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(command, -1, f"no end after {timeout:.0f} s", remedy) from None
    except OSError as error:
        raise CommandFailed(command, -1, str(error), remedy) from None
    if ended.returncode != 0:
        raise CommandFailed(command, ended.returncode, ended.stdout + ended.stderr, remedy)
    return ended.stdout


def run_showing(command: Sequence[str], *, changes: Mapping[str, str | None] | None = None, remedy: str) -> None:
    """Run a command that shows its own progress on the terminal. Raises CommandFailed; ends it when interrupted."""
    child = Child(command, changes=changes or {}, stdout=None, stderr=None)
    try:
        returncode = child.process.wait()
    except BaseException:
        child.stop()
        raise
    if returncode != 0:
        raise CommandFailed(command, returncode, "(its messages stand above)", remedy)


class Child:
    """A process in a session of its own, so that a signal reaches all it started and nothing else."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        changes: Mapping[str, str | None],
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.STDOUT,
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
    ) -> None:
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, cwd=cwd,
            env=environment(changes), start_new_session=True,
        )  # fmt: skip

    @property
    def input(self) -> IO[bytes]:
        """Its standard input; only when it was started with a pipe."""
        assert self.process.stdin is not None
        return self.process.stdin

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group, if anything of it is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """End the whole group: INT, then TERM, then KILL, each after a bounded wait. KILL also sweeps up orphans."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if self.process.poll() is not None:
                break
            self.signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        self.signal(signal.SIGKILL)
        self.process.wait()
