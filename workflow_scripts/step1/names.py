"""A project's name from its archive's. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePath

from workflow_scripts.step1.archive_policy import fitting_name
from workflow_scripts.stepkit.projects import VIDEO_SUFFIXES

LONGEST_PROJECT = 150
"""Bytes: leaves room for a time stamp, a mark and a sha256 behind it in the archives' folder names and paths."""

_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip", ".tar", ".7z", ".rar", *sorted(VIDEO_SUFFIXES))  # fmt: skip


def without_suffix(name: str) -> str:
    """Return a file name without the suffix of an archive or a video; any other suffix belongs to the name."""
    ending = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)] or name


def project_name(source: PurePath, pattern: str) -> str:
    """Return the project's name for an archive, a clip or a folder: Unicode NFC, 1 to 150 bytes, a plain folder name.

    `pattern` is matched from the beginning of the name without suffix; its first group that matches is the project's
    name, and a name that does not match is taken whole. Underscores become spaces.
    """
    stem = unicodedata.normalize("NFC", without_suffix(source.name))
    match = re.match(pattern, stem, re.DOTALL)
    named = next((group for group in match.groups() if group), stem) if match else stem
    return _harmless(named.replace("_", " "))


def _harmless(name: str) -> str:
    """Take out what a folder's name cannot have or what makes it hidden or look like an option."""
    visible = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs") or letter == "/" else letter for letter in name
    )
    plain = re.sub(r"^[\s.\-]+|\s+$", "", re.sub(r" {2,}", " ", visible))
    return fitting_name(plain or "project", LONGEST_PROJECT)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return `wanted`, or `wanted (2)`, `wanted (3)`… : the first that is not taken, whatever its case."""
    folded = {name.casefold() for name in taken}
    names = (wanted if number == 1 else _numbered(wanted, number) for number in range(1, len(folded) + 2))
    return next(name for name in names if name.casefold() not in folded)


def _numbered(name: str, number: int) -> str:
    ending = f" ({number})"
    return fitting_name(name, LONGEST_PROJECT - len(ending)) + ending
