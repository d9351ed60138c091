"""A long history: 10,000 runs, 200,000 tasks, 1,000,000 events. Pages of it take milliseconds, on either database."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from services.database import Database
from services.executions import Event, Execution, Store, utc_now

if TYPE_CHECKING:
    from tests.postgres import Place

pytest_plugins = ["tests.postgres"]

RUNS, TASKS, EVENTS = 10_000, 20, 100
"""How many runs; tasks and events of each."""
OLD = 500
"""The runs whose events are dropped."""
LONG = 40_000
"""Events of the very first run, beyond those that each has."""
QUICK = 0.05
"""Seconds a page may take."""
BULKY = {"save 1,000 tasks and events": 0.3, "text that none has": 0.3}
"""Seconds for what is more than a page."""
Row = tuple[Any, ...]

_EXECUTION = (
    "id", "run_id", "parent_execution_id", "kind", "number", "stage", "step", "subject", "status", "outcome", "done",
    "total", "unit", "message", "attempt", "queued_at", "ended_at", "seconds", "priority", "workers", "requests_seen",
    "plan", "parameters", "artefacts", "metrics",
)  # fmt: skip
_EVENT = ("run_id", "execution_id", "at", "event", "data")


def moment(minute: int) -> str:
    """The first run began long ago, each a minute after the one before."""
    return (datetime(2025, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=minute)).isoformat(timespec="microseconds")


def id_of(run: int, number: int = 0) -> str:
    """Ids are spread as random ones are, and known to the test."""
    return f"exec_{random.Random(run * 1000 + number).getrandbits(48):012x}"


def execution_rows() -> Iterator[Row]:
    plan = json.dumps({"workflow": "full", "objective": "everything", "tasks": [{"id": f"step{n}"} for n in range(20)]})
    for run in range(RUNS):
        run_id, began = id_of(run), moment(run)
        shared = (began, moment(run + 1), 30.0, 0, "[]", 0)
        yield (run_id, run_id, None, "run", 0, None, None, None, "succeeded", None, 1.0, 1.0, "", "", 1, *shared, plan,
               json.dumps({"inputs": [f"/rushes/day {run}.zip"]}), "[]", "{}")  # fmt: skip
        for number in range(1, TASKS + 1):
            subject = f"/work/projets_extraits/day {run}/docs/clip_{number:03}.mp4"
            yield (id_of(run, number), run_id, run_id, "task", number, "shots", "STEP3", subject, "succeeded", "done",
                   750.0, 750.0, "frames", "", 1, *shared, None, "{}", "[]", '{"fps":812.5}')  # fmt: skip


def event_rows() -> Iterator[Row]:
    for run in range(RUNS):
        run_id, began = id_of(run), moment(run)
        for _ in range(EVENTS - 1 + (LONG if run == 0 else 0)):
            yield (run_id, run_id, began, "task_ended", '{"outcome":"done","seconds":1.25}')
        yield (run_id, run_id, began, "run_ended", '{"status":"succeeded"}')


def fill(connection: Connection, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
    """Write very many rows the quickest way each driver has."""
    cursor = connection.connection.cursor()
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", rows)
        return
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:  # type: ignore[attr-defined]
        for row in rows:
            copy.write_row(row)


def make_history(database: Database) -> None:
    with database.begin() as connection:
        fill(connection, "executions", _EXECUTION, execution_rows())
        fill(connection, "events", _EVENT, event_rows())
    if database.dialect == "postgresql":  # what its autovacuum does within minutes
        with database.begin() as connection:
            connection.execute(text("ANALYZE"))


def seconds_of(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def median_seconds(action: Callable[[], object]) -> float:
    return statistics.median(seconds_of(action) for _ in range(5))


def pages(store: Store) -> dict[str, Callable[[], int]]:
    """What people and supervisors look at, each with how many rows it gives."""
    middle, newest = RUNS // 2, RUNS - 1
    return {
        "first page": lambda: len(store.runs()),
        "page in the middle": lambda: len(store.runs(before=id_of(middle))),
        "page of a status": lambda: len(store.runs(status=["succeeded", "failed"])),
        "status that none has": lambda: len(store.runs(status=["failed"])),
        "text of a late run": lambda: len(store.runs(limit=1, text=f"day {newest - 100}.zip")),
        "text that none has": lambda: len(store.runs(text="night 7.zip")),
        "find by prefix": lambda: int(store.find(id_of(middle)[:15]).run_id == id_of(middle)),
        "the last": lambda: int(store.find("last").id == id_of(newest)),
        "tree": lambda: len(store.tree(id_of(middle))),
        "figures": lambda: sum(part.count for part in store.figures(id_of(middle))),
        "events": lambda: len(store.events_after(id_of(middle), 0)),
        "requests": lambda: len(store.events_after(id_of(middle), 0, names=["requested"])),
        "active runs": lambda: len(store.active_runs()),
        "costs": lambda: int(store.mean_seconds(["STEP3"]) == {"STEP3": 30.0}),
    }


EXPECTED = {
    "first page": 50, "page in the middle": 50, "page of a status": 50, "status that none has": 0,
    "text of a late run": 1, "text that none has": 0, "find by prefix": 1, "the last": 1, "tree": TASKS + 1, "figures": TASKS, "events": EVENTS,
    "requests": 0, "active runs": 0, "costs": 1,
}  # fmt: skip


def check_writing(store: Store) -> dict[str, float]:
    """A supervisor's work on top of the history: take a run up, save its tasks."""
    run = Execution(id="exec_aaaaaaaaaaaa", run_id="exec_aaaaaaaaaaaa", kind="run", queued_at=utc_now())
    tasks = [
        Execution(
            id=f"exec_bbbbbbbb{number:04}", run_id=run.id, parent_execution_id=run.id, kind="task", number=number,
            queued_at=utc_now(), subject=f"/work/projets_extraits/now/docs/clip_{number}.mp4",
        )
        for number in range(1, 1001)
    ]  # fmt: skip
    events = [Event(run_id=run.id, execution_id=task.id, at=utc_now(), event="task_ended") for task in tasks]
    store.save([run])
    return {
        "claim": median_seconds(lambda: store.claim(run.id, {}, 1)),
        "save one": median_seconds(lambda: store.save(tasks[:1], events[:1])),
        "save 1,000 tasks and events": median_seconds(lambda: store.save(tasks, events)),
    }


def watch_compacting(database: Database, other: Database) -> tuple[int, set[int], float]:
    """Compact in a thread, and save again and again meanwhile.

    Return how many events were dropped, how many of the first run were seen left between, and the slowest save's seconds.
    """
    store = Store(database)
    run = store.find("last")
    times, left, dropped = [], set[int](), list[int]()
    worker = threading.Thread(target=lambda: dropped.append(Store(other).compact(moment(OLD + 1))))
    worker.start()
    while worker.is_alive():
        times.append(seconds_of(lambda: store.save([run], [Event(run_id=run.id, at=utc_now(), event="warning")])))
        with database.reading() as connection:
            left.add(connection.scalar(text("SELECT count(*) FROM events WHERE run_id = :run"), {"run": id_of(0)}))
    worker.join()
    return dropped[0], left, max(times)


def test_a_long_history_stays_quick(place: Place) -> None:
    with closing(place.open()) as database, closing(place.open()) as other:
        make_history(database)
        store = Store(database)
        assert {name: page() for name, page in pages(store).items()} == EXPECTED
        times = {name: median_seconds(page) for name, page in pages(store).items()} | check_writing(store)
        print({name: f"{1000 * seconds:.1f} ms" for name, seconds in times.items()})
        assert {name: seconds for name, seconds in times.items() if seconds > BULKY.get(name, QUICK)} == {}

        dropped, left, slowest = watch_compacting(database, other)
        print(f"slowest save while compacting: {1000 * slowest:.0f} ms")
        assert dropped == OLD * (EVENTS - 1) + LONG
        assert len(left) > 5, "a long run is compacted in many short transactions"
        assert slowest < 2, "compacting keeps others from writing"
        assert [event.event for event in store.events_after(id_of(0), 0)] == ["run_ended"]
        assert len(store.events_after(id_of(OLD), 0)) == EVENTS
