"""What may come out of an archive, and how much of it. Pure: no file is opened here.

An archive that holds anything which has no business in delivered rushes (a path that leaves its folder, a link, a
device, two members that would be one file) is refused as a whole and by name: nobody packs such a thing by accident,
and half of a delivery is worse than none.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from workflow_scripts.stepkit.errors import ItemError

LONGEST_NAME = 255
"""Bytes in one part of a path: the limit of ext4, XFS, Btrfs and APFS alike."""

_DRIVE = re.compile(r"^[A-Za-z]:")
_JUNK_FOLDERS = frozenset({"__macosx", ".spotlight-v100", ".trashes", ".fseventsd"})
_JUNK_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_REMEDY = "Ask for a clean archive, or unpack it yourself somewhere safe and give Derush the folder."


@dataclass(frozen=True)
class Member:
    """One entry as an archive names it. `kind` is file, folder, link or special; `size` in bytes is only what it claims."""

    name: str
    kind: str
    size: int | None
    encrypted: bool = False


@dataclass(frozen=True)
class Limits:
    """How much may come out. `bytes_free` is what the disk has left for it."""

    bytes_free: int
    entries: int = 200_000
    depth: int = 40
    ratio: int = 100
    """Unpacked bytes per packed byte. Video does not compress; text reaches 20; a bomb needs 1,000 and more."""
    ratio_applies_from: int = 256 << 20
    """Bytes below which the ratio is not looked at: a small file of zeros harms nobody."""


class Gate:
    """Decides member by member; it remembers what it let through, so that no two members become one file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spelled: dict[tuple[str, ...], PurePosixPath] = {}
        self._files: set[tuple[str, ...]] = set()
        self._entries = 0
        self.skipped: list[dict[str, str]] = []
        self.changed: list[dict[str, str]] = []

    def admit(self, member: Member) -> PurePosixPath | None:
        """Return where a member goes, below the project; None for folders and for what is left out.

        Raises ItemError that names the member when the archive has to be refused.
        """
        self._entries += 1
        if self._entries > self._limits.entries:
            raise ItemError("too_many_entries", f"The archive has more than {self._limits.entries} entries.", _REMEDY)
        parts = safe_parts(member.name, self._limits.depth)
        if member.kind in ("link", "special"):
            raise refusal(f"{member.kind}_member", member.name, _WHAT[member.kind])
        if member.kind == "folder" or not parts:
            return None
        if is_junk(parts):
            self.skipped.append({"name": printable(member.name), "reason": "system_junk"})
            return None
        if member.encrypted:
            raise ItemError(
                "encrypted_archive",
                "The archive is protected by a password.",
                "Unpack it yourself and give Derush the folder.",
            )
        return self._place(member.name, PurePosixPath(*parts))

    def _place(self, name: str, path: PurePosixPath) -> PurePosixPath:
        fitting = PurePosixPath(*(fitting_name(part, LONGEST_NAME) for part in path.parts))
        if fitting != path:
            self.changed.append({"name": printable(name), "path": str(fitting), "reason": "name_too_long"})
        key = _folded(fitting.parts)
        if key in self._files or key in self._spelled:
            raise refusal("duplicate_member", name, "is there twice")
        self._check_folders(name, fitting.parent, key[:-1])
        self._files.add(key)
        return fitting

    def _check_folders(self, name: str, folder: PurePosixPath, key: tuple[str, ...]) -> None:
        """Refuse a folder that is also a file, or that is spelled in two ways (`Day1` and `day1`)."""
        while key:
            if key in self._files or self._spelled.setdefault(key, folder) != folder:
                raise refusal("duplicate_member", name, "lies in a folder whose name is there twice")
            key, folder = key[:-1], folder.parent


class Budget:
    """Counts the bytes that come out while they are written: what a header claims is never believed."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._free = limits.bytes_free
        self._swollen = max(limits.ratio_applies_from, limits.ratio * packed_bytes)
        self.written = 0

    def spend(self, count: int) -> None:
        """Count bytes about to be written. Raises ItemError when they are too many."""
        self.written += count
        if self.written > self._swollen:
            raise ItemError(
                "archive_bomb", f"The archive swells beyond {self._swollen} bytes, far more than footage does.", _REMEDY
            )
        if self.written > self._free:
            raise ItemError(
                "disk_full", "The disk has no room for what the archive holds.", "Free space on it and run again."
            )


def safe_parts(name: str, depth: int = 40) -> tuple[str, ...]:
    """Split a member's name into the parts of a path below the project, in Unicode form NFC.

    Windows' backslash parts like a slash; empty and `.` parts vanish. Raises ItemError for a name that leads elsewhere.
    """
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise refusal("control_character", name, "has control characters in its name")
    if text.startswith("/"):
        raise refusal("absolute_path", name, "has an absolute path")
    if _DRIVE.match(text):
        raise refusal("drive_letter", name, "names a drive")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise refusal("parent_path", name, "leads out of its folder")
    if len(parts) > depth:
        raise refusal("too_deep", name, f"lies more than {depth} folders deep")
    return parts


def is_junk(parts: tuple[str, ...]) -> bool:
    """Tell what macOS and Windows leave in archives and nobody wants."""
    last = parts[-1].lower()
    return last.startswith("._") or last in _JUNK_FILES or any(part.lower() in _JUNK_FOLDERS for part in parts)


def fitting_name(name: str, longest: int) -> str:
    """Return a name of at most `longest` bytes; a longer one keeps its suffix and gets a mark that tells it apart."""
    if len(name.encode()) <= longest:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = f"{dot}{suffix}" if stem and len(suffix.encode()) <= 8 else ""
    mark = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}{ending}"
    return name.encode()[: longest - len(mark.encode())].decode("utf-8", "ignore").rstrip() + mark


def refusal(code: str, name: str, why: str) -> ItemError:
    """Make the error that refuses an archive because of one member."""
    return ItemError(code, f"The archive is refused: its member {printable(name)} {why}.", _REMEDY)


def printable(name: str) -> str:
    """Return a member's name as it may stand in a message: control characters escaped, cut at 200 characters."""
    return ascii(name)[1:-1][:200] if not name.isprintable() else name[:200]


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Fold what some file systems hold to be one name: case, and the ways to write an accent."""
    return tuple(unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold()) for part in parts)


_WHAT = {"link": "is a link", "special": "is neither a file nor a folder"}
