"""A stretch of a log, cut into lines: where each begins, and how much it matters. No file is touched here.

A place in a log is a byte offset. A line is what ends with a newline; one of more than LONGEST bytes is cut further, at
offsets that are multiples of LONGEST, wherever one comes from: so that a log of one endless line can be paged as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""From what matters least to what matters most."""
LONGEST = 1 << 14
"""Bytes; a longer line is cut into pieces of less than twice that."""

_BY_WORD = {
    b"DEBUG": "DEBUG", b"INFO": "INFO", b"WARN": "WARNING", b"WARNING": "WARNING",
    b"ERROR": "ERROR", b"CRITICAL": "ERROR", b"FATAL": "ERROR", b"Traceback": "ERROR",
}  # fmt: skip
_COLOURS = rb"(?:\x1b\[[\d;]*m)*"
_STEP = rb"(?P<step>[^\n\xe2]{1,40} \xe2\x94\x82 )?"
"""`STEP3 │ `, as the output of a run begins its lines."""
_TIME = rb"(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z| ?[+-]\d\d:?\d\d)?\]? +)?(?:\[\d+\] +)?"
_LEVEL = re.compile(
    _COLOURS
    + _STEP
    + _COLOURS
    + _TIME
    + rb"\[?(?P<word>DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL|Traceback(?= \())\b"
)
_STEP_SAID = re.compile(rb"[^\n\xe2]{1,40} \xe2\x94\x82 (?! )")
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


class Line(NamedTuple):
    """A line, or a piece of a very long one: where it begins, its bytes with the newline, one of LEVELS."""

    start: int
    raw: bytes
    level: str


def cut(block: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Cut the bytes at `start`, where a line or piece begins, into lines and pieces; yields where each begins too."""
    for raw in _LINE.findall(block):
        if len(raw) > LONGEST:
            yield from _pieces(raw, start)
        else:
            yield start, raw
        start += len(raw)


def _pieces(raw: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    end, last = start + len(raw), start
    for edge in range(-(-start // LONGEST) * LONGEST + LONGEST, end, LONGEST):
        yield last, raw[last - start : edge - start]
        last = edge
    yield last, raw[last - start :]


def last_edge(block: bytes, start: int, at: int) -> int:
    """Return the offset at which the line or piece begins that holds the byte at `at` of a block, which begins at `start`.

    The block begins where a line or piece does, or at least 2 * LONGEST bytes before `at`.
    """
    line = start + block.rfind(b"\n", 0, at) + 1
    edge = (start + at) // LONGEST * LONGEST
    return edge if edge - LONGEST >= line else line


def level_of(raw: bytes) -> str | None:
    """Return the level that a line says it has, in the forms of stepkit, of a run's output, of gunicorn and Python.

    None where it says none: it goes on with what the line before began, as a traceback does.
    """
    if found := _LEVEL.match(raw):
        return _BY_WORD[found["word"]]
    return "INFO" if _STEP_SAID.match(raw) else None


def matters(level: str, least: str) -> bool:
    """Tell whether a level is `least` or more."""
    return LEVELS.index(level) >= LEVELS.index(least)


def has_none(block: bytes, least: str) -> bool:
    """Tell, quickly, that no line in these bytes says a level of `least` or more; when in doubt, no."""
    return not any(word in block for word in _WORDS[least])


_WORDS = {
    least: [word for word, level in _BY_WORD.items() if matters(level, least)] + [b"\x94\x82 "] * (least == "INFO")
    for least in LEVELS
}
