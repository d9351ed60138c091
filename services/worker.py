"""A worker: a step's script, alive and fed with items, or a plan's command; followed while it works."""

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
from pathlib import Path
from typing import Any

from config.catalog import StepSpec
from config.settings import REPOSITORY
from services.commands import Child
from services.environments import Environment
from services.items import WorkItem
from services.processes import RUN_VARIABLE, identity
from services.stages import Stage


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
PROJECTS = "{projects}"
"""In a plan's command, the paths of the projects that the run worked on."""
_TAIL_LINES = 40


def step_command(spec: StepSpec, environment: Environment, *arguments: str) -> list[str]:
    """Return the command line of a step's script under its own interpreter."""
    return [str(environment.interpreter), str(REPOSITORY / spec.script), *arguments]


class Worker:
    """A running script or command. What it says goes to `listen`, called from this worker's own threads.

    A command's output is kept at `log_path`. A script is driven: it takes items on its standard input, tells events
    through a descriptor, and keeps a log of its own.
    """

    def __init__(
        self,
        stage: Stage,
        command: Sequence[str],
        changes: Mapping[str, str | None],
        listen: Callable[[Message], None],
        *,
        log_path: Path | None = None,
    ) -> None:
        self.stage = stage
        self.log_path = log_path
        self.log_tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._listen = listen
        self._followers = [threading.Thread(target=self._follow_log, args=(log_path,), daemon=True)]
        if stage.spec:
            reading, writing = os.pipe()
            try:
                self._child = Child(
                    [*command, "--videos", "-", "--events", str(writing)], changes=changes, stdin=subprocess.PIPE,
                    pass_fds=[writing], cwd=REPOSITORY,
                )  # fmt: skip
            except BaseException:
                os.close(reading)
                raise
            finally:
                os.close(writing)
            self._followers.append(threading.Thread(target=self._follow_events, args=(reading,), daemon=True))
        else:
            self._child = Child(command, changes=changes, cwd=REPOSITORY)
        self.identity = identity(self._child.process.pid)
        for follower in self._followers:
            follower.start()
        threading.Thread(target=self._wait, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._child.process.pid

    def give(self, item: WorkItem, *, force: bool, cores: int | None = None, accepted: Sequence[str] = ()) -> None:
        """Hand it the next item, to be done again where it is up to date if that is asked for, or its stage's plan says so.

        `cores` is the item's share of them; None when it need not be held to one. `accepted` are paths that a person took
        as they are, failed.
        A worker that is gone takes nothing: its end is reported as for any other death.
        """
        with contextlib.suppress(BrokenPipeError):
            self._child.input.write(item.line(force=force or self.stage.force, cores=cores, accepted=accepted))
            self._child.input.flush()

    def finish(self) -> None:
        """Tell it that no more items come: it ends after the one at hand."""
        with contextlib.suppress(BrokenPipeError):
            self._child.input.close()

    def stop(self) -> None:
        """End it and all it started: asked first, then made to."""
        self._child.stop()

    def stop_soon(self) -> None:
        """Begin to end it, without waiting for that; its end is reported as any other."""
        threading.Thread(target=self._child.stop, daemon=True).start()

    def kill(self) -> None:
        """End it and all it started at once. Safe to call from a signal handler."""
        self._child.signal(signal.SIGKILL)

    def _follow_events(self, descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                event = _parsed(line)
                if event is not None:
                    self._listen(Said(self, event))

    def _follow_log(self, kept_at: Path | None) -> None:
        assert self._child.process.stdout is not None
        with kept_at.open("ab") if kept_at else contextlib.nullcontext() as kept:
            for raw in self._child.process.stdout:
                line = raw.decode("utf-8", "replace").rstrip()
                self.log_tail.append(line)
                self._listen(Logged(self, line))
                if kept:
                    with contextlib.suppress(OSError):  # a full disk must not keep the command from going on
                        kept.write(raw)

    def _wait(self) -> None:
        returncode = self._child.process.wait()
        # What a killed worker started may still hold the pipes: end it, so that the followers come to their end.
        self._child.stop(0)
        for follower in self._followers:
            follower.join()
        self._listen(Ended(self, returncode))


def start_worker(
    stage: Stage, environment: Environment, options: Sequence[str], run_id: str, listen: Callable[[Message], None]
) -> Worker:
    """Start a worker of a stage that is a step, under the step's own interpreter."""
    assert stage.spec is not None
    command = step_command(stage.spec, environment, *options)
    return Worker(stage, command, _changes(environment, run_id), listen)


def start_command(
    stage: Stage,
    environment: Environment,
    command: Sequence[str],
    run_id: str,
    listen: Callable[[Message], None],
    log_path: Path,
) -> Worker:
    """Start a stage that is a command, in its environment. Raises OSError when it cannot be started."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    return Worker(stage, command, _changes(environment, run_id), listen, log_path=log_path)


def resolved(
    command: Sequence[str], environment: Environment, home: Environment, projects: Sequence[str]
) -> list[str] | None:
    """Return a plan's command as it is started; None when it is about the projects of a run that has none.

    `derush` is this installation's own, `python` the environment's interpreter, `{projects}` the projects' paths.
    """
    if PROJECTS in command and not projects:
        return None
    own = {"derush": [str(home.interpreter), "-m", "services.cli"], "python": [str(environment.interpreter)]}
    first = own.get(command[0], [command[0]])
    rest = [word for given in command[1:] for word in (projects if given == PROJECTS else [given])]
    return [*first, *rest]


def _changes(environment: Environment, run_id: str) -> dict[str, str | None]:
    return {**environment.variables, RUN_VARIABLE: run_id}


def _parsed(line: str) -> dict[str, Any] | None:
    """Return the event of a line; a line cut short by a kill is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
