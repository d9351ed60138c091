"""7z through py7zr, which pushes each member's content into a writer we make."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO

import py7zr
from py7zr.exceptions import UnsupportedCompressionMethodError
from py7zr.io import NullIOFactory, Py7zIO, WriterFactory

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers.common import (
    UNPACK,
    Packed,
    Receiver,
    check_size,
    damage_named,
    wrong_password,
)
from workflow_scripts.step1.readers.sevenzip_passwords import BROKEN, DOUBT, needs_password, open_archive, unlock
from workflow_scripts.step1.safe_folder import NewFile
from workflow_scripts.step1.volumes import opened
from workflow_scripts.stepkit.errors import ItemError

ArchiveFile = py7zr.py7zr.ArchiveFile


class SevenZipReader:
    """A 7z archive."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive: the whole list is judged before the first byte is unpacked."""
        try:
            with damage_named(self._packed, *BROKEN), opened(self._packed.parts) as file:
                self._deliver(file, receiver)
        except UnsupportedCompressionMethodError as error:
            raise ItemError("unsupported_compression", f"{self._packed.path.name}: {error}.", UNPACK) from error

    def _deliver(self, file: IO[bytes], receiver: Receiver) -> None:
        archive, is_proven = open_archive(self._packed, file)
        members = [(entry, member_of(entry)) for entry in archive.files]
        wanted = [(entry, member) for entry, member in members if receiver.wants(member)]
        locked = [entry for entry, _member in wanted if needs_password(entry)]
        if locked and is_proven is None:
            smallest = min(locked, key=lambda entry: entry.uncompressed)
            archive, is_proven = unlock(self._packed, file, archive, lambda chosen: _unpacks(chosen, smallest.filename))
        files = _Files(receiver)
        try:
            files.fill(archive, [member for _entry, member in wanted])
        except UnsupportedCompressionMethodError:
            raise
        except BROKEN as error:
            if is_proven is False and not files.finished and not isinstance(error, OSError):
                raise wrong_password(self._packed, DOUBT) from error
            raise


def member_of(entry: ArchiveFile) -> Member:
    """Describe an entry."""
    if entry.is_symlink or entry.is_junction:
        return Member(entry.filename, "link", None)
    if entry.is_directory:
        return Member(entry.filename, "folder", None)
    return Member(
        entry.filename, "file" if entry.is_file else "special", 0 if entry.emptystream else entry.uncompressed
    )


class _Files(WriterFactory):
    """Makes the file of each member when py7zr comes to its content. `finished` counts those that came out whole."""

    def __init__(self, receiver: Receiver) -> None:
        self.finished = 0
        self._members: dict[PurePosixPath, Member] = {}
        self._receiver = receiver

    def fill(self, archive: py7zr.SevenZipFile, wanted: Collection[Member]) -> None:
        """Unpack the members that are wanted."""
        if not wanted:
            return
        # Nothing is written there: py7zr names members by a path, and an empty folder holds no link to trip over.
        with archive, tempfile.TemporaryDirectory() as nowhere:
            root = PurePosixPath(Path(nowhere).as_posix())
            self._members = {root / member.name: member for member in wanted}
            archive.extract(path=nowhere, targets={member.name for member in wanted}, factory=self)

    def create(self, filename: str) -> Py7zIO:
        member = self._members[PurePosixPath(filename)]
        return _Sink(self, member, self._receiver.open(member))

    def finish(self, member: Member, file: NewFile) -> None:
        """Take a member that py7zr is through with, its checksum right."""
        check_size(member, file.size)
        self._receiver.close(file)
        self.finished += 1


class _Sink(Py7zIO):
    """The file of a member as py7zr writes it: forwards only."""

    def __init__(self, files: _Files, member: Member, file: NewFile) -> None:
        self._files = files
        self._member = member
        self._file = file

    def write(self, s: bytes | bytearray) -> int:
        return self._file.write(s)

    def close(self) -> None:
        self._files.finish(self._member, self._file)

    def seekable(self) -> bool:
        return False

    def size(self) -> int:
        return self._file.size

    def flush(self) -> None:
        """Everything is written at once; the disk is waited for at the end."""

    def read(self, size: int | None = None) -> bytes:
        raise NotImplementedError("written forwards only")

    def seek(self, offset: int, whence: int = 0) -> int:
        raise NotImplementedError("written forwards only")


def _unpacks(archive: py7zr.SevenZipFile, name: str) -> bool:
    """Tell whether a member comes out whole. It is written nowhere."""
    try:
        archive.extract(targets={name}, factory=NullIOFactory())  # type: ignore[no-untyped-call]
    except BROKEN:
        return False
    return True
