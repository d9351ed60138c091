"""What is said when a raw file cannot be read: which file, where, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ijson

_BLOCK = 1 << 16


class BrokenInput(ValueError):
    """A raw file is not what its step promises; the message names the file, the place and the reason."""

    def __init__(self, path: Path, place: str, reason: str) -> None:
        super().__init__(f"{path.name} is broken at {place}: {reason}.")
        self.path = path
        self.place = place
        self.reason = reason


def broken_line(path: Path, number: int, offset: int, error: Exception) -> BrokenInput:
    """Describe what is wrong with line `number` (1-based) of `path`, which starts at byte `offset`."""
    return BrokenInput(path, f"line {number}, byte {offset + _within(error)}", explained(error))


def _within(error: Exception) -> int:
    """Return how many bytes into the text the error is, as far as the error knows."""
    if isinstance(error, json.JSONDecodeError):
        return len(error.doc[: error.pos].encode())
    return error.start if isinstance(error, UnicodeDecodeError) else 0


def explained(error: Exception) -> str:
    """Say in words what a value that does not have the form it should have lacks."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, KeyError):
        return f"no key {error}"
    return str(error) or type(error).__name__


def broken_document(path: Path, error: Exception) -> BrokenInput:
    """Describe where the whole of `path` stops being JSON; `error` is what the streaming reader raised."""
    reason = str(error).splitlines()[0].strip() if str(error) else type(error).__name__
    return BrokenInput(path, f"byte {_error_offset(path)}", reason)


class _Nowhere:
    """A receiver of parse events that keeps none."""

    def send(self, event: object) -> None:
        """Drop `event`."""


def _error_offset(path: Path) -> int:
    """Find the first byte that the parser refuses; the file's size when it merely ends too early.

    The parser tells no position, so it is fed again: whole blocks up to the bad one, then that one byte by byte.
    """
    with path.open("rb") as stream:
        good = _accepted(ijson.basic_parse_coro(_Nowhere()), iter(lambda: stream.read(_BLOCK), b""))
        stream.seek(0)
        parser = ijson.basic_parse_coro(_Nowhere())
        while stream.tell() < good:
            parser.send(stream.read(_BLOCK))
        return good + _accepted(parser, (bytes([byte]) for byte in stream.read(_BLOCK)))


def _accepted(parser: Any, blocks: Iterable[bytes]) -> int:
    """Count the bytes of the blocks that the parser takes before it refuses one."""
    taken = 0
    for block in blocks:
        try:
            parser.send(block)
        except ijson.JSONError:
            break
        taken += len(block)
    return taken
