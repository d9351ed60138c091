"""sha256 of what is written, calculated beside the writing."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

_BATCH = 1 << 20
"""Bytes that are handed to the other thread at a time: for fewer the handing over costs more than it brings."""
_MOST_WAITING = 8
"""Batches: what a slow processor keeps in memory of a fast disk."""


class Digest:
    """A sha256 whose blocks are added in a thread of their own, in their order; a small file's where they come from."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._batch: list[bytes] = []
        self._bytes = 0
        self._waiting: deque[Future[None]] = deque()

    def update(self, block: bytes | bytearray) -> None:
        """Add a block."""
        self._batch.append(bytes(block))
        self._bytes += len(block)
        if self._bytes >= _BATCH:
            self._wait(_MOST_WAITING - 1)
            self._waiting.append(_thread().submit(self._add, self._batch))
            self._batch, self._bytes = [], 0

    def hexdigest(self) -> str:
        """Return the sha256 in hexadecimal."""
        self._wait(0)
        self._add(self._batch)
        self._batch, self._bytes = [], 0
        return self._sha256.hexdigest()

    def _add(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self._sha256.update(block)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    """Return the one thread of this process for it: it begins when it is first needed, and so behind any fork."""
    return ThreadPoolExecutor(1, "sha256")
