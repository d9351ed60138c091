"""Names that every system of a cutting room can open: Linux, macOS and Windows. Pure.

A delivery is cut on Windows as often as not. What Windows cannot open at all is repaired, and every change is recorded;
what Windows takes for something else (a device, the short name of another file) is refused, for no repair is obvious.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache

LONGEST_NAME = 255
"""Bytes in one part of a path: the limit of ext4, XFS, Btrfs and APFS alike."""

_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What turns the direction of writing: `a\u202e4pm.exe` shows as `aexe.mp4`."""
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)
"""Microsoft, "Naming Files, Paths, and Namespaces": devices by any suffix."""
_SHORT = re.compile(r"[^.~]{1,6}~[1-9][0-9]{0,5}(\.[^.]{0,3})?", re.DOTALL)
"""Form of the names that FAT and NTFS give long ones beside their own (`PROGRA~1`)."""


@lru_cache(maxsize=4096)  # folders come again with each of their files
def portable(name: str) -> tuple[str, tuple[str, ...]]:
    """Return one part of a path as every system takes it, and why it differs from `name`, as codes.

    The result has 1 to 255 bytes. The codes: bidirectional_control, forbidden_on_windows, trailing_dot, name_too_long.
    """
    changes = {}
    for code, repair in _REPAIRS.items():
        repaired = repair(name)
        if repaired != name:
            name = changes[code] = repaired
    return name, tuple(changes)


def mistaken_by_windows(name: str) -> str | None:
    """Return as a code what Windows takes a name for: reserved_windows_name or short_windows_name; None for nothing."""
    if _DEVICE.match(name):
        return "reserved_windows_name"
    if _SHORT.fullmatch(name) and len(name.partition(".")[0]) <= 8:
        return "short_windows_name"
    return None


def fitting_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name of at most `longest` bytes; a longer one keeps its suffix and gets a mark that tells it apart."""
    return name if len(name.encode()) <= longest else marked_name(name, name, longest)


def marked_name(name: str, original: str, longest: int = LONGEST_NAME) -> str:
    """Return a name with a mark made of `original` before its suffix, at most `longest` bytes."""
    stem, dot, suffix = name.rpartition(".")
    ending = f"{dot}{suffix}" if stem and len(suffix.encode()) <= 8 else ""
    mark = f"~{hashlib.sha256(original.encode()).hexdigest()[:8]}{ending}"
    base = name[: len(name) - len(ending)].encode()[: longest - len(mark.encode())]
    return base.decode("utf-8", "ignore").rstrip() + mark


_REPAIRS: dict[str, Callable[[str], str]] = {
    "bidirectional_control": lambda name: _DIRECTION.sub("", name) or "_",
    "forbidden_on_windows": lambda name: _FORBIDDEN.sub("_", name),
    "trailing_dot": lambda name: name.rstrip(". ") or "_",
    "name_too_long": fitting_name,
}
