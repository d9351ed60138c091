"""A log as it grows: every line once, also when the file is truncated, or replaced by a new one."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

from services.errors import ServiceError
from services.log_file import LogFile, Page
from services.log_lines import LEVELS

LOOK_SECONDS = 0.2
MOST_BEHIND = 8 << 20
"""Bytes; who reads more slowly than the log is written, and is so far behind, goes on near the end."""
_TAKEN_UP = 1 << 16
_REMEMBERED = 64


def follow(path: Path, start: int, least: str = LEVELS[0], *, patience: float = 1.0) -> Iterator[Page | None]:
    """Yield what is written to a log, from the line at `start` on, page by page; never ends.

    A page begins where the one before ended, but for two cases: it begins at 0 when the file was truncated or replaced,
    and further on when more than MOST_BEHIND was written in the meantime. Yields None when nothing was written for
    `patience` seconds, so that the caller can see whether anybody still listens. While there is no file at `path` it is
    waited for.
    """
    log = yield from _opened(path)
    while True:
        with log:
            newer = yield from _follow_one(log, path, start, least, patience)
        log, start = newer, 0


def _opened(path: Path) -> Generator[None, None, LogFile]:
    while True:
        with suppress(ServiceError):
            return LogFile(path)
        time.sleep(LOOK_SECONDS)
        yield None


def _follow_one(
    log: LogFile, path: Path, start: int, least: str, patience: float
) -> Generator[Page | None, None, LogFile]:
    """Follow one file until another takes its place; returns that one, open."""
    position = log.line_at(start) if start <= log.size else 0
    seen, words, said = position, _last_words(log, position), time.monotonic()
    while True:
        size = log.size
        if size < position or _last_words(log, position) != words:
            seen, position, words = 0, 0, b""  # truncated, and perhaps written to again
        if size - position > MOST_BEHIND:
            position = log.line_at(size - _TAKEN_UP)
        if size != seen:
            page = log.page_after(position, least)
            position, seen = page.end, page.size if page.is_last else page.end
            words, said = _last_words(log, position), time.monotonic()
            yield page
        elif newer := _replacement(log, path):
            return newer
        else:
            time.sleep(LOOK_SECONDS)
        if time.monotonic() - said > patience:
            said = time.monotonic()
            yield None


def _last_words(log: LogFile, position: int) -> bytes:
    """Return what stands before a place: it is something else when the file was written anew up to there."""
    return log.read(max(0, position - _REMEMBERED), position)


def _replacement(log: LogFile, path: Path) -> LogFile | None:
    """Open the file that took the place of this one, if one did."""
    if log.is_at(path) is not False:
        return None
    with suppress(ServiceError):
        return LogFile(path)
    return None
