"""What of this machine's disks the panel shows: folders below the allowed roots, and folders opened on its own screen.

Nothing outside BROWSE_ROOTS and UPLOADS_DIR is listed or taken, whatever links and `..` a path goes through, and nothing
hidden below them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from config.contract import Exit
from config.settings import Settings, inherited_environment
from config.settings import path as setting_path
from services.errors import ServiceError

MOST_ENTRIES = 2000
"""More than a person looks through; the listing says how many there are."""
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".7z", ".rar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst"})
_COMPRESSED_TAR = re.compile(r"\.tar\.(gz|bz2|xz|zst)$", re.IGNORECASE)
# Archives in several files, as STEP1 knows them by their names: one of them stands for all.
_PIECE = re.compile(r"(.+)\.(\d{3,4})$")
_RAR_PART = re.compile(r"(.+)\.part(\d{1,5})\.rar$", re.IGNORECASE)
_SPLIT_ZIP = re.compile(r"(.+)\.z\d{2,3}$", re.IGNORECASE)
_OLD_RAR = re.compile(r"(.+)\.[r-y]\d\d$", re.IGNORECASE)
# What STEP1 takes for a video; it tells archives by their content, which would be slow in a list.
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".avi", ".dv", ".flv", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})  # fmt: skip
_START_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """What stands in a folder. `kind` is folder, archive, video or other; `size` is in bytes, None for a folder.

    `problem` says why it cannot be taken: missing, unreadable, not_utf8 (the name, which is then shown with `?`), or empty
    when it can. `part_of` names the archive that a file is a later part of: another file of it, its lead, is to be taken.
    """

    name: str
    path: Path
    kind: str
    size: int | None = None
    problem: str = ""
    part_of: str = ""


@dataclass(frozen=True)
class Listing:
    """A folder, the way to it from its root, and what stands in it: at most MOST_ENTRIES of `total`.

    `path` is None for the list of the roots themselves.
    """

    path: Path | None
    way: tuple[tuple[str, Path], ...]
    entries: tuple[Entry, ...]
    total: int


def roots(settings: Settings) -> list[Path]:
    """Return the folders below which inputs may be chosen, links resolved; also those that are not there just now."""
    named = [*settings.browse_roots, str(settings.uploads_dir)]
    return list(dict.fromkeys(found for text in named if (found := _root(text))))


def _root(text: str) -> Path | None:
    try:
        return setting_path(text).resolve()
    except RuntimeError:  # `~` of a user who has no home folder
        return None


def allowed(text: str, settings: Settings) -> Path:
    """Return a path that a person named, resolved. Raises ServiceError path_not_allowed and no_such_path."""
    try:
        path = Path(text).expanduser()
        resolved = path.resolve()
        is_there = os.access(resolved, os.F_OK)
    except (RuntimeError, ValueError, OSError):  # no such home, a NUL, links in a circle
        raise _no_such_path(text) from None
    if not path.is_absolute():
        raise ServiceError("path_not_allowed", f"{text} is no whole path.", "Begin it with / or ~.", Exit.USAGE)
    if not _is_below(resolved, roots(settings)):
        message = f"{text} is not below a folder that the panel may use, or is hidden."
        remedy = f"Allowed: {', '.join(map(str, roots(settings)))}. BROWSE_ROOTS in .env names them."
        raise ServiceError("path_not_allowed", message, remedy, Exit.USAGE)
    if not is_there:
        raise _no_such_path(text)
    return resolved


def listing(text: str | None, settings: Settings) -> Listing:
    """Return what stands in a folder, folders first, `clip 2` before `clip 10`; without a folder, the roots.

    UPLOADS_DIR is made by the first upload: until then it is not among the roots shown, and nobody is warned of it. Hidden entries, links that lead out of the roots, and what is neither file nor folder are left out. Raises
    ServiceError path_not_allowed, no_such_path, and folder_unreadable.
    """
    known = roots(settings)
    if text is None:
        uploads = _root(str(settings.uploads_dir))
        entries = tuple(_root_entry(root) for root in known if root != uploads or root.exists())
        return Listing(None, (), entries, len(entries))
    path = allowed(text, settings)
    try:
        with os.scandir(path) as found:
            everything = sorted(_visible(found, known), key=_order)
    except OSError as error:
        message = f"{path} cannot be looked at ({error.strerror})."
        remedy = "Choose another folder, or give the panel's user the right to read it."
        raise ServiceError("folder_unreadable", message, remedy, Exit.USAGE) from None
    shown = tuple(_with_size(entry) for entry in everything[:MOST_ENTRIES])
    return Listing(path, _way(path, known), shown, len(everything))


def is_local(remote_address: str | None, host: str) -> bool:
    """Tell whether a request comes from this machine itself: from loopback, to a loopback name (no proxy between)."""
    name = urlsplit(f"//{host}").hostname or ""
    return _is_loopback(remote_address or "") and (name == "localhost" or _is_loopback(name))


def open_folder(path: Path) -> None:
    """Show a folder in this machine's file manager. Raises ServiceError cannot_open_folder, with the path to copy."""
    variables = inherited_environment()
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    has_screen = sys.platform == "darwin" or any(variables.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not path.is_dir():
        raise _cannot_open(path, "it is not there")
    if not (opener and has_screen):
        raise _cannot_open(path, "this machine has no screen, or no program that opens folders")
    process = subprocess.Popen(
        [opener, str(path.absolute())], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        returncode = process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        return  # some openers stay for as long as the folder is shown
    if returncode:
        raise _cannot_open(path, f"{opener} ended with {returncode}")


def _visible(found: Iterable[os.DirEntry[str]], known: list[Path]) -> Iterator[Entry]:
    for entry in found:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if entry.is_symlink() and not _leads_below(path, known):
            continue
        if (shown := entry.name.encode(errors="replace").decode()) != entry.name:
            yield Entry(shown, path, "other", problem="not_utf8")
            continue
        try:
            if entry.is_dir():
                yield Entry(entry.name, path, "folder")
            elif entry.is_file():
                yield Entry(entry.name, path, _kind(entry.name), part_of=_part_of(entry.name))
        except OSError:
            yield Entry(entry.name, path, "other", problem="unreadable")


def _leads_below(link: Path, known: list[Path]) -> bool:
    try:
        return _is_below(link.resolve(strict=True), known)
    except (RuntimeError, OSError):  # to nowhere, or in a circle
        return False


def _with_size(entry: Entry) -> Entry:
    if entry.problem:
        return entry
    try:
        if entry.kind == "folder":
            return entry if os.access(entry.path, os.R_OK | os.X_OK) else replace(entry, problem="unreadable")
        return replace(entry, size=entry.path.stat().st_size)
    except OSError:
        return replace(entry, problem="unreadable")


def _root_entry(root: Path) -> Entry:
    entry = Entry(str(root), root, "folder")
    return _with_size(entry) if root.is_dir() else replace(entry, problem="missing")


def _kind(name: str) -> str:
    if _part_of(name):
        return "other"
    piece = _PIECE.match(name)
    if _is_archive(piece[1] if piece else name):
        return "archive"
    return "video" if Path(name).suffix.lower() in VIDEO_SUFFIXES else "other"


def _is_archive(name: str) -> bool:
    return Path(name).suffix.lower() in ARCHIVE_SUFFIXES or _COMPRESSED_TAR.search(name) is not None


def _part_of(name: str) -> str:
    """Return the name of the archive, as if in one piece, that a file is a later part of; empty for any other file."""
    if match := _SPLIT_ZIP.match(name):
        return f"{match[1]}.zip"
    if match := _OLD_RAR.match(name):
        return f"{match[1]}.rar"
    if (match := _RAR_PART.match(name)) and int(match[2]) > 1:
        return f"{match[1]}.rar"
    if (match := _PIECE.match(name)) and int(match[2]) > 1 and _is_archive(match[1]):
        return match[1]
    return ""


def _order(entry: Entry) -> tuple[bool, list[tuple[str, int]], str]:
    """Folders first, then by name without case, numbers in it by their value."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", entry.name.casefold())
    return entry.kind != "folder", [(text, int(digits or -1)) for text, digits in parts], entry.name


def _way(path: Path, known: list[Path]) -> tuple[tuple[str, Path], ...]:
    """Return the folders from the root down to `path`, each with the name to show."""
    root = max((root for root in known if path.is_relative_to(root)), key=lambda root: len(root.parts))
    below = path.relative_to(root).parts
    steps = [root.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
    return tuple((str(step) if step == root else step.name, step) for step in steps)


def _is_below(resolved: Path, known: list[Path]) -> bool:
    """Tell whether a resolved path is one of the roots, or below one and not hidden there."""
    return any(
        resolved.is_relative_to(root) and not any(part.startswith(".") for part in resolved.relative_to(root).parts)
        for root in known
    )


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _no_such_path(text: str) -> ServiceError:
    shown = text.encode(errors="replace").decode().replace("\0", "�")
    return ServiceError("no_such_path", f"{shown} does not exist.", "Check the path.", Exit.USAGE)


def _cannot_open(path: Path, reason: str) -> ServiceError:
    return ServiceError("cannot_open_folder", f"{path} cannot be opened: {reason}.", f"Copy the path: {path}")
