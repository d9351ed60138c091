"""A project's name from its archive's. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePath

from workflow_scripts.step1.portable_names import fitting_name, mistaken_by_windows, portable
from workflow_scripts.step1.volumes import whole_name
from workflow_scripts.stepkit.projects import VIDEO_SUFFIXES

LONGEST_PROJECT = 150
"""Bytes: leaves room for a time stamp, a mark and a sha256 behind it in the archives' folder names and paths."""

_ARCHIVES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip", ".tar", ".7z", ".rar")  # fmt: skip
_OF_EVERY_CARD = re.compile(
    r"private|m4root|xdroot|clip|dcim|\d{3}[a-z0-9_]{5}|contents|video|avchd|bdmv|stream|mp_root|\d{3}mnv\d{2}|[/\\]",
    re.IGNORECASE,
)
"""Folders of Sony's XAVC and XDCAM, Panasonic's P2, AVCHD, and the DCF rule of all still and action cameras (100GOPRO)."""
_SUFFIXES = (*_ARCHIVES, *sorted(VIDEO_SUFFIXES))


def without_suffix(name: str) -> str:
    """Return a file name without the suffix of an archive, its number as a part, or a video's; others belong to the name."""
    name = whole_name(name)
    ending = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)] or name


def is_named_archive(name: str) -> bool:
    """Tell whether a file calls itself an archive."""
    return name.lower().endswith(_ARCHIVES)


def project_name(source: PurePath, pattern: str) -> str:
    """Return the project's name for an archive, a clip or a folder: Unicode NFC, 1 to 150 bytes, a plain folder name.

    `pattern` is matched from the beginning of the name without suffix; its first group that matches is the project's
    name, and a name that does not match is taken whole. Underscores become spaces. A folder that every memory card has
    (`CAM_A/PRIVATE/M4ROOT/CLIP`) says nothing: the first above it that does names the project.
    """
    told = next((part for part in reversed(source.parts) if not _OF_EVERY_CARD.fullmatch(part)), source.name)
    stem = unicodedata.normalize("NFC", without_suffix(told))
    match = re.match(pattern, stem, re.DOTALL)
    named = next((group for group in match.groups() if group), stem) if match else stem
    return _harmless(named.replace("_", " "))


def _harmless(name: str) -> str:
    """Take out what a folder's name cannot have on any system, or what makes it hidden or look like an option."""
    visible = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs") or letter == "/" else letter for letter in name
    )
    plain, _changes = portable(re.sub(r"^[\s.\-]+|\s+$", "", re.sub(r" {2,}", " ", visible)) or "project")
    return fitting_name(f"{plain} project" if mistaken_by_windows(plain) else plain, LONGEST_PROJECT)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return `wanted`, or `wanted (2)`, `wanted (3)`… : the first that is not taken, whatever its case."""
    folded = {name.casefold() for name in taken}
    names = (wanted if number == 1 else _numbered(wanted, number) for number in range(1, len(folded) + 2))
    return next(name for name in names if name.casefold() not in folded)


def is_called(name: str, wanted: str) -> bool:
    """Tell whether a project has the name that was wanted for it, or that with a number."""
    number = re.search(r" \((\d+)\)$", name)
    return name == wanted or (number is not None and name == _numbered(wanted, int(number[1])))


def _numbered(name: str, number: int) -> str:
    ending = f" ({number})"
    return fitting_name(name, LONGEST_PROJECT - len(ending)) + ending
