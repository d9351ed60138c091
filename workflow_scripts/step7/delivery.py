"""Copies of a project's files in the output folder, made so that nothing that is there is ever lost.

What a file finds at its place decides: nothing, it is copied; the same content, it is left; an older version that an
earlier delivery recorded and nobody touched since, it is replaced once the new one is verified; anything else is a
person's and stays, and ours goes beside it as `name (2).ext`.

`<output>/<project>/.derush/delivery.json` remembers what was delivered, by size and modification time of both sides.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from services.results_archiver import CopyMismatch, copy_verified, flush_folder, holds, numbered, sha256_of
from workflow_scripts.step7.contents import File
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


class Delivery:
    """The folder of one project in the output folder; a context in which files are delivered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / INTERNAL / "delivery.json"
        self._incoming = folder / INTERNAL / "incoming"
        self._known = _read(self._record)
        self._fresh: set[str] = set()
        self._unflushed: set[Path] = set()

    def __enter__(self) -> Delivery:
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._incoming, ignore_errors=True)
        if self._fresh:
            self.save()

    def save(self) -> None:
        """Make sure that what was delivered is on the disk under its name, and write the record of it."""
        changed = {above for folder in self._unflushed for above in (folder, *folder.parents)}
        for folder in changed:
            if folder.is_relative_to(self.folder.parent):
                flush_folder(folder)
        self._unflushed.clear()
        files = {name: asdict(known) for name, known in self._known.items()}
        write_json(self._record, {"schema": SCHEMA, "files": files})

    def pending(self, files: Iterable[File]) -> list[File]:
        """Return the files that are not known to be delivered as they are now; nothing is read but sizes and times."""
        return [file for file in files if not self._is_current(file)]

    def _is_current(self, file: File) -> bool:
        known = self._known.get(file.name)
        if known is None or not (self.folder / known.name).is_file():
            return False
        return known.source == _seen(file.path) and known.target == _seen(self.folder / known.name)

    def deliver(self, file: File, on_bytes: OnBytes) -> Path:
        """Bring one file to its place, verified, and return the place.

        Raises CopyMismatch when the copy reads back differently, OSError.
        """
        source = _seen(file.path)
        place, sha256 = self._place(file, on_bytes)
        if sha256 is None:
            sha256 = self._copy(file, place, on_bytes)
        name = str(place.relative_to(self.folder))
        self._known[file.name] = Delivered(name, sha256, source, _seen(place))
        self._fresh.add(file.name)
        return place

    def _place(self, file: File, on_bytes: OnBytes) -> tuple[Path, str | None]:
        """Return where a file goes, and its sha256 when it is there already."""
        for place in self._places(file):
            if not os.path.lexists(place):
                break
            if place.is_file() and _seen(place)[0] == _seen(file.path)[0]:
                sha256 = sha256_of(file.path, on_bytes)
                if holds(place, sha256, on_bytes):
                    return place, sha256
            if self._is_ours(file.name, place):
                break
        return place, None

    def _places(self, file: File) -> Iterator[Path]:
        known = self._known.get(file.name)
        if known and (self.folder / known.name).exists():
            yield self.folder / known.name
        yield from numbered(self.folder / file.name)

    def _is_ours(self, name: str, place: Path) -> bool:
        """Tell whether a file is what an earlier delivery left there, untouched since."""
        known = self._known.get(name)
        return known is not None and self.folder / known.name == place and holds(place, known.sha256)

    def _copy(self, file: File, place: Path, on_bytes: OnBytes) -> str:
        arriving = self._incoming / secrets.token_hex(8)
        sha256 = copy_verified(file.path, arriving, on_bytes)
        # Copying may have taken hours: what came to the place meanwhile is a person's.
        if os.path.lexists(place) and not self._is_ours(file.name, place):
            raise CopyMismatch(f"{place} appeared while it was being delivered")
        place.parent.mkdir(parents=True, exist_ok=True)
        arriving.replace(place)
        self._unflushed.add(place.parent)
        return sha256

    def verified(self, files: Iterable[File], on_bytes: OnBytes) -> bool:
        """Read both sides of every file and tell whether the delivery holds what the project holds now."""
        return all(self._is_verified(file, on_bytes) for file in files)

    def _is_verified(self, file: File, on_bytes: OnBytes) -> bool:
        known = self._known.get(file.name)
        if known is None:
            return False
        if file.name in self._fresh and self._is_current(file):
            return True  # both sides were read for this very delivery
        return holds(file.path, known.sha256, on_bytes) and holds(self.folder / known.name, known.sha256, on_bytes)


def _seen(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _read(path: Path) -> dict[str, Delivered]:
    """Read what was delivered; a record that is absent or damaged knows nothing, so that nothing is taken for ours."""
    try:
        files: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {
            name: Delivered(known["name"], known["sha256"], tuple(known["source"]), tuple(known["target"]))
            for name, known in files.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
