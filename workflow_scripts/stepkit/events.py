"""What a step says about its work: one JSON object a line, to a file or a descriptor."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import datetime, timezone
from typing import Any

from workflow_scripts.stepkit.errors import Interrupted

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of an item: enough for an eye, no load on a pipe."""


def now() -> str:
    """Return the time in UTC, ISO 8601 with its offset."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Events:
    """A sink for events; without a target it swallows them."""

    def __init__(self, target: str | None) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        if target is not None:
            append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._descriptor = int(target) if target.isdecimal() else os.open(target, append, 0o644)

    def emit(self, event: str, **values: Any) -> None:
        """Write one event. Raises Interrupted when nobody reads any more: then nobody wants the work either."""
        if self._descriptor is None:
            return
        line = json.dumps({"event": event, "time": now(), **values}) + "\n"
        try:
            with self._lock:
                _write_all(self._descriptor, line.encode("ascii"))
        except BrokenPipeError:
            self._descriptor = None
            raise Interrupted("nobody reads the events any more") from None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class Pace:
    """Lets a call through at most once an interval, so that a tight loop may report as often as it likes."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = 0.0

    def is_due(self) -> bool:
        """Tell whether the interval since the last time this was true is over."""
        clock = time.monotonic()
        if clock < self._next:
            return False
        self._next = clock + self._interval
        return True
