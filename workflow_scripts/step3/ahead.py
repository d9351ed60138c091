"""Reading ahead: a stream that is produced in a thread of its own while what came before it is worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from queue import Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

Value = TypeVar("Value")
_PATIENCE = 0.1
"""Seconds after which a full queue looks whether anybody still reads."""


class _End:
    """The end of the stream, and what ended it early."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class ReadAhead(Generic[Value]):
    """An iterator over what `stream` yields, of which up to `most` values wait ready from now on. Close it after use.

    What the stream raises is raised to the reader, behind the values before it. On closing the stream is closed.
    """

    def __init__(self, stream: Generator[Value, None, None], most: int) -> None:
        self._waiting: Queue[Value | _End] = Queue(most)
        self._is_over = Event()
        self._thread = Thread(target=_fill, args=(stream, self._waiting, self._is_over), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Value]:
        while not isinstance(value := self._waiting.get(), _End):
            yield value
        if value.error is not None:
            raise value.error

    def close(self) -> None:
        """End the stream, wherever it is."""
        self._is_over.set()
        self._thread.join()


def _fill(stream: Generator[Value, None, None], waiting: Queue[Value | _End], is_over: Event) -> None:
    error = None
    with closing(stream):
        try:
            for value in stream:
                if not _put(waiting, value, is_over):
                    return
        except BaseException as raised:  # whatever it is belongs to the reader
            error = raised
        _put(waiting, _End(error), is_over)


def _put(waiting: Queue[Value | _End], value: Value | _End, is_over: Event) -> bool:
    """Put a value as soon as there is room; tells whether it was, or nobody reads any more."""
    while not is_over.is_set():
        try:
            waiting.put(value, timeout=_PATIENCE)
        except Full:
            continue
        return True
    return False
