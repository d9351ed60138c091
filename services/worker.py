"""One worker: a step's script, alive and fed with items, its events and its log followed while it works."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.catalog import StepSpec
from config.settings import REPOSITORY
from services.commands import Child
from services.environments import Environment


@dataclass(frozen=True)
class WorkItem:
    """What a step is asked to work on. `kind` is archive, original, video or project; paths are absolute."""

    kind: str
    path: str
    project: str | None = None

    def line(self) -> bytes:
        """Return the item as the line a worker reads."""
        return json.dumps({"kind": self.kind, "path": self.path, "project": self.project}).encode() + b"\n"


@dataclass(frozen=True)
class Said:
    """One event of a worker."""

    worker: Worker
    event: Mapping[str, Any]


@dataclass(frozen=True)
class Logged:
    """One line of a worker's log."""

    worker: Worker
    line: str


@dataclass(frozen=True)
class Ended:
    """A worker is gone, all it said has been passed on before this."""

    worker: Worker
    returncode: int


Message = Said | Logged | Ended
_TAIL_LINES = 40


def step_command(spec: StepSpec, environment: Environment, *arguments: str) -> list[str]:
    """Return the command line of a step's script under its own interpreter."""
    return [str(environment.interpreter), str(REPOSITORY / spec.script), *arguments]


class Worker:
    """A running step script. What it says goes to `listen`, called from this worker's own threads."""

    def __init__(
        self, spec: StepSpec, environment: Environment, options: Sequence[str], listen: Callable[[Message], None]
    ) -> None:
        self.spec = spec
        self.item: WorkItem | None = None
        self.log_tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._listen = listen
        reading, writing = os.pipe()
        command = step_command(spec, environment, "--videos", "-", "--events", str(writing), *options)
        try:
            self._child = Child(
                command, changes=environment.variables, stdin=subprocess.PIPE, pass_fds=[writing], cwd=REPOSITORY
            )
        finally:
            os.close(writing)
        self._followers = [
            threading.Thread(target=self._follow_events, args=(reading,), daemon=True),
            threading.Thread(target=self._follow_log, daemon=True),
        ]
        for follower in self._followers:
            follower.start()
        threading.Thread(target=self._wait, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._child.process.pid

    def give(self, item: WorkItem) -> None:
        """Hand it the next item. A worker that is gone takes nothing: its end is reported as for any other death."""
        self.item = item
        with contextlib.suppress(BrokenPipeError):
            self._child.input.write(item.line())
            self._child.input.flush()

    def finish(self) -> None:
        """Tell it that no more items come: it ends after the one at hand."""
        with contextlib.suppress(BrokenPipeError):
            self._child.input.close()

    def stop(self) -> None:
        """End it and all it started: asked first, then made to."""
        self._child.stop()

    def kill(self) -> None:
        """End it and all it started at once. Safe to call from a signal handler."""
        self._child.signal(signal.SIGKILL)

    def _follow_events(self, descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                event = _parsed(line)
                if event is not None:
                    self._listen(Said(self, event))

    def _follow_log(self) -> None:
        assert self._child.process.stdout is not None
        for raw in self._child.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            self.log_tail.append(line)
            self._listen(Logged(self, line))

    def _wait(self) -> None:
        returncode = self._child.process.wait()
        # What a killed worker started may still hold the pipes: end it, so that the followers come to their end.
        self._child.stop(0)
        for follower in self._followers:
            follower.join()
        self._listen(Ended(self, returncode))


def _parsed(line: str) -> dict[str, Any] | None:
    """Return the event of a line; a line cut short by a kill is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
