"""7z through py7zr, which pushes each member's content into a writer we make."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

import py7zr
from py7zr.exceptions import ArchiveError, PasswordRequired, UnsupportedCompressionMethodError
from py7zr.io import Py7zIO, WriterFactory

from workflow_scripts.step1.archive_policy import Member
from workflow_scripts.step1.readers.common import DAMAGE, Receiver, check_size, damage_named
from workflow_scripts.step1.safe_folder import NewFile
from workflow_scripts.stepkit.errors import ItemError

_UNPACK = "Unpack the archive yourself and give Derush the folder."


class SevenZipReader:
    """A 7z archive."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, receiver: Receiver) -> None:
        """Walk the archive: the whole list is judged before the first byte is unpacked."""
        try:
            with damage_named(self._path, ArchiveError, EOFError, *DAMAGE), self._path.open("rb") as raw:
                self._deliver(py7zr.SevenZipFile(raw), receiver)
        except PasswordRequired as error:
            raise ItemError("encrypted_archive", f"{self._path.name} is protected by a password.", _UNPACK) from error
        except UnsupportedCompressionMethodError as error:
            raise ItemError("unsupported_compression", f"{self._path.name}: {error}.", _UNPACK) from error

    @staticmethod
    def _deliver(archive: py7zr.SevenZipFile, receiver: Receiver) -> None:
        members = [member_of(entry) for entry in archive.files]
        wanted = {member.name: member for member in members if receiver.wants(member)}
        if not wanted:
            return
        # Nothing is written there: py7zr names members by a path, and an empty folder holds no link to trip over.
        with archive, tempfile.TemporaryDirectory() as nowhere:
            root = PurePosixPath(Path(nowhere).as_posix())
            by_path = {root / member.name: member for member in wanted.values()}
            archive.extract(path=nowhere, targets=set(wanted), factory=_Files(by_path, receiver))


def member_of(entry: py7zr.py7zr.ArchiveFile) -> Member:
    """Describe an entry."""
    if entry.is_symlink or entry.is_junction:
        return Member(entry.filename, "link", None)
    if entry.is_directory:
        return Member(entry.filename, "folder", None)
    return Member(
        entry.filename, "file" if entry.is_file else "special", 0 if entry.emptystream else entry.uncompressed
    )


class _Files(WriterFactory):
    """Makes the file of each member when py7zr comes to its content."""

    def __init__(self, members: dict[PurePosixPath, Member], receiver: Receiver) -> None:
        self._members = members
        self._receiver = receiver

    def create(self, filename: str) -> Py7zIO:
        member = self._members[PurePosixPath(filename)]
        return _Sink(member, self._receiver.open(member), self._receiver)


class _Sink(Py7zIO):
    """A file as py7zr writes it: forwards only."""

    def __init__(self, member: Member, file: NewFile, receiver: Receiver) -> None:
        self._member = member
        self._file = file
        self._receiver = receiver

    def write(self, s: bytes | bytearray) -> int:
        return self._file.write(s)

    def close(self) -> None:
        check_size(self._member, self._file)
        self._receiver.close(self._file)

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
