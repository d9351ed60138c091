"""Archives of results: one folder per original, found again by what the original holds, and trusted for years.

    <archives dir>/<project> <UTC YYYY-MM-DD_HH-MM-SS>/<sha256 of the original>/
        metadata.json       what is here, from what, made how (docs/schemas/archive_metadata.json)
        <stem>_scenes.csv   and the other artefacts

A folder appears whole or not at all: its files are copied beside their place and verified (`verified_copies`), and the
folder is renamed last. Nothing that is there is ever replaced or removed: what differs gets a number.
Standard library only: STEP7 runs it under its own environment, and takes nothing else from `services` but those copies.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from services.verified_copies import (
    LONGEST_NAME,
    Copied,
    CopyError,
    CopyMismatch,
    OnBytes,
    check_space,
    copies,
    copy_verified,
    flush_folder,
    holds,
    move_to_free_place,
    numbered,
    sha256_of,
    shortened,
    unheard,
)

SCHEMA = "derush.archive_metadata/2"
_WITHOUT_CHECKSUM = "derush.archive_metadata/1"
METADATA = "metadata.json"
OLDER_KEYS = {"scenes": "scenes_csv", "audio": "audio", "tracking": "tracking"}
"""Kinds of artefacts that `copied` of the older archives names, and what they are called now."""
_INCOMING = ".incoming-"
_SHA256 = re.compile("[0-9a-f]{64}")


class ArchiveError(CopyError):
    """An archive cannot be made, or is not what it was."""


class ArchiveDamaged(ArchiveError):
    """An archive's files are not what was archived; the message names each."""


@dataclass(frozen=True)
class Subject:
    """The video that is archived. `sha256` is the original's; `source` its facts, as they go into the metadata.

    `steps` says of each step how it was done: when, where, with which packages. `missing` names what a complete video has
    and this one has not; `is_accepted`: a person took it as it is.
    """

    project: str
    stem: str
    sha256: str
    video_path: str
    source: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    is_accepted: bool = False


@dataclass(frozen=True)
class Artefact:
    """One file to archive, and how it was made; `models` gives each model's sha256. `sha256` is None if not known."""

    kind: str
    path: Path
    sha256: str | None = None
    step: str | None = None
    step_version: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One archive: its folder and its metadata, which is empty when it cannot be read or gone by."""

    folder: Path
    metadata: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """The original's sha256."""
        return str(self.metadata.get("video_hash") or self.folder.name.partition(" ")[0])

    @property
    def stem(self) -> str:
        """The video's name without suffix."""
        return str(self.metadata.get("video_stem", ""))

    @property
    def artefacts(self) -> list[dict[str, Any]]:
        """What the metadata says of each file; empty in archives older than this record."""
        return list(self.metadata.get("artefacts", []))

    @property
    def missing(self) -> list[str]:
        """What the video lacked when it was archived; empty where it was complete, and in archives older than this record."""
        told = self.metadata.get("missing")
        return list(map(str, told)) if isinstance(told, list) else []

    @property
    def is_sealed(self) -> bool:
        """Whether the metadata are what was written, by their own checksum."""
        return bool(self.metadata.get("checksum") == _checksum(self.metadata))

    @property
    def bytes(self) -> int:
        """How much the files of the archive hold, without the metadata."""
        return sum(int(known["bytes"]) for known in self.artefacts)


@dataclass(frozen=True)
class Problem:
    """A file of an archive that is not what it was: `what` is missing, size, checksum, unreadable or unrecorded."""

    name: str
    what: str


_ROTTEN = Problem(METADATA, "checksum")


def is_sha256(told: object) -> bool:
    """Tell whether this is a sha256 in hexadecimal, and so a name that leads nowhere."""
    return isinstance(told, str) and _SHA256.fullmatch(told) is not None


class ResultsArchiver:
    """The archives below one folder."""

    def __init__(self, archives_dir: Path) -> None:
        self.archives_dir = archives_dir

    def archive(
        self, subject: Subject, artefacts: Sequence[Artefact], when: datetime, on_bytes: OnBytes = unheard
    ) -> tuple[Entry, bool]:
        """Archive a video's artefacts; return the archive and whether it is new.

        An archive of the same original with the same files is returned as it is. `when` (aware, UTC) names the
        project's folder: videos archived together share it. Raises NotEnoughSpace, CopyMismatch, OSError, and
        ArchiveError where the original's sha256, which names the archive's own folder, is none.
        """
        if not is_sha256(subject.sha256):
            raise ArchiveError(f"{subject.stem} cannot be archived: {subject.sha256!r} is no sha256 of its original")
        if existing := self.same(subject, artefacts):
            return existing, False
        self.archives_dir.mkdir(parents=True, exist_ok=True)
        _sweep(self.archives_dir)
        check_space(self.archives_dir, sum(artefact.path.stat().st_size for artefact in artefacts))
        staging = self.archives_dir / _incoming_name()
        staging.mkdir()
        try:
            metadata = _filled(staging, subject, artefacts, when, on_bytes)
            return Entry(self._publish(staging, subject, when), metadata), True
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def same(self, subject: Subject, artefacts: Sequence[Artefact]) -> Entry | None:
        """Return the archive that holds exactly these files of this original, if its files have their sizes."""
        entries = self._by_hash(subject.sha256)
        wanted = entries and {(made.kind, made.path.name, made.sha256 or sha256_of(made.path)) for made in artefacts}
        for entry in entries:
            held = {(known["kind"], known["name"], known["sha256"]) for known in entry.artefacts}
            if held == wanted and all(_has_its_size(entry.folder, known) for known in entry.artefacts):
                return entry
        return None

    def _publish(self, staging: Path, subject: Subject, when: datetime) -> Path:
        stamp = f" {when.astimezone(timezone.utc):%Y-%m-%d_%H-%M-%S}"
        project = self.archives_dir / (shortened(subject.project, LONGEST_NAME - len(stamp)) + stamp)
        project.mkdir(exist_ok=True)
        target = next(path for path in numbered(project / subject.sha256) if not os.path.lexists(path))
        staging.rename(target)
        flush_folder(project)
        flush_folder(self.archives_dir)
        return target

    def list(self) -> Iterator[Entry]:
        """Yield every archive, by the name of its folder; one whose metadata cannot be read has none."""
        for path in sorted(self.archives_dir.glob(f"*/*/{METADATA}")):
            yield _entry(path.parent)

    def find(self, key: str) -> Sequence[Entry]:
        """Return the archives of an original's sha256, else those of a video's stem; the newest first."""
        found = self._by_hash(key) or [entry for entry in self.list() if entry.stem == key]
        return sorted(found, key=lambda entry: str(entry.metadata.get("created_at", "")), reverse=True)

    def at(self, folder: Path) -> Entry | None:
        """Return the archive in a folder, wherever it is; None when there is none."""
        return _entry(folder) if (folder / METADATA).is_file() else None

    def _by_hash(self, sha256: str) -> Sequence[Entry]:
        """Return the archives of an original by the names of their folders, so that no other archive is read."""
        if not is_sha256(sha256):
            return []
        folders = sorted(self.archives_dir.glob(f"*/{sha256}*"))
        return [entry for entry in map(_entry, folders) if entry.sha256 == sha256]

    def verify(self, entry: Entry, on_bytes: OnBytes = unheard) -> Sequence[Problem]:
        """Read every file of an archive and return those that are not what was archived; none means all is well."""
        if not entry.metadata:
            return [Problem(METADATA, "unreadable")]
        if not entry.artefacts:
            return [Problem(METADATA, "unrecorded")]
        has_rotted = entry.metadata.get("schema") != _WITHOUT_CHECKSUM and not entry.is_sealed
        checked = ((str(known["name"]), _wrong(entry.folder, known, on_bytes)) for known in entry.artefacts)
        return [*([_ROTTEN] if has_rotted else []), *(Problem(name, what) for name, what in checked if what)]

    def restore(self, entry: Entry, destination: Path, on_bytes: OnBytes = unheard) -> Sequence[Path]:
        """Copy an archive's artefacts into `destination` and return where each is.

        A file that is there with the same content is left; beside one of other content a numbered one is written.
        Raises ArchiveDamaged, before anything is written, when a file is not what was archived.
        """
        # Files that are what the metadata say of them are good, whatever else of the metadata is not.
        if problems := [problem for problem in self.verify(entry, on_bytes) if problem != _ROTTEN]:
            raise ArchiveDamaged(f"{entry.folder}: " + ", ".join(f"{it.name} ({it.what})" for it in problems))
        destination.mkdir(parents=True, exist_ok=True)
        _sweep(destination)
        check_space(destination, sum(int(known["bytes"]) for known in entry.artefacts))
        return [_restored(entry.folder, known, destination, on_bytes) for known in entry.artefacts]


def _filled(
    staging: Path, subject: Subject, artefacts: Sequence[Artefact], when: datetime, on_bytes: OnBytes
) -> dict[str, Any]:
    """Copy the artefacts and the metadata into the staging folder, and return the metadata."""
    pairs = [(artefact.path, staging / artefact.path.name) for artefact in artefacts]
    known = [_archived(*both) for both in zip(artefacts, copies(pairs, on_bytes), strict=True)]
    names = {made["kind"]: made["name"] for made in known}
    metadata = {
        "schema": SCHEMA,
        "video_path": subject.video_path,
        "video_stem": subject.stem,
        "video_hash": subject.sha256,
        "created_at": when.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "copied": {older: names.get(kind) for older, kind in OLDER_KEYS.items()},
        "project": subject.project,
        "host": platform.node(),
        "source": dict(subject.source),
        "missing": list(subject.missing),
        "accepted": subject.is_accepted,
        "steps": {step: dict(facts) for step, facts in subject.steps.items()},
        "artefacts": known,
    }
    metadata["checksum"] = _checksum(metadata)
    with (staging / METADATA).open("x", encoding="ascii", newline="\n") as stream:
        stream.write(json.dumps(metadata, indent=2, allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    flush_folder(staging)
    return metadata


def _checksum(metadata: Mapping[str, Any]) -> str:
    """Return the sha256 of metadata, without the one in it: of its JSON with sorted keys and nothing between its signs."""
    told = {key: value for key, value in metadata.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _archived(artefact: Artefact, copied: Copied) -> dict[str, Any]:
    if artefact.sha256 not in (None, copied.sha256):
        raise CopyMismatch(f"{artefact.path} does not hold what is recorded of it")
    return {
        "kind": artefact.kind,
        "name": copied.target.name,
        "bytes": copied.seen[0],
        "sha256": copied.sha256,
        "step": artefact.step,
        "step_version": artefact.step_version,
        "parameters": dict(artefact.parameters),
        "models": dict(artefact.models),
    }


def _entry(folder: Path) -> Entry:
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        metadata = None
    return Entry(folder, metadata if _is_sound(metadata) else {})


def _is_sound(metadata: Any) -> bool:
    """Tell whether metadata can be gone by: it may have rotted, or come from somebody else."""
    made = metadata.get("artefacts", []) if isinstance(metadata, dict) else None
    return isinstance(made, list) and all(map(_is_artefact, made))


def _is_artefact(known: Any) -> bool:
    """Tell whether this names a file of the archive's own folder, with a kind, a size and a sha256."""
    if not isinstance(known, dict):
        return False
    name, size, sha256 = known.get("name"), known.get("bytes"), known.get("sha256")
    is_name = isinstance(name, str) and name == Path(name).name and name not in ("", "..") and _can_be_named(name)
    return is_name and isinstance(size, int) and is_sha256(sha256) and isinstance(known.get("kind"), str)


def _can_be_named(name: str) -> bool:
    """Tell whether a file may have this name: JSON can say characters that no file system takes."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _has_its_size(folder: Path, known: Mapping[str, Any]) -> bool:
    try:
        status = (folder / known["name"]).lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == known["bytes"]


def _wrong(folder: Path, known: Mapping[str, Any], on_bytes: OnBytes) -> str | None:
    """Return what is wrong with one file of an archive, or None."""
    path = folder / known["name"]
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return "missing"  # a link leads out of the archive, a pipe would be waited for
        if status.st_size != known["bytes"]:
            return "size"
        return None if sha256_of(path, on_bytes) == known["sha256"] else "checksum"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"


def _restored(folder: Path, known: Mapping[str, Any], destination: Path, on_bytes: OnBytes) -> Path:
    source, sha256 = folder / known["name"], known["sha256"]
    places = numbered(destination / source.name)
    target = next(path for path in places if not os.path.lexists(path) or holds(path, sha256, on_bytes))
    if not os.path.lexists(target):
        arriving = destination / _incoming_name()
        try:
            copy_verified(source, arriving, on_bytes)
            move_to_free_place(arriving, target)
        finally:
            arriving.unlink(missing_ok=True)
        flush_folder(destination)
    return target


def _incoming_name() -> str:
    """Name what is not whole yet by the process that makes it."""
    return f"{_INCOMING}{platform.node()}+{os.getpid()}+{secrets.token_hex(4)}"


def _sweep(folder: Path) -> None:
    """Remove what processes of this machine left that were killed before it was whole."""
    mine = f"{_INCOMING}{platform.node()}+"
    for left in folder.iterdir():
        process = left.name[len(mine) :].partition("+")[0]
        if left.name.startswith(mine) and process.isdecimal() and not _is_alive(int(process)):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
