"""How runs go, for anybody who watches: worked out once for all of them, and told to each from where he stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from services.executions import Event, Execution, Store
from services.recent import Recent
from services.responses import GlobalStatus
from services.statuses import ENDED
from services.workflow_events import (
    SOURCES,
    RunEnding,
    RunProgress,
    ending_of,
    error_of,
    failures_in,
    progress_of,
)

LOOK_SECONDS = 0.5
"""How old what is told of a run may be."""
_PAGE = 2_000
_MOST_RUNS = 32


class Said(NamedTuple):
    """One thing that is told: `progress`, `error` or `complete`; an error's id is that of its event in the history."""

    name: str
    data: dict[str, Any]
    id: int | None = None


@dataclass(frozen=True)
class Look:
    """A run as it is: `told` is a RunEnding when it is over. `errors` are all so far, their ids rising."""

    run: Execution
    status: GlobalStatus
    told: RunProgress | RunEnding
    errors: tuple[Said, ...]

    @property
    def ending(self) -> RunEnding | None:
        """What the run came to; None while it goes on."""
        return self.told if isinstance(self.told, RunEnding) else None


@dataclass
class _Errors:
    """The errors of a run that are read, and up to which event."""

    until: int = 0
    said: tuple[Said, ...] = field(default=())


class WorkflowProgress:
    """Looks at runs, at most once in LOOK_SECONDS at each. `status` gives a run's global status. Any thread may ask."""

    def __init__(self, store: Store, status: Callable[[str], GlobalStatus]) -> None:
        self._store = store
        self._status = status
        self._looks = Recent[str, Look](LOOK_SECONDS)
        self._newest = Recent[str, str | None](LOOK_SECONDS)
        self._errors: dict[str, _Errors] = {}

    def newest(self) -> str | None:
        """Return the run to watch where none is named: the newest at work, else that waits, else of all; None without any."""
        return self._newest.get("", self._find_newest)

    def look(self, run_id: str) -> Look:
        """Return a run as it is. Raises ServiceError no_such_execution."""
        return self._looks.get(run_id, lambda: self._look(run_id))

    def _find_newest(self) -> str | None:
        active = self._store.active_runs()
        running = [run for run in active if run.status == "running"]
        found = running or active or self._store.runs(limit=1)
        return found[-1].id if found else None

    def _look(self, run_id: str) -> Look:
        status = self._status(run_id)
        run = self._store.get(run_id)
        if run.status not in ENDED or status.status not in ENDED:
            return Look(run, status, progress_of(status), self._errors_of(run))
        return Look(run, status, ending_of(status, run, self._store.figures(run_id)), self._errors_of(run))

    def _errors_of(self, run: Execution) -> tuple[Said, ...]:
        """Read on in the run's events; one thread at a time does, for each run."""
        read = replace(self._errors.get(run.id, _Errors()))  # a copy: what cannot be read to its end is read again
        found = failures_in(self._read_on(run.id, read))
        read.said += tuple(said for event in found if (said := self._error(event, run)))
        self._errors[run.id] = read
        if len(self._errors) > _MOST_RUNS:
            self._errors = {run.id: read}  # those of the others are read again if somebody asks
        return read.said

    def _read_on(self, run_id: str, read: _Errors) -> Iterator[Event]:
        while page := self._store.events_after(run_id, read.until, _PAGE, names=SOURCES):
            yield from page
            read.until = page[-1].id

    def _error(self, event: Event, run: Execution) -> Said | None:
        if event.event == "task_ended":
            row, error = self._store.get(str(event.execution_id)), event.data.get("error")
        else:
            row, error = run, run.error
        return Said("error", error_of(row, error).model_dump(), event.id) if error else None


class Follower:
    """One who watches: a run, or whichever is the newest, from the event `after` on."""

    def __init__(self, progress: WorkflowProgress, run_id: str | None, after: int = 0) -> None:
        self._progress = progress
        self._chosen = run_id
        self._after = after
        self._told: RunProgress | RunEnding | None = None

    @property
    def run_id(self) -> str | None:
        """Return the run that is watched now."""
        return self._chosen or self._progress.newest()

    def news(self) -> Iterator[Said]:
        """Yield what was not told yet: errors, each once, then how the run is, if that changed."""
        run_id = self.run_id
        if run_id is None:
            return
        look = self._progress.look(run_id)
        for said in look.errors[bisect_right(look.errors, self._after, key=lambda error: error.id or 0) :]:
            self._after = said.id or self._after
            yield said
        if look.told != self._told:
            self._told = look.told
            yield Said("complete" if look.ending else "progress", look.told.model_dump())
