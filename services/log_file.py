"""A log file, read page by page from any place in it, forwards and backwards, with no more than a page in memory.

It is read and not mapped: a mapped file that somebody truncates ends the process that looks at it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from services.errors import ServiceError
from services.log_lines import LEVELS, LONGEST, Line, cut, has_none, last_edge, level_of, matters

MOST_LINES = 1_000
_PAGE = 1 << 16
_SKIMMED = 1 << 18
_LOOK_BACK = 1 << 16
_PATIENCE_SECONDS = 0.25


class Page(NamedTuple):
    """The lines from `start` on, up to `end`: offsets in bytes, at which lines begin.

    A last line that is still being written begins at `end` and is among `lines`, so that the page that goes on from
    `end` has it again. With a filter, `lines` are those that passed it. `is_last` when the file ended there. `size` is
    the file's, `identity` changes when the file is replaced by another.
    """

    lines: Sequence[Line]
    start: int
    end: int
    is_last: bool
    size: int
    identity: str

    @property
    def whole_lines(self) -> Sequence[Line]:
        """The lines but for one that is still being written."""
        return [line for line in self.lines if line.start < self.end]


class LogFile:
    """An open log, for `with`. Raises ServiceError no_such_log when it is none."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not be waited for
        except (OSError, ValueError) as error:
            raise no_such_log(path.name, str(error)) from None
        self._about = os.fstat(self._file)
        if not stat.S_ISREG(self._about.st_mode):
            self.close()
            raise no_such_log(path.name, "it is not a file")

    def __enter__(self) -> LogFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @property
    def size(self) -> int:
        """How long it is now, in bytes."""
        return os.fstat(self._file).st_size

    @property
    def identity(self) -> str:
        """What tells it from the file that may take its place."""
        return f"{self._about.st_dev:x}-{self._about.st_ino:x}"

    def is_at(self, path: Path) -> bool | None:
        """Tell whether this file is the one at `path`; None when there is none."""
        try:
            return os.path.samestat(self._about, path.stat())
        except OSError:
            return None

    def read(self, start: int, end: int) -> bytes:
        """Read the bytes from `start` to `end`; fewer where the file ends. Raises ServiceError log_unreadable."""
        try:
            return os.pread(self._file, max(0, end - start), start)
        except OSError as error:
            message = f"The log cannot be read ({error.strerror})."
            raise ServiceError("log_unreadable", message, "Check the disk of LOGS_DIR.") from None

    def line_at(self, offset: int) -> int:
        """Return where the line, or the piece of a long one, begins that holds the byte at `offset`."""
        start = max(0, offset - 2 * LONGEST)
        return last_edge(self.read(start, offset), start, offset - start)

    def page_after(self, offset: int, least: str = LEVELS[0]) -> Page:
        """Read on from the line at `offset`; one past the end is the end.

        With a filter it looks through what lies ahead for a quarter of a second, and may come back with few lines, or
        none: `end` says how far it came.
        """
        size = self.size
        start = end = self.line_at(min(max(0, offset), size))
        deadline, is_filtered = time.monotonic() + _PATIENCE_SECONDS, least != LEVELS[0]
        found: list[Line] = []
        while end < size and len(found) < MOST_LINES:
            ahead = end + (_SKIMMED if is_filtered else _PAGE)
            edge = self.line_at(ahead) if ahead < size else size
            found += self._lines(end, edge, least)
            end = edge
            if not is_filtered or time.monotonic() > deadline:
                break
        if len(found) > MOST_LINES:
            end = found[MOST_LINES].start
        return self._page(found[:MOST_LINES], start, end, size)

    def page_before(self, offset: int, least: str = LEVELS[0]) -> Page:
        """Read what stands before the line at `offset`; one past the end means: the end. Filters as `page_after`."""
        size = self.size
        start = end = self.line_at(max(0, offset)) if offset < size else size
        deadline, is_filtered = time.monotonic() + _PATIENCE_SECONDS, least != LEVELS[0]
        found: list[Line] = []
        while start > 0 and len(found) < MOST_LINES:
            edge = self.line_at(max(0, start - (_SKIMMED if is_filtered else _PAGE)))
            found[:0] = self._lines(edge, start, least)
            start = edge
            if not is_filtered or time.monotonic() > deadline:
                break
        if len(found) > MOST_LINES:
            start = found[-MOST_LINES].start
        return self._page(found[-MOST_LINES:], start, end, size)

    def page_around(self, offset: int, least: str = LEVELS[0]) -> Page:
        """Read the line at `offset` and what stands before and after it."""
        before = self.page_before(offset, least)
        after = self.page_after(before.end, least)
        return after._replace(lines=[*before.whole_lines, *after.lines], start=before.start)

    def last(self, count: int) -> Page:
        """Read the last `count` lines, from the end, whatever the file's size."""
        page = newest = self.page_before(self.size)
        lines = list(newest.lines)
        while len(lines) < count and page.start > 0:
            page = self.page_before(page.start)
            lines[:0] = page.lines
        lines = lines[-count:] if count else []
        return newest._replace(lines=lines, start=lines[0].start if lines else newest.end)

    def _page(self, lines: Sequence[Line], start: int, end: int, size: int) -> Page:
        is_last = end == size
        if is_last and end and self.read(end - 1, end) != b"\n":
            end = max(start, self.line_at(end))  # the last line is still being written
        return Page(lines, start, end, is_last, size, self.identity)

    def _lines(self, start: int, end: int, least: str) -> list[Line]:
        """Return the lines of a stretch that pass the filter; both ends are where a line begins."""
        block = self.read(start, end)
        if least != LEVELS[0] and has_none(block, least) and not matters(self.level_before(start), least):
            return []
        lines, level = [], None
        for offset, raw in cut(block, start):
            level = level_of(raw) or level or self.level_before(start)
            if matters(level, least):
                lines.append(Line(offset, raw, level))
        return lines

    def level_at(self, line: int) -> str:
        """Return the level of the line that begins at an offset."""
        return level_of(self.read(line, line + LONGEST)) or self.level_before(line)

    def level_before(self, offset: int) -> str:
        """Return the level of the line that ends at `offset`; INFO where none says any, for 64 KiB."""
        start = self.line_at(max(0, offset - _LOOK_BACK))
        before = (level_of(raw) for _offset, raw in reversed(list(cut(self.read(start, offset), start))))
        return next((level for level in before if level), "INFO")


def no_such_log(name: str, why: str) -> ServiceError:
    """Make the error that says that a log is not there, or is none."""
    shown = name.encode("utf-8", "replace").decode()
    return ServiceError("no_such_log", f"There is no log {shown} ({why}).", "Choose one that `derush logs` lists.")
