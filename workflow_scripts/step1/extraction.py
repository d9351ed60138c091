"""From a source to a finished folder: every member through the policy, into a private folder, settled for the project."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from config.settings import Settings
from workflow_scripts.step1.archive_policy import Limits
from workflow_scripts.step1.confinement import BYTES_PER_SECOND, Confined, Confines, Progress
from workflow_scripts.step1.formats import archive_format
from workflow_scripts.step1.intake import Intake
from workflow_scripts.step1.layout import renames, settled, single_root
from workflow_scripts.step1.nesting import unpack_nested
from workflow_scripts.step1.passwords import Passwords, known
from workflow_scripts.step1.readers.common import Packed, Reader, later_part
from workflow_scripts.step1.readers.folder_reader import FolderReader
from workflow_scripts.step1.registry import SCHEMA, Identity, content_sha256
from workflow_scripts.step1.safe_folder import SafeFolder
from workflow_scripts.step1.sources import Source, is_video
from workflow_scripts.step1.volumes import lead_of
from workflow_scripts.stepkit.errors import ItemError

DISK_RESERVE = 256 << 20
"""Bytes of the disk that extraction leaves alone: logs, records and other programs need some."""

_READERS = {
    "zip": ("zip_reader", "ZipReader"),
    "tar": ("tar_reader", "TarReader"),
    "7z": ("sevenzip_reader", "SevenZipReader"),
    "rar": ("rar_reader", "RarReader"),
}
"""Module and class that read each kind: loaded, with their libraries, when the first archive of their kind comes."""


@dataclass(frozen=True)
class Terms:
    """How sources are unpacked, as the settings say. The disk's room is looked at when one is."""

    limits: Limits
    memory: int
    """Bytes that unpacking one may take."""
    seconds: float
    nested: bool
    name_encoding: str
    passwords: Passwords

    def confines(self, packed_bytes: int) -> Confines:
        """Return what the process may take that unpacks a source of this size."""
        return Confines(self.memory, self.limits.file, self.seconds + packed_bytes / BYTES_PER_SECOND)


def terms_of(settings: Settings) -> Terms:
    """Return the terms that the settings make."""
    limits = Limits(
        bytes_free=0,
        total=round(settings.step1_max_total_gb * 1e9),
        file=round(settings.step1_max_file_gb * 1e9),
        entries=settings.step1_max_entries,
        ratio=settings.step1_max_ratio,
    )
    memory = round(settings.step1_memory_gb * 1e9)
    return Terms(
        limits, memory, settings.step1_timeout_sec, settings.step1_nested, settings.step1_name_encoding, known(settings)
    )


@dataclass(frozen=True)
class Extracted:
    """A folder that is ready to become a project, and what is to be recorded of it."""

    folder: Path
    members: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    changed: list[dict[str, str]]
    encodings: list[str]

    def record(self, name: str, identity: Identity, sha256: str) -> dict[str, Any]:
        """Return the project's record of its archive (`derush.archive/1`)."""
        archive = {"name": name, **asdict(identity), "sha256": sha256}
        guessed = {"name_encodings": self.encodings} if self.encodings else {}
        return {"schema": SCHEMA, "archive": archive, "members": self.members, "skipped": self.skipped, "changed": self.changed, **guessed}  # fmt: skip


def reader_of(source: Source, terms: Terms) -> Reader:
    """Return the reader of a source. Raises ItemError for a file that is neither archive nor video."""
    path = source.path
    if path.is_dir():
        if not source.files:
            raise ItemError("no_video", f"The folder {path.name} holds no video that is wanted.", "Give a folder with clips or archives in it; --min-size 0 takes the smallest.")  # fmt: skip
        return FolderReader(path, source.files, terms.name_encoding)
    if path.stat().st_size == 0:
        raise ItemError("empty_file", f"{path.name} is empty.", "Copy or download it again.")
    if lead := lead_of(path):
        raise later_part(path, lead)
    kind = archive_format(path)
    if kind is not None:
        packed = Packed(path, source.files, terms.passwords.of(path.name), terms.name_encoding)
        module, name = _READERS[kind]
        reader: Reader = getattr(import_module(f"workflow_scripts.step1.readers.{module}"), name)(packed)
        return reader
    if is_video(path):
        return FolderReader(path.parent, source.files, terms.name_encoding)
    raise ItemError("not_an_archive", f"{path.name} is no archive that can be read.", "Give a zip, tar, 7z or rar file, a video, or a folder of videos.")  # fmt: skip


def extract(
    source: Source, packed_bytes: int, private: Path, terms: Terms, progress: Callable[[float, float, str], None]
) -> Extracted:
    """Extract a source into a new folder below `private`, and settle it for a project. A child process does it.

    Raises ItemError when the source is refused, damaged, empty or too large for the disk, its time or its memory.
    """
    limits = replace(terms.limits, bytes_free=max(0, shutil.disk_usage(private).free - DISK_RESERVE))
    work = partial(_unpack, source, packed_bytes, private, replace(terms, limits=limits))
    with Confined(work, terms.confines(packed_bytes)) as child:
        told = child.result(lambda done, total: progress(done, total, "bytes"))
    return Extracted(Path(told.pop("folder")), **told)


@contextmanager
def hashed_beside(source: Source, packed_bytes: int, terms: Terms) -> Iterator[Callable[[], str]]:
    """Read and hash a source while it is extracted; gives what waits for its sha256."""
    with Confined(lambda _progress: {"sha256": content_sha256(source)}, terms.confines(packed_bytes)) as child:
        yield lambda: str(child.result()["sha256"])


def _unpack(source: Source, packed_bytes: int, private: Path, terms: Terms, progress: Progress) -> dict[str, Any]:
    """Return what `Extracted` is made of."""
    with SafeFolder(private / "fresh") as folder:
        intake = Intake(folder, terms.limits, packed_bytes, progress)
        try:
            reader_of(source, terms).deliver(intake)
            if terms.nested:
                unpack_nested(
                    intake, folder.path, private / "nested", lambda path: reader_of(Source(path, (path,)), terms)
                )
        finally:
            intake.abandon()
        if not intake.members:
            raise ItemError("empty_archive", f"{source.path.name} holds no file.", "Ask for the archive again.")
        extracted = _settled(folder.path, intake)
        folder.flush()
    return extracted


def _settled(fresh: Path, intake: Intake) -> dict[str, Any]:
    """Take a single root folder off and change reserved names, on the disk and in the record alike."""
    gate = intake.gate
    paths = [PurePosixPath(member["path"]) for member in intake.members]
    root = single_root(paths)
    content = fresh / root if root else fresh
    renamed = renames([path.name for path in content.iterdir()])
    for old, new in renamed.items():
        (content / old).rename(content / new)
    members = [
        {**member, "path": str(settled(path, root, renamed))}
        for member, path in zip(intake.members, paths, strict=True)
    ]
    changed = [
        {**change, "path": str(settled(PurePosixPath(change["path"]), root, renamed))} for change in gate.changed
    ] + [{"name": old, "path": new, "reason": "reserved_name"} for old, new in renamed.items()]
    return {
        "folder": str(content),
        "members": sorted(members, key=lambda member: str(member["path"])),
        "skipped": gate.skipped,
        "changed": changed,
        "encodings": sorted(gate.encodings),
    }
