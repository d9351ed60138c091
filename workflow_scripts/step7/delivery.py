"""Copies of a project's files in the output folder, made so that nothing that is there is ever lost.

What a file finds at its place decides: nothing, it is copied; the same content, it is left; an older version that an
earlier delivery recorded and nobody touched since, that one becomes `name (2).ext` once the new one is verified, which takes
its place; anything else is a person's and keeps its name, and ours goes beside it as `name (2).ext`. So is a link, wherever
it leads: it may be the working copy that it shows.

`<output>/<project>/.derush/delivery.json` remembers what was delivered, by size and modification time of both sides, and
which videos are not in it, or lack something.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from services.verified_copies import Copied, copies, flush_folder, holds, move_to_free_place, numbered, sha256_of
from workflow_scripts.step7.contents import File
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.files import write_json
from workflow_scripts.stepkit.projects import INTERNAL

SCHEMA = "derush.delivery/1"
OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class Delivered:
    """One delivered file: its path below the delivery, its content, and size and time (ns) of both sides."""

    name: str
    sha256: str
    source: tuple[int, int]
    target: tuple[int, int]


@dataclass(frozen=True)
class Placed:
    """A file at its place; `older` is where the version went that was delivered there before."""

    file: File
    place: Path
    older: Path | None = None


class Delivery:
    """The folder of one project in the output folder; a context in which files are delivered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._real = folder.resolve()
        self._record = folder / INTERNAL / "delivery.json"
        self._incoming = folder / INTERNAL / "incoming"
        self._known, self._incomplete = _read(self._record)
        self._fresh: set[str] = set()
        self._unflushed: set[Path] = set()
        self._is_saved = True

    def sweep(self) -> None:
        """Remove what a delivery left that was killed."""
        shutil.rmtree(self._incoming, ignore_errors=True)

    def __enter__(self) -> Delivery:
        self.sweep()
        self._incoming.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sweep()
        if not self._is_saved:
            self.save()

    def save(self) -> None:
        """Make sure that what was delivered is on the disk under its name, and write the record of it."""
        changed = {above for folder in self._unflushed for above in (folder, *folder.parents)}
        for folder in changed:
            if folder.is_relative_to(self.folder.parent):
                flush_folder(folder)
        self._unflushed.clear()
        files = {name: asdict(known) for name, known in self._known.items()}
        write_json(self._record, {"schema": SCHEMA, "files": files, "incomplete": self._incomplete})
        self._is_saved = True

    def says(self, incomplete: Sequence[Mapping[str, Any]]) -> bool:
        """Tell whether the record says just this of videos that lack something."""
        return self._incomplete == list(incomplete)

    def say(self, incomplete: Sequence[Mapping[str, Any]]) -> None:
        """Have the record say which videos lack something; it is written by `save`."""
        self._incomplete = list(incomplete)
        self._is_saved = False

    def has_any(self, names: Iterable[str]) -> bool:
        """Tell whether one of the project's files, by their names, was delivered and is still there."""
        return any((known := self._known.get(name)) is not None and self._is_file(known.name) for name in names)

    def pending(self, files: Iterable[File]) -> list[File]:
        """Return the files that are not known to be delivered as they are now; nothing is read but sizes and times."""
        return [file for file in files if not self._is_current(file)]

    def _is_current(self, file: File) -> bool:
        known = self._known.get(file.name)
        if known is None or not self._is_file(known.name):
            return False
        return known.source == seen(file.path) and known.target == seen(self.folder / known.name)

    def _is_file(self, name: str) -> bool:
        """Tell whether there is a regular file below the delivery, reached without a link that leads out of it."""
        place = self.folder / name
        try:
            is_regular = stat.S_ISREG(place.lstat().st_mode)
        except OSError:
            return False
        return is_regular and place.parent.resolve().is_relative_to(self._real)

    def _holds(self, place: Path, sha256: str, on_bytes: OnBytes | None = None) -> bool:
        if not self._is_file(str(place.relative_to(self.folder))):
            return False
        return holds(place, sha256, on_bytes) if on_bytes else holds(place, sha256)

    def held(self, file: File, on_bytes: OnBytes) -> Path | None:
        """Return where a file's content is already, among the places that are its; None where it is to be copied.

        Raises ItemError where a folder on the way is another one than the delivery's: what is put there would be elsewhere.
        """
        self._check_way(file)
        source, sha256, passed = seen(file.path), None, list[Path]()
        for place in self._places(file):
            if not os.path.lexists(place):
                return None
            if place.is_file() and seen(place)[0] == source[0]:
                sha256 = sha256 or sha256_of(file.path, on_bytes)
                if self._holds(place, sha256, on_bytes):
                    # A number is no place beside an older version of ours: that one makes way for this content.
                    is_beside = place != self.folder / file.name
                    if is_beside and any(self._is_ours(file.name, other) for other in passed):
                        return None
                    self._remember(file, place, sha256, source)
                    return place
            passed.append(place)
        return None

    def _check_way(self, file: File) -> None:
        folder = (self.folder / file.name).parent
        leads_out = not folder.resolve().is_relative_to(self._real)
        if leads_out or (folder.exists() and folder.samefile(file.path.parent)):
            raise ItemError(
                "output_leads_out", f"{folder} is a link or a mount that leads out of the delivery.",
                "Take it out of the delivery, or set OUTPUT_DIR to another folder.",
            )  # fmt: skip

    def deliver(self, files: Sequence[File], on_bytes: OnBytes) -> Iterator[Placed]:
        """Copy files to their places, verified, and yield where each is; while one is read again the next is copied.

        `on_bytes` is called from two threads. Raises CopyMismatch when a copy reads back differently, OSError.
        """
        pairs = [(file.path, self._incoming / secrets.token_hex(8)) for file in files]
        for file, copied in zip(files, copies(pairs, on_bytes), strict=True):
            yield self._put(file, copied)

    def _places(self, file: File) -> Iterator[Path]:
        known = self._known.get(file.name)
        if known and (self.folder / known.name).exists():
            yield self.folder / known.name
        yield from numbered(self.folder / file.name)

    def _put(self, file: File, copied: Copied) -> Placed:
        """Give a verified copy its place: that of the older version of it that is ours, else the first that is free."""
        older = None
        for place in self._places(file):
            if self._is_ours(file.name, place):
                older = _put_free(place, numbered(self.folder / file.name))
                self._unflushed.add(older.parent)
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                move_to_free_place(copied.target, place)
                break
        self._unflushed.add(place.parent)
        self._remember(file, place, copied.sha256, copied.seen)
        return Placed(file, place, older)

    def _remember(self, file: File, place: Path, sha256: str, source: tuple[int, int]) -> None:
        self._known[file.name] = Delivered(str(place.relative_to(self.folder)), sha256, source, seen(place))
        self._fresh.add(file.name)
        self._is_saved = False

    def _is_ours(self, name: str, place: Path) -> bool:
        """Tell whether a file is what an earlier delivery left there, untouched since."""
        known = self._known.get(name)
        return known is not None and self.folder / known.name == place and self._holds(place, known.sha256)

    def verified(self, files: Iterable[File], on_bytes: OnBytes) -> bool:
        """Read both sides of every file and tell whether the delivery holds what the project holds now.

        Raises ItemError where a folder of the delivery is another one: a file would be verified against itself.
        """
        files = list(files)
        for file in files:
            self._check_way(file)
        return all(self._is_verified(file, on_bytes) for file in files)

    def _is_verified(self, file: File, on_bytes: OnBytes) -> bool:
        known = self._known.get(file.name)
        if known is None:
            return False
        if file.name in self._fresh and self._is_current(file):
            return True  # both sides were read for this very delivery
        return holds(file.path, known.sha256, on_bytes) and self._holds(
            self.folder / known.name, known.sha256, on_bytes
        )


def seen(path: Path) -> tuple[int, int]:
    """Return a file's size and modification time (ns), by which a change is told without reading it."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _put_free(path: Path, places: Iterator[Path]) -> Path:
    """Rename a file to the first of the places that is free."""
    for place in places:
        with suppress(FileExistsError):
            move_to_free_place(path, place)
            return place
    raise AssertionError("numbers do not end")


def _read(path: Path) -> tuple[dict[str, Delivered], list[Any]]:
    """Read what was delivered; a record that is absent or damaged knows nothing, so that nothing is taken for ours."""
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = known["files"]
        delivered = {
            name: Delivered(each["name"], each["sha256"], tuple(each["source"]), tuple(each["target"]))
            for name, each in files.items()
        }
        if any(Path(each.name).is_absolute() or ".." in Path(each.name).parts for each in delivered.values()):
            return {}, []  # nobody wrote that here: it leads out of the delivery
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, []
    incomplete = known.get("incomplete", [])
    return delivered, incomplete if isinstance(incomplete, list) else []
