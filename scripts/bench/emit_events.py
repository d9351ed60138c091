"""Say things about a run at a steady rate, as its supervisor would: `emit_events.py DATA_DIR RUN RATE SECONDS`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from services.database import open_database
from services.executions import Event, Store, utc_now

TICK = 0.05
"""Seconds between two transactions."""


def main(data_dir: str, run_id: str, rate: str, seconds: str) -> None:
    """Write events, each with the time it was made at in nanoseconds."""
    store = Store(open_database(Path(data_dir), None))
    share, number = round(float(rate) * TICK), 0
    next_tick = time.monotonic()
    for _ in range(round(float(seconds) / TICK)):
        time.sleep(max(0.0, next_tick - time.monotonic()))
        next_tick += TICK
        at, made = utc_now(), time.time_ns()
        numbers = range(number, number + share)
        store.save([], [Event(run_id=run_id, at=at, event="warning", data={"n": n, "made": made}) for n in numbers])
        number += share
    store.save([], [Event(run_id=run_id, at=utc_now(), event="run_ended", data={"n": number})])


if __name__ == "__main__":
    main(*sys.argv[1:])
