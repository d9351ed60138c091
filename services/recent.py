"""Values that are costly to make and good for a moment: made once for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_MOST = 200


class Recent(Generic[Key, Value]):
    """Keeps the value of each key for some seconds. Any thread may ask; one makes a value while the others wait for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: dict[Key, tuple[float, Value]] = {}
        self._makers: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value], seconds: float | None = None) -> Value:
        """Return the value of a key, made anew when it is too old. What `make` raises is raised.

        `seconds` is how old it may be where that is not as for the others.
        """
        with self._lock:
            maker = self._makers.setdefault(key, threading.Lock())
        with maker:
            known = self._values.get(key)
            if known and time.monotonic() - known[0] < (self._seconds if seconds is None else seconds):
                return known[1]
            value = make()
            with self._lock:
                self._values[key] = (time.monotonic(), value)
                if len(self._values) > _MOST:
                    self._forget_oldest()
            return value

    def _forget_oldest(self) -> None:
        for key in sorted(self._values, key=lambda known: self._values[known][0])[: _MOST // 2]:
            del self._values[key]
            self._makers.pop(key, None)
