"""What may come out of an archive, and how much of it. Pure: no file is opened here.

An archive that holds anything which has no business in delivered rushes (a path that leaves its folder, a link, a
device, two members that would be one file) is refused as a whole and by name: nobody packs such a thing by accident,
and half of a delivery is worse than none. A name that is only awkward is repaired, with a record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from workflow_scripts.step1.portable_names import marked_name, mistaken_by_windows, portable
from workflow_scripts.stepkit.errors import ItemError

LONGEST_PATH = 1024
"""Bytes of a member's whole path: Linux takes 4,096 and macOS 1,024, the project's own folder included."""

_DRIVE = re.compile(r"^[A-Za-z]:")
_JUNK_FOLDERS = frozenset(
    {
        "__macosx", ".spotlight-v100", ".trashes", ".fseventsd", ".temporaryitems", ".documentrevisions-v100",
        ".appledouble", "$recycle.bin", "system volume information", "@eadir",
    }
)  # fmt: skip
_JUNK_FILES = frozenset({".ds_store", ".volumeicon.icns", "thumbs.db", "ehthumbs.db", "desktop.ini"})
_REMEDY = "Ask for a clean archive, or unpack it yourself somewhere safe and give Derush the folder."


@dataclass(frozen=True)
class Member:
    """One entry as an archive names it. `kind` is file, folder, link or special; `size` in bytes is only what it claims.

    `holes` are the bytes of a sparse file that are not stored: they cost no disk. `encoding` is the character set that
    the name was guessed to be in, where the archive does not say it.
    """

    name: str
    kind: str
    size: int | None
    holes: int = 0
    encoding: str | None = None


@dataclass(frozen=True)
class Limits:
    """How much may come out of one source, all that is nested in it counted too. Bytes are counted, never believed."""

    bytes_free: int
    """What the disk has left for it."""
    total: int = 4 << 40
    """Bytes of all files together: a day's shoot in 8K raw stays below."""
    file: int = 2 << 40
    """Bytes of one file: four hours of ProRes 4444 XQ in 4K are 1.5 TB."""
    entries: int = 200_000
    """A camera card has some thousands, a sequence of single frames 90,000 an hour."""
    depth: int = 40
    """Folders in one another."""
    ratio: int = 100
    """Unpacked bytes per packed byte. Video does not compress; text reaches 20; a bomb needs 1,000 and more."""
    ratio_applies_from: int = 256 << 20
    """Bytes below which the ratio is not looked at: a small file of zeros harms nobody."""


class Gate:
    """Decides member by member; it remembers what it let through, so that no two members become one file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken: dict[str, tuple[str, bool]] = {}
        """By folded path, each file and folder: as the archive spells it, and whether it is a file."""
        self._entries = 0
        self.skipped: list[dict[str, str]] = []
        self.changed: list[dict[str, str]] = []
        self.encodings: set[str] = set()

    def admit(self, member: Member, below: str = "") -> str | None:
        """Return where a member goes, below the project; None for folders and for what is left out.

        `below` is the folder that stands for the archive it comes from, when that is itself a member: `/day1/card2`.
        Raises ItemError that names the member when the archive has to be refused.
        """
        self._entries += 1
        if self._entries > self._limits.entries:
            raise ItemError(
                "too_many_entries", f"The archive has more than {self._limits.entries} entries (STEP1_MAX_ENTRIES).", _REMEDY
            )  # fmt: skip
        if member.encoding:
            self.encodings.add(member.encoding)
        parts, junk = judged_parts(member.name, self._limits.depth - below.count("/"))
        if member.kind in ("link", "special"):
            raise refusal(f"{member.kind}_member", member.name, _WHAT[member.kind])
        if member.kind == "folder" or not parts:
            return None
        if junk:
            self.skipped.append({"name": printable(member.name), "reason": "system_junk"})
            return None
        return self._place(member.name, parts, below)

    def folder_for(self, path: str) -> str:
        """Take a folder that nothing else is in, numbered where its name is taken; returns what `admit` calls `below`."""
        numbers = count(2)
        wanted = folder = f"/{path}"
        while _folded(folder) in self._taken:
            folder = f"{wanted} ({next(numbers)})"
        self._taken[_folded(folder)] = folder, False
        return folder

    def _place(self, name: str, parts: tuple[str, ...], below: str) -> str:
        """Find the place of a file: every part of its path repaired, and none of them met by another spelling."""
        path = spelled = below
        reasons = ["unicode_form"] if not unicodedata.is_normalized("NFC", name) else []
        for at, part in enumerate(parts):
            fitting, why = portable(part)
            if code := mistaken_by_windows(fitting):
                raise refusal(code, name, _WHAT[code])
            reasons += why
            spelled = f"{spelled}/{part}"
            path = self._claim(name, path, (part, fitting), spelled, is_file=at == len(parts) - 1)
        path = path.lstrip("/")
        if len(path.encode()) > LONGEST_PATH:
            raise refusal("path_too_long", name, f"has a path of more than {LONGEST_PATH} bytes")
        for reason in dict.fromkeys(reasons):
            self.changed.append({"name": printable(name), "path": path, "reason": reason})
        return path

    def _claim(self, name: str, folder: str, names: tuple[str, str], spelled: str, *, is_file: bool) -> str:
        """Take a path for one spelling. Where only the repair makes two names one, a mark keeps them apart."""
        part, fitting = names
        path = f"{folder}/{fitting}"
        met = self._taken.get(_folded(path))
        if met and _folded(met[0]) != _folded(spelled):
            path = f"{folder}/{marked_name(fitting, _folded(part))}"
            met = self._taken.get(_folded(path))
        if met and (is_file or met != (spelled, False)):
            raise refusal(
                "duplicate_member", name, "is there twice, or under names that differ by case or accents only"
            )
        self._taken[_folded(path)] = spelled, is_file
        return path


class Budget:
    """Counts the bytes that come out while they are written: what a header claims is never believed."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._swollen = max(limits.ratio_applies_from, limits.ratio * packed_bytes)
        self.written = 0

    def of_file(self, holes: int = 0) -> Callable[[int], None]:
        """Return what counts the bytes of one file about to be written, and raises ItemError when they are too many.

        `holes` of them may be zeros that nobody stored: they say nothing of how the archive swells.
        """
        self._swollen += holes
        written = 0

        def spend(count: int) -> None:
            nonlocal written
            written += count
            if written > self._limits.file:
                raise _too_large("member_too_large", "A file in the archive", self._limits.file, "STEP1_MAX_FILE_GB")
            self._spend(count)

        return spend

    def _spend(self, count: int) -> None:
        self.written += count
        if self.written > self._swollen:
            raise ItemError(
                "archive_bomb", f"The archive swells beyond {self._swollen} bytes, far more than footage does.",
                f"{_REMEDY} STEP1_MAX_RATIO says how far it may swell.",
            )  # fmt: skip
        if self.written > self._limits.total:
            raise _too_large("archive_too_large", "What the archive holds", self._limits.total, "STEP1_MAX_TOTAL_GB")
        if self.written > self._limits.bytes_free:
            raise ItemError(
                "disk_full", "The disk has no room for what the archive holds.", "Free space on it and run again."
            )


def judged_parts(name: str, depth: int = 40) -> tuple[tuple[str, ...], bool]:
    """Return the parts of a member's path, and whether it is what macOS and Windows leave behind. Raises ItemError."""
    has_icon = re.search(r"(^|[/\\])Icon\r$", name)  # the picture of a macOS folder: the one honest control character
    parts = safe_parts(name[:-1] if has_icon else name, depth)
    return parts, bool(parts) and (bool(has_icon) or is_junk(parts))


def safe_parts(name: str, depth: int = 40) -> tuple[str, ...]:
    """Split a member's name into the parts of a path below the project, in Unicode form NFC.

    Windows' backslash parts like a slash; empty and `.` parts vanish. Raises ItemError for a name that leads elsewhere.
    """
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    if not text.isprintable() and any(unicodedata.category(letter) in _CONTROL for letter in text):
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
    """Tell what macOS, Windows and network disks leave in archives and nobody wants."""
    last = parts[-1].lower()
    return last.startswith("._") or last in _JUNK_FILES or any(part.lower() in _JUNK_FOLDERS for part in parts)


def refusal(code: str, name: str, why: str) -> ItemError:
    """Make the error that refuses an archive because of one member."""
    return ItemError(code, f"The archive is refused: its member {printable(name)} {why}.", _REMEDY)


def printable(name: str) -> str:
    """Return a member's name as it may stand in a message: control characters escaped, cut at 200 characters."""
    return ascii(name)[1:-1][:200] if not name.isprintable() else name[:200]


def _too_large(code: str, what: str, most: int, setting: str) -> ItemError:
    return ItemError(
        code, f"{what} is larger than {most / 1e9:g} GB.", f"If that is what it should be, raise {setting}."
    )


@lru_cache(maxsize=8192)  # the path of a folder comes again with each of its files
def _folded(path: str) -> str:
    """Fold what some file systems hold to be one name: case, and the ways to write an accent."""
    return (
        path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    )


_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_WHAT = {
    "link": "is a link",
    "special": "is neither a file nor a folder",
    "reserved_windows_name": "has the name of a Windows device",
    "short_windows_name": "has the form of a short Windows name, which may stand for another file",
}
