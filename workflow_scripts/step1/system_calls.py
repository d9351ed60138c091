"""Calls of the Linux kernel, and one of its C library, that Python has no name for. Elsewhere they do nothing, and say so."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_WRITE = 2  # SYNC_FILE_RANGE_WRITE
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of mallopt(3)
_kernel = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def sync_file_system(descriptor: int) -> bool:
    """Wait until all that was written to a file system is on its disk (syncfs); False where that cannot be asked for.

    100,000 small files are flushed by it in seconds, one by one in minutes. Raises OSError when writing failed.
    """
    if _kernel is None:
        return False
    if _kernel.syncfs(descriptor) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True


def start_writing(descriptor: int, begin: int, count: int) -> None:
    """Have the disk begin with a part of a file, in bytes, so that little is left to wait for at the end."""
    if _kernel is not None:  # a hint: where it is not taken nothing is lost
        _kernel.sync_file_range(descriptor, ctypes.c_int64(begin), ctypes.c_int64(count), _WRITE)


def keep_freed_memory() -> None:
    """Have this process keep what it frees, up to 64 MiB, for its next blocks.

    Given back to the kernel and asked for again, every 4 KiB of them cost a page fault: a third of what writing costs.
    """
    if _kernel is not None and hasattr(_kernel, "mallopt"):  # glibc has it
        _kernel.mallopt(_TRIM_THRESHOLD, 64 << 20)
        _kernel.mallopt(_MMAP_THRESHOLD, 32 << 20)


def die_with_parent() -> None:
    """Have this process killed when its parent dies, however that dies."""
    if _kernel is not None:
        _kernel.prctl(_DEATH_SIGNAL, signal.SIGKILL)
