"""The files that runs leave, as somebody elsewhere may look at them: below PROJECTS_DIR, OUTPUT_DIR and ARCHIVES_DIR, and nowhere else.

No link is followed on the way from there to a file: what is shown is what stands there.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, NamedTuple

from config.contract import Exit
from config.settings import Settings
from services.errors import ServiceError
from services.recorded import is_below, open_file

MOST_ROWS = 200
"""Rows of a table, and lines of JSON lines, that a preview shows."""
MOST_TEXT = 64 << 10
"""Characters of text that a preview shows."""
_LARGEST_JSON = 4 << 20
"""Bytes of JSON that are read whole to be shown in good order."""
_MOST_READ = 1 << 20
_MOST_COLUMNS = 40
_LONGEST_CELL = 300
_LONGEST_LINE = 2000

Kind = Literal["video", "image", "table", "text", "lines", "none"]
_KINDS: dict[str, Kind] = {
    ".mp4": "video", ".m4v": "video", ".webm": "video",
    ".png": "image", ".jpg": "image", ".jpeg": "image", ".webp": "image", ".gif": "image",
    ".csv": "table", ".json": "text", ".jsonl": "lines",
    ".txt": "text", ".log": "text", ".md": "text", ".yaml": "text", ".srt": "text", ".xml": "text",
}  # fmt: skip
_PLAYED = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".png": "image/png", ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
}  # fmt: skip


class Kept(NamedTuple):
    """A file, by the place it is kept at (`projects`, `output`, `archives`) and its path below that."""

    place: str
    path: str

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name

    @property
    def kind(self) -> Kind:
        """How it can be shown."""
        return _KINDS.get(PurePosixPath(self.path).suffix.lower(), "none")

    @property
    def played_as(self) -> str | None:
        """The media type of what a browser shows by itself and cannot run; None for everything else."""
        return _PLAYED.get(PurePosixPath(self.path).suffix.lower())


def places(settings: Settings) -> dict[str, Path]:
    """Return the folders below which files may be looked at."""
    found = {"projects": settings.projects_dir, "output": settings.output_dir, "archives": settings.archives_dir}
    return found | ({"fallback": settings.fallback_output_dir} if settings.fallback_output_dir else {})


def kept(path: object, settings: Settings) -> Kept | None:
    """Return where a file is kept; None when that is nowhere, or when its name can stand in no address."""
    if not isinstance(path, str):
        return None
    for place, root in places(settings).items():
        below = os.path.relpath(path, root) if os.path.isabs(path) else ""  # noqa: PTH117
        if is_below(below) and _is_text(below):
            return Kept(place, below)
    return None


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def kept_now(path: object, settings: Settings) -> Kept | None:
    """Return where a file that a step left is now: there, or where STEP7 moved it to; None when it is gone, or kept nowhere."""
    file = kept(path, settings)
    if file is None:
        return None
    moved = [place for place in ("output", "fallback") if file.place == "projects" and place in places(settings)]
    candidates = [file, *(Kept(place, file.path) for place in moved)]
    return next((each for each in candidates if size_of(each, settings) is not None), None)


def size_of(file: Kept, settings: Settings) -> int | None:
    """Return how many bytes a file has; None when it is not there, or is no file."""
    try:
        about = (places(settings)[file.place] / file.path).lstat()
    except (OSError, ValueError):
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def open_kept(place: str, path: str, settings: Settings) -> BinaryIO:
    """Open a file for reading. Raises ServiceError no_such_file for what is not there, is no file, or is not kept here."""
    root = places(settings).get(place)
    if root is not None and is_below(path):
        try:
            return open_file(root, path)
        except (OSError, ValueError):
            pass
    shown = path.encode("unicode_escape").decode()
    remedy = "It may have been moved, or be a link, which is not followed. Its run or project lists what there is."
    raise ServiceError("no_such_file", f"There is no file {shown[:300]}.", remedy, Exit.USAGE)


@dataclass(frozen=True)
class Preview:
    """The beginning of a file. `rows` is a table, its head first; `text` anything else. `is_whole`: nothing was left out."""

    kind: Kind
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    is_whole: bool = True


def preview(file: Kept, stream: BinaryIO) -> Preview:
    """Read as much of a file as a page shows; nothing of what a browser shows by itself."""
    if file.kind == "table":
        return _table(stream)
    if file.kind == "lines":
        return _lines(stream)
    if file.kind == "text":
        return _json(stream) if file.path.lower().endswith(".json") else _text(stream)
    return Preview(file.kind)


def _table(stream: BinaryIO) -> Preview:
    text = stream.read(_MOST_READ).decode("utf-8-sig", "replace")
    try:
        rows = list(islice(csv.reader(io.StringIO(text, newline="")), MOST_ROWS + 2))
    except csv.Error:
        stream.seek(0)
        return _text(stream)
    shown = tuple(tuple(cell[:_LONGEST_CELL] for cell in row[:_MOST_COLUMNS]) for row in rows[: MOST_ROWS + 1])
    return Preview("table", rows=shown, is_whole=len(rows) <= MOST_ROWS + 1 and not stream.read(1))


def _lines(stream: BinaryIO) -> Preview:
    shown, left = [], MOST_TEXT
    for line in _first_lines(stream):
        if left <= 0:
            break
        shown.append(line[: min(left, _LONGEST_LINE)] + ("…" if len(line) > _LONGEST_LINE else ""))
        left -= len(shown[-1])
    return Preview("lines", "\n".join(shown), is_whole=not stream.read(1))


def _first_lines(stream: BinaryIO) -> Iterator[str]:
    for _ in range(MOST_ROWS):
        line = stream.readline(_LONGEST_LINE * 4)
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip("\n")
        while not line.endswith(b"\n") and (line := stream.readline(_MOST_READ)):
            pass


def _json(stream: BinaryIO) -> Preview:
    whole = stream.read(_LARGEST_JSON + 1)
    try:
        if len(whole) > _LARGEST_JSON:
            raise ValueError
        text = json.dumps(json.loads(whole), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        stream.seek(0)
        return _text(stream)
    shown = text[:MOST_TEXT].encode("utf-8", "replace").decode()
    return Preview("text", shown, is_whole=len(text) <= MOST_TEXT)


def _text(stream: BinaryIO) -> Preview:
    text = stream.read(MOST_TEXT).decode("utf-8", "replace")
    return Preview("text", text, is_whole=not stream.read(1))
