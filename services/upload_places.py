"""The folder of one upload while it is not finished, and what may be done with it.

`record.json` says what was announced, `data` is what has arrived, `lock` is held by the one who writes. The size of
`data` is the offset, so that a kill at any moment loses no more than what was not written yet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from config.contract import Exit
from services.errors import ServiceError
from services.verified_copies import flush_folder

CHECKSUMS = ("sha1", "sha256")


@dataclass(frozen=True)
class Announced:
    """What a client says of a file beforehand, checked: its length in bytes, its name, and where it goes.

    `folders` are those it stood in, outermost first; `metadata` is the client's own text, given back to it.
    """

    length: int
    name: str
    folders: tuple[str, ...]
    batch: str
    metadata: str


@dataclass(frozen=True)
class Checksum:
    """What a piece must hash to; `algorithm` is one of CHECKSUMS."""

    algorithm: str
    digest: bytes


class Arrived(NamedTuple):
    """How many bytes have arrived, and when the last ones did, in seconds since 1970."""

    offset: int
    at: float


class Place:
    """The folder of one upload. Methods that write are for whoever is `alone`; they raise OSError as the disk does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._record = folder / "record.json"
        self._lock = folder / "lock"
        self._unverified = folder / "unverified"

    def create(self, announced: Announced) -> None:
        """Make the folder. There is no upload until the record, written last, is there."""
        self._folder.mkdir(parents=True)
        self._lock.touch()
        self._data.touch()
        self._write_record(announced, None)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only writer. Raises ServiceError no_such_upload, and upload_busy at once where there is one."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR)
        except FileNotFoundError:
            raise no_such_upload() from None
        try:
            _take(descriptor)
            yield
        finally:
            os.close(descriptor)

    def announced(self) -> tuple[Announced, Path | None]:
        """Return what was announced, and where the file is or will be once it is whole. Raises no_such_upload."""
        try:
            record: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise no_such_upload() from None
        path = record.pop("path")
        return Announced(**{**record, "folders": tuple(record["folders"])}), Path(path) if path else None

    def arrived(self) -> Arrived | None:
        """Return what has arrived and counts; None once the file is in its place, or where there is no upload."""
        try:
            found = self._data.stat()
            return Arrived(self._verified(found.st_size), found.st_mtime)
        except FileNotFoundError:
            return None

    def changed(self) -> float:
        """Return when something changed here last, in seconds since 1970; 0 where there is no upload."""
        arrived = self.arrived()
        try:
            return max(self._folder.stat().st_mtime, arrived.at if arrived else 0.0)
        except FileNotFoundError:
            return 0.0

    def receive(self, offset: int, room: int, blocks: Iterable[bytes], checksum: Checksum | None) -> None:
        """Add a piece behind `offset` and wait until it is on the disk. With a checksum it counts once that was right.

        Raises ServiceError upload_too_large (more than `room` bytes) and wrong_checksum; then the offset is as before.
        """
        with self._data.open("r+b", buffering=0) as data:
            data.truncate(offset)
            data.seek(offset)
            self._unverified.unlink(missing_ok=True)
            if checksum:
                self._unverified.write_text(str(offset))
            try:
                _write_checked(data, room, blocks, checksum)
            except ServiceError:
                data.truncate(offset)
                raise
            finally:
                os.fsync(data.fileno())
        self._unverified.unlink(missing_ok=True)

    def move_to(self, path: Path, announced: Announced) -> None:
        """Put the file in its place. Until `data` is gone it is not there, whatever the record says."""
        with self._data.open("rb") as data:
            os.fsync(data.fileno())
        self._write_record(announced, path)
        self._data.rename(path)
        flush_folder(path.parent)

    def discard(self) -> None:
        """Remove the folder: gone for everybody at once, its content after that."""
        gone = self._folder.with_name(f".{self._folder.name}")
        self._folder.rename(gone)
        shutil.rmtree(gone)

    def _verified(self, size: int) -> int:
        """Return up to where the data may be believed: all of it, unless a piece with a checksum was cut off."""
        try:
            return int(self._unverified.read_text())
        except FileNotFoundError:
            return size
        except ValueError:  # a kill left it empty: nothing of the piece had been written
            return size

    def _write_record(self, announced: Announced, path: Path | None) -> None:
        temporary = self._folder / ".record.json"
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump({**asdict(announced), "path": str(path) if path else None}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._record)
        flush_folder(self._folder)


def _take(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = "Another request is sending this upload just now."
        raise ServiceError("upload_busy", message, "Wait until it has ended, then ask for the offset.") from None


def _write_checked(data: FileIO, room: int, blocks: Iterable[bytes], checksum: Checksum | None) -> None:
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
    for block in blocks:
        room -= len(block)
        if room < 0:
            raise too_large("More was sent than was announced.", "Announce the file's length in bytes.")
        _write_all(data, block)
        if digest:
            digest.update(block)
    if digest and checksum and digest.digest() != checksum.digest:
        message = "What arrived is not what was sent: the checksums differ."
        raise ServiceError("wrong_checksum", message, "Send this piece again.")


def _write_all(data: FileIO, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[data.write(rest) :]


def no_such_upload() -> ServiceError:
    """Return the error for an upload that is not there, or no more."""
    message = "There is no such upload: it ended, was cancelled, or expired."
    return ServiceError("no_such_upload", message, "Upload the file again from its beginning.", Exit.USAGE)


def too_large(message: str, remedy: str) -> ServiceError:
    """Return the error for more than may be sent."""
    return ServiceError("upload_too_large", message, remedy, Exit.USAGE)
