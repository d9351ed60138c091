"""sha256 of what is written, calculated beside the writing."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

_LEAST = 1 << 17
"""Bytes from which a block is worth handing to another thread."""
_MOST_WAITING = 8
"""Blocks: what a slow processor keeps in memory of a fast disk."""


class Digest:
    """A sha256 that large blocks are added to in a thread of their own, in their order."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._waiting: deque[Future[None]] = deque()

    def update(self, block: bytes | bytearray) -> None:
        """Add a block."""
        if len(block) < _LEAST:
            self._wait(0)
            self._sha256.update(block)
        else:
            self._wait(_MOST_WAITING - 1)
            self._waiting.append(_thread().submit(self._sha256.update, bytes(block)))

    def hexdigest(self) -> str:
        """Return the sha256 in hexadecimal."""
        self._wait(0)
        return self._sha256.hexdigest()

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    """Return the one thread of this process for it: it begins when it is first needed, and so behind any fork."""
    return ThreadPoolExecutor(1, "sha256")
