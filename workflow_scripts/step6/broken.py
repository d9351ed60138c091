"""What is said when a raw file cannot be read: which file, where, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

MALFORMED = (ValueError, RecursionError, OverflowError)
"""What reading a value raises that is no JSON, or has another form than it should: msgspec's errors are ValueErrors."""
_BYTE = re.compile(r" \(byte (\d+)\)$")


class BrokenInput(ValueError):
    """A raw file is not what its step promises; the message names the file, the place and the reason."""

    def __init__(self, path: Path, place: str, reason: str) -> None:
        super().__init__(f"{path.name} is broken at {place}: {reason}.")
        self.path = path
        self.place = place
        self.reason = reason


def broken_value(path: Path, text: bytes, offset: int, line: int | None, error: Exception) -> BrokenInput:
    """Describe what is wrong with `text`, which starts at byte `offset` of `path`, in line `line` (1-based) if that counts."""
    return BrokenInput(path, place(offset + _within(text, error), line), explained(error))


def place(byte: int, line: int | None = None) -> str:
    """Name a place by its byte, and its line where the file is made of lines."""
    return f"line {line}, byte {byte}" if line else f"byte {byte}"


def _within(text: bytes, error: Exception) -> int:
    """Return how many bytes into the text the error is, as far as the error knows."""
    if isinstance(error, UnicodeDecodeError):
        # A string's own error counts from the string's beginning.
        return _not_utf8(text)
    if "truncated" in str(error):
        return len(text)
    found = _BYTE.search(str(error))
    # Of what follows a whole value msgspec names the second byte.
    return int(found[1]) - ("trailing" in str(error)) if found else 0


def _not_utf8(text: bytes) -> int:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def explained(error: Exception) -> str:
    """Say in words what a value that does not have the form it should have lacks."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, KeyError):
        return f"no key {error}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return _BYTE.sub("", str(error)) or type(error).__name__


def check_utf8(text: bytes) -> None:
    """Raise UnicodeDecodeError where a text is not UTF-8: what is skipped over is not looked at by the reader."""
    if not text.isascii():
        text.decode("utf-8")
