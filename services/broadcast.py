"""Events as they happen, to any number of listeners in this process: the database is asked once for all of them."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.errors import ServiceError
from services.executions import Event, Store
from services.recent import Recent
from services.responses import GlobalStatus
from services.status import global_status

LOOK_SECONDS = 0.1
"""Between two looks at the database: what an event waits at most, and half of it on average."""
STATUS_SECONDS = 0.5
"""How old a run's status may be: it is worked out once in this time, however many people watch."""
_KEPT = 600
_PAGE = 2_000


@dataclass(frozen=True)
class Batch:
    """What was said since the batch before, by run: encoded once, and sent as it is to every listener.

    `number` counts batches. `last_id` is the id of the newest event in it, and `texts` are server-sent events.
    """

    number: int
    last_id: int
    texts: dict[str, bytes]


class Broadcast:
    """One thread that looks at the database while somebody listens, and hands on what is new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = threading.Condition()
        self._batches: deque[Batch] = deque(maxlen=_KEPT)
        self._number = 0
        self._last_id = 0
        self._listeners = 0
        self._thread: threading.Thread | None = None
        self._statuses = Recent[str, GlobalStatus](STATUS_SECONDS)

    def events(self, run_id: str, after: int, *, patience: float = 10.0) -> Iterator[bytes]:
        """Yield a run's events with ids above `after`, as server-sent events, those of the past first; never ends.

        Yields nothing (`b""`) when there was none for `patience` seconds, so that the caller can see whether anybody
        still listens. Raises ServiceError as `Store.events_after` does.
        """
        with self._listening() as began:
            number, newest = began
            # What came before this moment is in the database, what comes after it in the batches.
            yield from self._past(run_id, after, newest)
            while True:
                batches = self._batches_after(number, patience)
                if batches is None:  # too slow a listener: what it missed is in the database
                    seen = newest
                    number, newest = self._position()
                    yield from self._past(run_id, seen, newest)
                elif batches:
                    number, newest = batches[-1].number, batches[-1].last_id
                    yield b"".join(batch.texts[run_id] for batch in batches if run_id in batch.texts)
                else:
                    yield b""

    def _past(self, run_id: str, after: int, until: int) -> Iterator[bytes]:
        while after < until:
            page = [event for event in self._store.events_after(run_id, after, _PAGE) if event.id <= until]
            if not page:
                return
            yield encode(page)
            after = page[-1].id

    def changes(self, *, patience: float = 1.0) -> Iterator[frozenset[str]]:
        """Yield the ids of the runs of which something was said, or none after `patience` seconds; never ends."""
        with self._listening() as began:
            number, _newest = began
            while True:
                batches = self._batches_after(number, patience)
                if batches is None:
                    number, _newest = self._position()
                    continue
                number = batches[-1].number if batches else number
                yield frozenset(run_id for batch in batches for run_id in batch.texts)

    def status(self, run_id: str) -> GlobalStatus:
        """Return the status of a run, worked out at most once in STATUS_SECONDS. Raises ServiceError no_such_execution."""
        return self._statuses.get(run_id, lambda: global_status(self._store, run_id))

    @contextmanager
    def _listening(self) -> Iterator[tuple[int, int]]:
        """Count as a listener, from this position on."""
        with self._news:
            if self._thread is None:
                self._last_id = self._store.newest_event_id()
                thread = threading.Thread(target=self._look, name="broadcast", daemon=True)
                thread.start()
                self._thread = thread
            self._listeners += 1
            began = self._number, self._last_id
        try:
            yield began
        finally:
            with self._news:
                self._listeners -= 1

    def _position(self) -> tuple[int, int]:
        """Return the number of the last batch, and the id of the newest event in it."""
        with self._news:
            return self._number, self._last_id

    def _batches_after(self, number: int, patience: float) -> Sequence[Batch] | None:
        """Wait for batches after a number; empty when there were none, None when the first of them is gone."""
        with self._news:
            self._news.wait_for(lambda: self._number > number, patience)
            if self._number == number:
                return ()
            first = self._batches[0].number
            if first > number + 1:
                return None
            return [self._batches[position] for position in range(number + 1 - first, len(self._batches))]

    def _look(self) -> None:
        """Hand on what is new, until nobody listens any more."""
        while True:
            with self._news:
                if not self._listeners:
                    self._thread = None
                    return
            began = time.monotonic()
            try:
                found = self._store.events_since(self._last_id, _PAGE)
            except ServiceError:
                found = []  # the next look asks again from the same place
            if found:
                self._hand_on(found)
            if len(found) < _PAGE:
                time.sleep(max(0.01, LOOK_SECONDS - (time.monotonic() - began)))

    def _hand_on(self, found: Sequence[Event]) -> None:
        by_run: dict[str, list[Event]] = {}
        for event in found:
            by_run.setdefault(event.run_id, []).append(event)
        texts = {run_id: encode(events) for run_id, events in by_run.items()}
        with self._news:
            self._number += 1
            self._last_id = found[-1].id
            self._batches.append(Batch(self._number, self._last_id, texts))
            self._news.notify_all()


def encode(events: Sequence[Event]) -> bytes:
    """Write events as server-sent events: their id, their name, and the rest as JSON."""
    return "".join(_encoded(event) for event in events).encode("utf-8", "replace")


def _encoded(event: Event) -> str:
    said = {"at": event.at, "run_id": event.run_id, "execution_id": event.execution_id, "data": event.data}
    return f"id: {event.id}\nevent: {event.event}\ndata: {json.dumps(said, separators=(',', ':'))}\n\n"
