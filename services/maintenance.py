"""Maintenance that takes minutes (environments rebuilt, models fetched and verified): jobs in processes of their own.

A job is one `derush` command, carried out by an `attendant` that outlives the panel. On each subject (an environment,
the models) one job is at work at a time. Each has its log in `LOGS_DIR/system`; `DATA_DIR/maintenance` has a record of
the last job on each subject, and how each job ended: whoever opens the panel anew reads all of it from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from config.catalog import models as declared_models
from config.contract import Exit
from config.settings import REPOSITORY, Settings
from services.commands import environment
from services.environments import HOME_ENVIRONMENT, environments
from services.errors import ServiceError
from services.executions import Store, utc_now
from services.log_file import LogFile
from services.processes import identity, is_alive
from services.survival import is_orphan

MODELS = "models"
"""The subject of every job on models: they share one folder."""
DERUSH = (sys.executable, "-m", "services.cli")
_SHOWN_LINES = 400
# What a command writes is read as a file: no colours, and lines as long as they are.
_PLAIN: dict[str, str | None] = {"NO_COLOR": "1", "FORCE_COLOR": None, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Job:
    """What is worked on, and what `derush` is asked to do."""

    subject: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class JobState:
    """The last job on a subject. `status` is running, succeeded, failed, cancelled, or interrupted: it was killed."""

    subject: str
    command: str
    status: str
    started_at: str
    ended_at: str | None
    exit_code: int | None
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether it is at work."""
        return self.status == "running"


def rebuild(name: str, settings: Settings, store: Store) -> Job:
    """Return the job that builds an environment anew, with what the tests need if it has that now.

    Raises ServiceError for a name that none has, for the environment that the panel itself runs in, and while a run
    goes on: its steps would lose what they run under.
    """
    known = environments(settings)
    if name not in known:
        raise ServiceError(
            "no_such_environment", f"There is no environment {name}.", f"There are: {', '.join(known)}.", Exit.USAGE
        )
    if name == HOME_ENVIRONMENT:
        raise ServiceError(
            "home_environment", f"{name} is what the panel itself runs in: it cannot be replaced under it.",
            f"Close the panel, then run `derush envs rebuild {name}` in a shell.",
        )  # fmt: skip
    if active := [run.id for run in store.active_runs() if not is_orphan(run)]:
        raise ServiceError(
            "runs_go_on", f"{', '.join(active[:3])} would lose the environment under its steps.",
            "Wait for its end or cancel it, then rebuild.",
        )  # fmt: skip
    development = ("--dev",) if known[name].is_built(development=True) else ()
    return Job(name, ("envs", "rebuild", name, *development))


def fetch_models(name: str | None) -> Job:
    """Return the job that fetches a model, or all that are missing or damaged. Raises ServiceError no_such_model."""
    if name is not None and name not in declared_models():
        raise ServiceError(
            "no_such_model", f"There is no model {name}.", f"There are: {', '.join(declared_models())}.", Exit.USAGE
        )
    return Job(MODELS, ("models", "fetch", *([name] if name else [])))


def verify_models() -> Job:
    """Return the job that checks every model's size and sha256."""
    return Job(MODELS, ("models", "verify"))


class Maintenance:
    """Starts jobs, stops them, and tells how they are; nothing is kept in memory. `derush` is the command to call."""

    def __init__(self, settings: Settings, derush: Sequence[str] = DERUSH) -> None:
        self._logs = settings.logs_dir / "system"
        self._records = settings.data_dir / "maintenance"
        self._subjects = (*environments(settings), MODELS)
        self._derush = tuple(derush)

    def start(self, job: Job) -> JobState:
        """Start a job and return at once. Raises ServiceError job_goes_on when another is at work on its subject."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._records.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{job.subject}_{datetime.now(timezone.utc):%Y%m%dT%H%M%S_%fZ}.log"
        with self._lock(job.subject) as lock, log.open("xb") as output, _holding_back(signal.SIGTERM):
            attendant = subprocess.Popen(
                [sys.executable, "-m", "services.attendant", str(self._ending_of(log)), *self._derush, *job.arguments],
                cwd=REPOSITORY, env=environment(_PLAIN), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, pass_fds=[lock],  # it holds the lock until it ends
            )  # fmt: skip
            record = {"arguments": job.arguments, "log": log.name, "started_at": utc_now(),
                      "owner": identity(attendant.pid)}  # fmt: skip
            _write(self._record(job.subject), record)
        return self._state(job.subject, record)

    def state(self, subject: str) -> JobState | None:
        """Return the last job on a subject; None when there was none. Raises ServiceError no_such_subject."""
        record = _read(self._record(subject))
        return self._state(subject, record) if record else None

    def stop(self, subject: str) -> None:
        """Ask the job on a subject to stop: it ends all it started, within seconds. Raises ServiceError no_such_job."""
        owner = _read(self._record(subject)).get("owner")
        if not owner or not is_alive(owner):
            raise ServiceError(
                "no_such_job", f"Nothing is being done on {subject} here.", "Reload the page to see how it ended.",
                Exit.USAGE,
            )  # fmt: skip
        os.kill(owner["pid"], signal.SIGTERM)

    def output(self, state: JobState) -> str:
        """Return the last lines that a job wrote; empty when its log is gone."""
        try:
            with LogFile(state.log) as log:
                lines = log.last(_SHOWN_LINES).lines
        except ServiceError:
            return ""
        return b"".join(line.raw for line in lines).decode("utf-8", "replace")

    def _state(self, subject: str, record: dict[str, Any]) -> JobState:
        log = self._logs / record["log"]
        is_gone = is_alive(record["owner"]) is False
        ending = _read(self._ending_of(log))  # after the look at the attendant: it writes the ending before it goes
        exit_code = ending.get("exit_code")
        if exit_code is None:
            status = "interrupted" if is_gone else "running"
        else:
            status = {0: "succeeded", int(Exit.INTERRUPTED): "cancelled"}.get(exit_code, "failed")
        command = " ".join(["derush", *record["arguments"]])
        return JobState(subject, command, status, record["started_at"], ending.get("ended_at"), exit_code, log)

    def _record(self, subject: str) -> Path:
        if subject not in self._subjects:
            raise ServiceError(
                "no_such_subject", f"There is nothing to maintain called {subject}.",
                f"There are: {', '.join(self._subjects)}.", Exit.USAGE,
            )  # fmt: skip
        return self._records / f"{subject}.json"

    def _ending_of(self, log: Path) -> Path:
        return self._records / f"{log.stem}.ended.json"

    @contextmanager
    def _lock(self, subject: str) -> Iterator[int]:
        with self._record(subject).with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServiceError(
                    "job_goes_on", f"Something is being done on {subject} already.", "Wait for its end, or stop it."
                ) from None
            yield lock.fileno()


@contextmanager
def _holding_back(number: signal.Signals) -> Iterator[None]:
    """Let what is started now get a signal only when it is ready for it, and asks for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(path: Path) -> dict[str, Any]:
    """Return a record; empty when there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a record whole or not at all."""
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(path)
