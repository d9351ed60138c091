"""What was extracted already, and where: each project's record of its archive is the register.

Archives are known by their content (sha256). Path, size and modification time only spare reading one again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.step1.sources import videos_below
from workflow_scripts.stepkit.files import sha256_of
from workflow_scripts.stepkit.projects import INTERNAL, Project, projects_below

SCHEMA = "derush.archive/1"


@dataclass(frozen=True)
class Identity:
    """A source as the file system shows it; of a folder: the sum of its videos' sizes, the latest of their times."""

    path: str
    bytes: int
    mtime_ns: int


def identify(source: Path) -> Identity:
    """Look at a source without reading it."""
    stats = [path.stat() for path in (videos_below(source) if source.is_dir() else [source])]
    latest = max((status.st_mtime_ns for status in stats), default=0)
    return Identity(str(source), sum(status.st_size for status in stats), latest)


def content_sha256(source: Path) -> str:
    """Return the sha256 of a file; of a folder, that of the list of its videos' names and sha256."""
    if not source.is_dir():
        return sha256_of(source)
    lines = [f"{sha256_of(path)}  {path.relative_to(source).as_posix()}\n" for path in videos_below(source)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class Registry:
    """The projects of one work directory, by the archive each came from."""

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._read: dict[Path, tuple[int, dict[str, Any]]] = {}

    def sha256_of(self, identity: Identity) -> str:
        """Return a source's sha256; it is read only when no record holds it for the same path, size and time."""
        seen = asdict(identity)
        for archive in self._archives():
            if all(archive.get(key) == value for key, value in seen.items()) and "sha256" in archive:
                return str(archive["sha256"])
        return content_sha256(Path(identity.path))

    def project_of(self, sha256: str) -> Project | None:
        """Return the project that came from this content."""
        known = (project for project in projects_below(self._work_dir) if self._archive(project.archive_record).get("sha256") == sha256)  # fmt: skip
        return next(known, None)

    def delivery_of(self, sha256: str) -> Path | None:
        """Return where STEP7 delivered the project of this content before it took the working copy away.

        None when it did not, or when that delivery is no longer there: then the archive is worth extracting again.
        """
        try:
            note = json.loads((self._finalized / f"{sha256}.json").read_text(encoding="utf-8"))
            delivered = Path(note["delivered_to"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return delivered if delivered.is_dir() else None

    def seen(self, identity: Identity) -> Project | None:
        """Return the project that came from this path when it had this size and time; nothing is read for it."""
        wanted = asdict(identity)
        for project in projects_below(self._work_dir):
            archive = self._archive(project.archive_record)
            if all(archive.get(key) == value for key, value in wanted.items()):
                return project
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other STEP1 on this work directory from publishing meanwhile."""
        folder = self._work_dir / INTERNAL
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "step1.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _finalized(self) -> Path:
        return self._work_dir / INTERNAL / "finalized"

    def _archives(self) -> Iterator[Mapping[str, Any]]:
        records = [project.archive_record for project in projects_below(self._work_dir)]
        yield from (self._archive(path) for path in (*records, *self._finalized.glob("*.json")))

    def _archive(self, path: Path) -> Mapping[str, Any]:
        """Return what a record says of its archive; an absent or damaged record says nothing."""
        try:
            changed = path.stat().st_mtime_ns
            if self._read.get(path, (0, {}))[0] != changed:
                self._read[path] = changed, _archive_in(path)
        except (OSError, ValueError):
            return {}
        return self._read[path][1]


def _archive_in(path: Path) -> dict[str, Any]:
    known = json.loads(path.read_text(encoding="utf-8"))
    archive = known.get("archive") if isinstance(known, dict) else None
    return archive if isinstance(archive, dict) else {}
