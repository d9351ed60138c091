"""Files copied so that nothing is lost: hashed on their way, flushed, read again from the disk, and never over another one.

Where the file system can share what a file holds until one side changes (reflinks of XFS, Btrfs, bcachefs), a copy
takes no room. Hard links are never made: what is written into one name would change the other.
Standard library only: STEP7 runs it under its own environment, and may take nothing else from `services` but the archiver.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from itertools import count
from pathlib import Path

_BLOCK = 1 << 20
_FICLONE = 0x40049409
"""Linux: make a file share another one's blocks (linux/fs.h)."""
LONGEST_NAME = 255
"""Bytes that a file's name may have on every common file system."""

OnBytes = Callable[[int], None]


def unheard(_count: int) -> None:
    """Take the progress nobody asked for."""


class CopyError(Exception):
    """A copy cannot be made, or is not what it was made from."""


class NotEnoughSpace(CopyError):
    """The file system has fewer free bytes than the work surely needs."""

    def __init__(self, folder: Path, needed: int, free: int) -> None:
        super().__init__(f"{folder} has {free / 1e9:.2f} GB free, and {needed / 1e9:.2f} GB are needed")


class CopyMismatch(CopyError):
    """A copy does not hold what its source holds."""


@dataclass(frozen=True)
class Copied:
    """A verified copy: what it holds, and size and modification time (ns) of the source as it was read."""

    source: Path
    target: Path
    sha256: str
    seen: tuple[int, int]


def sha256_of(path: Path, on_bytes: OnBytes = unheard) -> str:
    """Return a file's sha256 in hexadecimal; `on_bytes` hears the size of each block."""
    with path.open("rb", buffering=0) as stream:
        return _pump(stream, None, on_bytes)


def holds(path: Path, sha256: str, on_bytes: OnBytes = unheard) -> bool:
    """Tell whether there is a file with this content."""
    return path.is_file() and sha256_of(path, on_bytes) == sha256


def _pump(source: FileIO, target: FileIO | None, on_bytes: OnBytes) -> str:
    digest, block = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    while size := source.readinto(block):
        digest.update(block[:size])
        written = size if target is None else 0
        while target is not None and written < size:
            written += target.write(block[written:size])
        on_bytes(size)
    return digest.hexdigest()


def copies(wanted: Iterable[tuple[Path, Path]], on_bytes: OnBytes = unheard) -> Iterator[Copied]:
    """Copy files to targets, none of which may exist, and yield each copy once it is verified, in order.

    A copy is hashed on its way, flushed, and read again from the disk, while the next one is copied: `on_bytes` hears every
    block twice, from two threads. The modification time goes with it. Raises CopyMismatch when the two differ or the source
    changed meanwhile, OSError; then of what was not yielded no target is left.
    """
    stopped = threading.Event()
    waiting: tuple[Copied, Future[None]] | None = None
    begun: list[Path] = []
    with ThreadPoolExecutor(1) as checking:
        try:
            for source, target in wanted:
                copied = _copy(source, target, on_bytes)
                begun.append(target)
                if waiting:
                    yield _checked(*waiting)
                    begun.remove(waiting[0].target)
                waiting = copied, checking.submit(_check, copied, on_bytes, stopped)
            if waiting:
                yield _checked(*waiting)
                begun.clear()
        finally:
            stopped.set()
            for target in begun:
                target.unlink(missing_ok=True)


def copy_verified(source: Path, target: Path, on_bytes: OnBytes = unheard) -> str:
    """Copy one file as `copies` does, and return its sha256. Raises CopyMismatch, OSError."""
    [copied] = copies([(source, target)], on_bytes)
    return copied.sha256


def _copy(source: Path, target: Path, on_bytes: OnBytes) -> Copied:
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        try:
            return _copied(reader, writer, source, target, on_bytes)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _copied(reader: FileIO, writer: FileIO, source: Path, target: Path, on_bytes: OnBytes) -> Copied:
    before = os.fstat(reader.fileno())
    sha256 = _pump(reader, None if _clone(reader, writer) else writer, on_bytes)
    after = os.fstat(reader.fileno())
    seen = before.st_size, before.st_mtime_ns
    if seen != (after.st_size, after.st_mtime_ns):
        raise CopyMismatch(f"{source} changed while it was copied")
    with suppress(OSError):  # a nicety that not every file system grants
        os.utime(writer.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
    return Copied(source, target, sha256, seen)


def _clone(reader: FileIO, writer: FileIO) -> bool:
    """Let an empty file share what another one holds, where the file system can; later changes of one leave the other."""
    try:
        fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except OSError:
        return False
    return True


def _check(copied: Copied, on_bytes: OnBytes, stopped: threading.Event) -> None:
    """Flush a copy and read it again from the disk. Raises CopyMismatch when it is not what was copied."""

    def heard(size: int) -> None:
        if stopped.is_set():
            raise CopyMismatch(f"the check of {copied.target} was broken off")
        on_bytes(size)

    with copied.target.open("rb", buffering=0) as stream:
        os.fsync(stream.fileno())
        _forget(stream.fileno())
        if _pump(stream, None, heard) != copied.sha256:
            where = copied.target.parent
            raise CopyMismatch(f"the copy of {copied.source} on {where} reads back differently: check that disk")


def _checked(copied: Copied, check: Future[None]) -> Copied:
    check.result()
    return copied


def _forget(descriptor: int) -> None:
    """Ask the system to drop a flushed file from its memory, so that reading it again reads the disk."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def move_to_free_place(source: Path, target: Path) -> None:
    """Rename a file, and never replace another one. Raises FileExistsError when the place is taken.

    A hard link is what takes a place that nobody else can take at the same moment; where there are none, looking is all.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if os.path.lexists(target):
            raise FileExistsError(f"{target} is there") from error
        source.rename(target)
    else:
        source.unlink()


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the file system can say so (network mounts may not)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def numbered(path: Path) -> Iterator[Path]:
    """Yield `path`, then `name (2).ext`, `name (3).ext` …, shortened where the name would get too long."""
    yield path
    for number in count(2):
        ending = f" ({number}){path.suffix}"
        yield path.with_name(shortened(path.stem, LONGEST_NAME - len(os.fsencode(ending))) + ending)


def shortened(name: str, longest: int) -> str:
    """Cut a name to `longest` bytes, at the end of a character."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= longest else encoded[:longest].decode("utf-8", "ignore")


def check_space(folder: Path, needed: int) -> None:
    """Raise NotEnoughSpace when `needed` bytes surely do not fit on the file system of `folder`, which exists."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NotEnoughSpace(folder, needed, free)
