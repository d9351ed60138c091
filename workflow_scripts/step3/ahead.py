"""Reading ahead: a stream that is produced in a thread of its own while what came before it is worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

Value = TypeVar("Value")
_PATIENCE = 0.1
"""Seconds after which a full queue looks whether anybody still reads."""


class _End:
    """The end of the stream, and what ended it early."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def read_ahead(stream: Generator[Value, None, None], most: int) -> Iterator[Iterator[Value]]:
    """Give an iterator over what `stream` yields, of which up to `most` values wait ready.

    What the stream raises is raised to the reader, behind the values before it. On leaving the stream is closed.
    """
    waiting: Queue[Value | _End] = Queue(most)
    is_over = Event()
    thread = Thread(target=_fill, args=(stream, waiting, is_over), daemon=True)
    thread.start()
    try:
        yield _drain(waiting)
    finally:
        is_over.set()
        thread.join()


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


def _drain(waiting: Queue[Value | _End]) -> Iterator[Value]:
    while not isinstance(value := waiting.get(), _End):
        yield value
    if value.error is not None:
        raise value.error
