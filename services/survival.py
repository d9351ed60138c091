"""Runs whose supervisor is gone: noticed, what it started is ended, and marked as interrupted so that they can go on."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import datetime, timezone

from services.errors import ServiceError
from services.executions import Execution, Store, utc_now
from services.processes import end_group, is_alive
from services.statuses import ACTIVE

SETTLE_SECONDS = 5.0
"""How long a run that many look at may be shown as going on after its supervisor is gone."""
STALE_SECONDS = 60.0
"""A supervisor on another machine that has given no sign for this long counts as gone; here its process is looked at."""


class Orphans:
    """Settles orphans for all who look at runs, at most once in SETTLE_SECONDS. Any thread may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._next = 0.0

    def look(self) -> None:
        """Settle them if it is time. One thread does, and the others go on: a worker may take seconds to end."""
        if time.monotonic() < self._next or not self._turn.acquire(blocking=False):
            return
        try:
            with suppress(ServiceError):  # the next look does it
                settle_orphans(self._store)
        finally:
            self._next = time.monotonic() + SETTLE_SECONDS
            self._turn.release()


def settle_orphans(store: Store) -> list[Execution]:
    """Mark every run whose supervisor is gone as interrupted, after ending its processes; returns those runs."""
    return [run for run in store.active_runs() if is_orphan(run) and _settle(store, run)]


def is_orphan(run: Execution) -> bool:
    """Tell whether nobody carries out a run that is queued or running."""
    if run.owner is None:
        return _seconds_since(run.queued_at) > STALE_SECONDS
    alive = is_alive(run.owner)
    return not alive if alive is not None else _seconds_since(run.heartbeat_at or run.queued_at) > STALE_SECONDS


def elapsed_seconds(run: Execution, now: str | None = None) -> float:
    """Return how long supervisors have worked on a run, in seconds; never negative, whatever the clock did.

    What earlier supervisors took is recorded; of one that was killed the last sign of life counts.
    """
    return run.seconds + (_worked_seconds(run, now or utc_now()) if run.status == "running" else 0.0)


def _worked_seconds(run: Execution, until: str | None) -> float:
    """Return the seconds that the run's present supervisor has worked on it."""
    since = (run.owner or {}).get("since") or run.started_at
    if since is None or until is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds())


def _settle(store: Store, run: Execution) -> bool:
    """Take one run from the dead: it ended when it last gave a sign. False when somebody else was faster."""
    last_sign = run.heartbeat_at or run.queued_at
    for worker in run.workers:
        end_group(worker, run.id)
    facts = {"ended_at": last_sign, "seconds": elapsed_seconds(run, last_sign)}
    return store.end_run(run.id, ACTIVE, "interrupted", "its supervisor is gone", **facts)


def _seconds_since(moment: str) -> float:
    return (datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds()
