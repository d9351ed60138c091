"""Writing below one folder and nowhere else, held by descriptors: a path can be swapped for a link, a descriptor cannot."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
_CANNOT_CLONE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)


@dataclass
class NewFile:
    """A file being written: its bytes counted (`spend` may refuse them), hashed on the way, flushed at the end."""

    path: PurePosixPath
    descriptor: int
    spend: Callable[[int], None]
    size: int = 0
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, block: bytes | bytearray) -> int:
        """Append a block. Raises what `spend` raises, OSError when the disk is full."""
        self._count(block)
        view = memoryview(block)
        while view:
            view = view[os.write(self.descriptor, view) :]
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
        """Flush and close the file; return its path below the folder, its size and its sha256."""
        os.fchmod(self.descriptor, 0o644)
        os.fsync(self.descriptor)
        self.abandon()
        return {"path": str(self.path), "bytes": self.size, "sha256": self._digest.hexdigest()}

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

    def __enter__(self) -> SafeFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._root)

    def new_file(self, path: PurePosixPath, spend: Callable[[int], None]) -> NewFile:
        """Open a file that does not exist yet; its folders are made on the way, and no link is ever followed."""
        folder = os.dup(self._root)
        try:
            for part in path.parent.parts:
                folder = _step_into(folder, part)
            return NewFile(path, os.open(path.name, _NEW_FILE, 0o644, dir_fd=folder), spend)
        finally:
            os.close(folder)

    def flush(self) -> None:
        """Wait until every folder's entries are on the disk."""
        for folder, _names, _files in os.walk(self.path):
            descriptor = os.open(folder, _FOLDER)
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
