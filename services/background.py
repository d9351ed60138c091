"""What takes seconds to find out: found out by a thread of its own, kept, and found out anew when somebody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.executions import utc_now

Result = TypeVar("Result")


@dataclass(frozen=True)
class Finding(Generic[Result]):
    """The last result and when it was there (UTC, ISO 8601); `error` says why there is no newer one."""

    result: Result | None = None
    at: str | None = None
    is_working: bool = False
    error: str | None = None


class Background(Generic[Result]):
    """Finds one thing out, by one thread at a time."""

    def __init__(self, work: Callable[[], Result], name: str) -> None:
        self._work = work
        self._name = name
        self._lock = threading.Lock()
        self._finding: Finding[Result] = Finding()

    @property
    def finding(self) -> Finding[Result]:
        """What is known now."""
        return self._finding

    def begin(self) -> bool:
        """Find it out anew; False when that is going on already."""
        with self._lock:
            known = self._finding
            if known.is_working:
                return False
            self._finding = Finding(known.result, known.at, is_working=True)
        threading.Thread(target=self._find, name=self._name, daemon=True).start()
        return True

    def _find(self) -> None:
        try:
            found = Finding(self._work(), utc_now())
        except Exception as error:  # whatever it is, whoever looks must learn of it
            found = Finding(self._finding.result, self._finding.at, error=str(error) or repr(error))
        self._finding = found
