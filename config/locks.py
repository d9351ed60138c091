"""Locked files: each held by one process at a time. The kernel gives a lock up when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def lock(path: Path) -> int:
    """Lock a file and return its descriptor; waits while another process has it. Raises OSError where it cannot be made."""
    return _locked(path, fcntl.LOCK_EX)


def try_lock(path: Path) -> int | None:
    """Lock a file and return its descriptor; None while another process has it. Raises OSError where it cannot be made."""
    try:
        return _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def unlock(descriptor: int, path: Path) -> None:
    """Remove a locked file and give its lock up."""
    with suppress(OSError):
        path.unlink()
    os.close(descriptor)


def _locked(path: Path, way: int) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, way)
        except BaseException:  # another has it, or a signal came while this one waited
            os.close(descriptor)
            raise
        if _is_still(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    """Tell whether a file is still the one of this name: it may have been given up, and removed, before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
