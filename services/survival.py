"""Runs whose supervisor is gone: noticed, what it started is ended, and marked as interrupted so that they can go on."""

from __future__ import annotations

from datetime import datetime, timezone

from services.executions import Event, Execution, Store, utc_now
from services.processes import end_group, is_alive
from services.statuses import ACTIVE

STALE_SECONDS = 60.0
"""A supervisor on another machine that has given no sign for this long counts as gone; here its process is looked at."""


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
    """Take one run from the dead: the process that wins the conditional change does the rest."""
    seconds = run.seconds + _worked_seconds(run, run.heartbeat_at)
    for worker in run.workers:
        end_group(worker, run.id)
    if not store.change(run.id, ACTIVE, status="interrupted", workers=[], owner=None, held=None, seconds=seconds):
        return False
    rows = store.tree(run.id)
    cut_short = [row for row in rows if row.kind != "run" and row.status == "running"]
    for row in cut_short:
        row.status = "interrupted"
    store.save(cut_short, [_ended(row) for row in rows if row.kind == "run"])
    return True


def _ended(run: Execution) -> Event:
    facts = {"status": "interrupted", "reason": "its supervisor is gone"}
    return Event(run_id=run.id, execution_id=run.id, at=utc_now(), event="run_ended", data=facts)


def _seconds_since(time: str) -> float:
    return (datetime.now(timezone.utc) - datetime.fromisoformat(time)).total_seconds()
