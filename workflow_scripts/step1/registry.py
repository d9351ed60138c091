"""What was extracted already, and where: each project's record of its archive is the register.

Archives are known by their content (sha256). Path, size and modification time only spare reading one again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.step1.sources import Source
from workflow_scripts.step1.volumes import opened
from workflow_scripts.stepkit.files import BLOCK, sha256_of
from workflow_scripts.stepkit.projects import INTERNAL, Project, projects_below

SCHEMA = "derush.archive/1"


@dataclass(frozen=True)
class Identity:
    """A source as the file system shows it; of a folder: the sum of its clips' sizes, the latest of their times."""

    path: str
    bytes: int
    mtime_ns: int


def identify(source: Source) -> Identity:
    """Look at a source without reading it."""
    stats = [path.stat() for path in source.files]
    latest = max((status.st_mtime_ns for status in stats), default=0)
    return Identity(str(source.path), sum(status.st_size for status in stats), latest)


def content_sha256(source: Source) -> str:
    """Return the sha256 of a file, or of an archive's parts as one; of a folder, that of the list of its clips' names and
    sha256. All of it is read.
    """
    if not source.path.is_dir():
        return _sha256_of_all(source.files)
    lines = [f"{sha256_of(path)}  {path.relative_to(source.path).as_posix()}\n" for path in source.files]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _sha256_of_all(parts: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    with opened(parts) as whole:
        while block := whole.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Registry:
    """The projects of one work directory, by the archive each came from."""

    def __init__(self, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._read: dict[Path, tuple[int, dict[str, Any]]] = {}

    def known_sha256(self, identity: Identity) -> str | None:
        """Return a source's sha256 as a record holds it for the same path, size and time; None when none does."""
        seen = asdict(identity)
        for archive in self._archives():
            if all(archive.get(key) == value for key, value in seen.items()) and "sha256" in archive:
                return str(archive["sha256"])
        return None

    def may_know(self, size: int) -> bool:
        """Tell whether anything of this size in bytes was extracted, so that hashing a source may spare extracting it."""
        return any(archive.get("bytes", size) == size for archive in self._archives())

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

    def seen(self) -> dict[Identity, Project]:
        """Return the projects by what each came from: path, size and time. No archive is read for it."""
        found: dict[Identity, Project] = {}
        for project in projects_below(self._work_dir):
            archive = self._archive(project.archive_record)
            if archive.keys() >= {"path", "bytes", "mtime_ns"}:
                found.setdefault(Identity(archive["path"], archive["bytes"], archive["mtime_ns"]), project)
        return found

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
