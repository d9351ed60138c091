"""How the text of a setting is read: each reader returns the value, or raises ValueError that says what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable

_TRUE = frozenset({"true", "1", "on"})
_FALSE = frozenset({"false", "0", "off"})


def boolean(text: str) -> bool:
    """Read `true`, `1`, `on`, `false`, `0` or `off`, in any case."""
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("accepted: true, 1, on, false, 0, off")


def integer(low: int, high: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from `low` to `high`, both included."""

    def read(text: str) -> int:
        if not text.lstrip("-").isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"accepted: a whole number from {low} to {high}")
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Make a reader of numbers from `low` to `high`, both included; NaN and infinities are refused."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"accepted: a number from {low:g} to {high:g}")
        return value

    return read


def choice(*accepted: str) -> Callable[[str], str]:
    """Make a reader of one of the `accepted` words."""

    def read(text: str) -> str:
        if text not in accepted:
            raise ValueError(f"accepted: {', '.join(accepted)}")
        return text

    return read


def words(text: str) -> tuple[str, ...]:
    """Read a list of words parted by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def some_of(*accepted: str) -> Callable[[str], tuple[str, ...]]:
    """Make a reader of a list, parted by commas, of `accepted` words."""

    def read(text: str) -> tuple[str, ...]:
        if not set(words(text)) <= set(accepted):
            raise ValueError(f"accepted: {', '.join(accepted)}, one or several parted by commas")
        return words(text)

    return read


def number_or_off(low: float, high: float) -> Callable[[str], float | None]:
    """Make a reader of `off` (None), or a number from `low` to `high`, both included."""
    read_number = number(low, high)

    def read(text: str) -> float | None:
        try:
            return None if text.lower() == "off" else read_number(text)
        except ValueError as error:
            raise ValueError(f"{error}, or off") from None

    return read


def pattern(text: str) -> str:
    """Read a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"accepted: a regular expression ({error})") from None
    return text
