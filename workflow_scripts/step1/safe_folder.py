"""Writing below one folder and nowhere else, held by descriptors: a path can be swapped for a link, a descriptor cannot."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from workflow_scripts.step1.digest import Digest
from workflow_scripts.step1.system_calls import start_writing, sync_file_system

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
_LEAST_HOLE = 4096
"""Bytes: what a file system stores at the least."""
_WRITE_EVERY = 16 << 20
"""Bytes after which the disk is told to begin: enough at a time for it, and little left to wait for at the end."""
_CANNOT_CLONE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)


@dataclass
class NewFile:
    """A file being written: its bytes counted (`spend` may refuse them) and hashed on the way. Zeros become holes."""

    path: str
    descriptor: int
    spend: Callable[[int], None]
    size: int = 0
    _begun: int = 0
    _ends_in_hole: bool = False
    _digest: Digest = field(default_factory=Digest)

    def write(self, block: bytes | bytearray) -> int:
        """Append a block. Raises what `spend` raises, OSError when the disk is full."""
        begin = self.size
        self._count(block)
        self._ends_in_hole = len(block) >= _LEAST_HOLE and not block[0] and block == _ZEROS[: len(block)]
        if self._ends_in_hole:
            os.lseek(self.descriptor, self.size, os.SEEK_SET)
        else:
            view = memoryview(block)
            while view:
                view = view[os.write(self.descriptor, view) :]
        if self.size // _WRITE_EVERY > begin // _WRITE_EVERY:
            start_writing(self.descriptor, self._begun, self.size - self._begun)
            self._begun = self.size
        return len(block)

    def copy_from(self, source: int) -> None:
        """Take the whole content of an open file; the file system shares the blocks where it can (reflink)."""
        if _cloned(source, self.descriptor):
            self._read_back()
        else:
            while block := os.read(source, _BLOCK):
                self.write(block)

    def _read_back(self) -> None:
        """Hash the copy, not the source: what is recorded is what lies here."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        while block := os.read(self.descriptor, _BLOCK):
            self._count(block)

    def _count(self, block: bytes | bytearray) -> None:
        self.spend(len(block))
        self._digest.update(block)
        self.size += len(block)

    def finish(self) -> dict[str, str | int]:
        """Close the file; return its path below the folder, its size, time and sha256. `SafeFolder.flush` flushes it."""
        if self._ends_in_hole:
            os.ftruncate(self.descriptor, self.size)
        os.fchmod(self.descriptor, 0o644)
        written_at = os.fstat(self.descriptor).st_mtime_ns
        self.abandon()
        return {"path": self.path, "bytes": self.size, "mtime_ns": written_at, "sha256": self._digest.hexdigest()}

    def abandon(self) -> None:
        """Close the file if it is open."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class SafeFolder:
    """A new folder to be filled; use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True)
        self.path = path
        self._root = os.open(path, _FOLDER)
        self._last: tuple[str, int] = "", os.dup(self._root)

    def __enter__(self) -> SafeFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._root)
        os.close(self._last[1])

    def new_file(self, path: str, spend: Callable[[int], None]) -> NewFile:
        """Open a file that does not exist yet; its folders are made on the way, and no link is ever followed.

        `path` has the form that the policy gives it: relative, parted by single slashes, without `.` and `..`.
        """
        folder, _slash, name = path.rpartition("/")
        if folder != self._last[0]:  # most often a file lies beside the one before it
            self._enter(folder)
        return NewFile(path, os.open(name, _NEW_FILE, 0o644, dir_fd=self._last[1]), spend)

    def _enter(self, path: str) -> None:
        folder = os.dup(self._root)
        try:
            for part in filter(None, path.split("/")):
                folder = _step_into(folder, part)
        except OSError:
            os.close(folder)
            raise
        os.close(self._last[1])
        self._last = path, folder

    def flush(self) -> None:
        """Wait until every file and every folder's entries are on the disk."""
        if sync_file_system(self._root):
            return
        for path in (self.path, *self.path.rglob("*")):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _cloned(source: int, target: int) -> bool:
    """Copy one open file into another inside the kernel; False, and the target is empty, where that cannot be done."""
    if not hasattr(os, "copy_file_range"):
        return False
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in _CANNOT_CLONE:
            raise
        os.lseek(source, 0, os.SEEK_SET)
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
        return False
    return True


def _step_into(folder: int, name: str) -> int:
    """Make a folder if it is not there, open it, and close the one it is in."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)
    deeper = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return deeper
