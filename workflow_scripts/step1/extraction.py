"""From a source to a finished folder: every member through the policy, into a private folder, settled for the project."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.step1.archive_policy import Budget, Gate, Limits, Member, printable
from workflow_scripts.step1.formats import archive_format
from workflow_scripts.step1.layout import renames, settled, single_root
from workflow_scripts.step1.readers.common import Reader
from workflow_scripts.step1.readers.folder_reader import FolderReader
from workflow_scripts.step1.readers.rar_reader import RarReader
from workflow_scripts.step1.readers.sevenzip_reader import SevenZipReader
from workflow_scripts.step1.readers.tar_reader import TarReader
from workflow_scripts.step1.readers.zip_reader import ZipReader
from workflow_scripts.step1.registry import SCHEMA, Identity
from workflow_scripts.step1.safe_folder import NewFile, SafeFolder
from workflow_scripts.step1.sources import Source, is_video
from workflow_scripts.stepkit.errors import ItemError

DISK_RESERVE = 256 << 20
"""Bytes of the disk that extraction leaves alone: logs, records and other programs need some."""

_READERS: dict[str, Callable[[Path], Reader]] = {
    "zip": ZipReader, "tar": TarReader, "7z": SevenZipReader, "rar": RarReader,
}  # fmt: skip

Progress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class Extracted:
    """A folder that is ready to become a project, and what is to be recorded of it."""

    folder: Path
    members: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    changed: list[dict[str, str]]

    def record(self, name: str, identity: Identity, sha256: str) -> dict[str, Any]:
        """Return the project's record of its archive (`derush.archive/1`)."""
        archive = {"name": name, **asdict(identity), "sha256": sha256}
        return {"schema": SCHEMA, "archive": archive, "members": self.members, "skipped": self.skipped, "changed": self.changed}  # fmt: skip


def reader_of(source: Source) -> Reader:
    """Return the reader of a source. Raises ItemError for a file that is neither archive nor video."""
    path = source.path
    if path.is_dir():
        if not source.files:
            raise ItemError("no_video", f"The folder {path.name} holds no video that is wanted.", "Give a folder with clips or archives in it; --min-size 0 takes the smallest.")  # fmt: skip
        return FolderReader(path, source.files)
    if path.stat().st_size == 0:
        raise ItemError("empty_file", f"{path.name} is empty.", "Copy or download it again.")
    kind = archive_format(path)
    if kind is not None:
        return _READERS[kind](path)
    if is_video(path):
        return FolderReader(path.parent, source.files)
    raise ItemError("not_an_archive", f"{path.name} is no archive that can be read.", "Give a zip, tar, 7z or rar file, a video, or a folder of videos.")  # fmt: skip


def extract(source: Source, packed_bytes: int, private: Path, progress: Progress) -> Extracted:
    """Extract a source into a new folder below `private`, and settle it for a project.

    Raises ItemError when the source is refused, damaged, empty or too large for the disk.
    """
    limits = Limits(bytes_free=max(0, shutil.disk_usage(private).free - DISK_RESERVE))
    with SafeFolder(private / "fresh") as folder:
        intake = Intake(folder, Gate(limits), Budget(limits, packed_bytes), packed_bytes, progress)
        try:
            reader_of(source).deliver(intake)
        finally:
            intake.abandon()
        if not intake.members:
            raise ItemError("empty_archive", f"{source.path.name} holds no file.", "Ask for the archive again.")
        extracted = _settle(folder.path, intake)
        folder.flush()
    return extracted


class Intake:
    """The receiver of members: judges, writes, counts, remembers."""

    def __init__(self, folder: SafeFolder, gate: Gate, budget: Budget, packed_bytes: int, progress: Progress) -> None:
        self.gate = gate
        self.members: list[dict[str, Any]] = []
        self._folder = folder
        self._budget = budget
        self._expected = packed_bytes
        self._progress = progress
        self._claimed = 0
        self._paths: dict[str, PurePosixPath] = {}
        self._open: NewFile | None = None

    def wants(self, member: Member) -> bool:
        """Decide on a member by the policy."""
        path = self.gate.admit(member)
        if path is None:
            return False
        self._paths[member.name] = path
        self._claimed += member.size or 0
        return True

    def leave_out(self, member: Member, reason: str) -> None:
        """Record a member that cannot be taken while the others can."""
        self.gate.skipped.append({"name": printable(member.name), "reason": reason})

    def open(self, member: Member) -> NewFile:
        """Make the file of a member in its place."""
        self._open = self._folder.new_file(self._paths.pop(member.name), self._spend)
        return self._open

    def close(self, file: NewFile) -> None:
        """Take a finished file into the record."""
        self.members.append(file.finish())

    def abandon(self) -> None:
        """Close what an error left open."""
        if self._open is not None:
            self._open.abandon()

    def _spend(self, count: int) -> None:
        self._budget.spend(count)
        # A tar says what is in it only as it passes: until then its own size is the best guess, and video hardly packs.
        self._progress(self._budget.written, max(self._claimed, self._expected, self._budget.written), "bytes")


def _settle(fresh: Path, intake: Intake) -> Extracted:
    """Take a single root folder off and change reserved names, on the disk and in the record alike."""
    paths = [PurePosixPath(member["path"]) for member in intake.members]
    root = single_root(paths)
    content = fresh / root if root else fresh
    renamed = renames([path.name for path in content.iterdir()])
    changed = list(intake.gate.changed)
    for old, new in renamed.items():
        (content / old).rename(content / new)
        changed.append({"name": old, "path": new, "reason": "reserved_name"})
    members = [
        {**member, "path": str(settled(path, root, renamed))}
        for member, path in zip(intake.members, paths, strict=True)
    ]
    return Extracted(content, sorted(members, key=lambda member: str(member["path"])), intake.gate.skipped, changed)
