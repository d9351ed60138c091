"""Names that come with uploads, made harmless. Pure.

Whoever sends a file may call it anything: what stands in front of the last slash, control and direction characters,
leading dots, names that other systems reserve, and lengths that no disk takes are taken out. All else stays.
"""

from __future__ import annotations

import re
import unicodedata

from config.contract import Exit
from services.errors import ServiceError

LONGEST_NAME = 200
"""Bytes of a file's name: leaves room for ` (2)` behind it, and for the names of artefacts made from it."""
LONGEST_FOLDER = 120
DEEPEST = 16
"""Folders within folders of a drop; with the bounds above a whole path stays below the 4,096 bytes a system takes."""

_LONGEST_SUFFIX = 16
_SPOILT = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
"""Invisible, and part of how Persian, Hindi and others are written."""
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
"""Windows keeps these for devices, whatever the suffix; deliveries go to shared disks."""
_BATCH = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,39}")


def file_name(told: str) -> str:
    """Return a name of 1 to 200 bytes for a file, from what its sender calls it; the suffix stays."""
    name = _harmless(re.split(r"[/\\]", told)[-1]) or "upload"
    stem, dot, suffix = name.rpartition(".")
    if stem and len(suffix.encode()) <= _LONGEST_SUFFIX:
        return _cut(stem, LONGEST_NAME - len((dot + suffix).encode())) + dot + suffix
    return _cut(name, LONGEST_NAME)


def folder_path(told: str) -> tuple[str, ...]:
    """Return the folders a file stands in, outermost first, from a path with slashes; empty text is none.

    Raises ServiceError wrong_metadata for a path that climbs, has an empty part or is deeper than 16 folders.
    """
    parts = told.split("/") if told else []
    if len(parts) > DEEPEST or any(part.strip() in {"", ".", ".."} for part in parts):
        remedy = f"Send names with single slashes between them, {DEEPEST} at most, none of them `..`."
        raise ServiceError("wrong_metadata", "The folder of an upload is not a plain path.", remedy, Exit.USAGE)
    return tuple(_cut(_harmless(part) or "folder", LONGEST_FOLDER) for part in parts)


def batch_name(told: str) -> str:
    """Return the name of a batch as it was told. Raises ServiceError wrong_metadata for any but a plain word."""
    if not _BATCH.fullmatch(told):
        remedy = "Use 1 to 40 of the letters A to Z and a to z, digits, `-` and `_`."
        raise ServiceError("wrong_metadata", "The batch of an upload is not a plain word.", remedy, Exit.USAGE)
    return told


def _harmless(told: str) -> str:
    composed = unicodedata.normalize("NFC", told)
    shown = "".join("_" if _is_spoilt(letter) else letter for letter in composed).replace("\\", "_")
    plain = shown.strip().lstrip(".").rstrip(". ")
    return f"_{plain}" if _RESERVED.fullmatch(plain) else plain


def _is_spoilt(letter: str) -> bool:
    return unicodedata.category(letter) in _SPOILT and letter not in _JOINERS


def _cut(name: str, longest: int) -> str:
    return name.encode()[:longest].decode("utf-8", "ignore").rstrip()
