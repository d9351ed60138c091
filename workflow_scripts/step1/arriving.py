"""Whether a file is still being copied or downloaded: then it is left for later.

Who downloads most often says so by a suffix. Else a file is settled once nothing changed in it for a minute. For a
younger one Linux knows whether a program has it open to write (a lease is refused then); where that cannot be asked, as
on a disk on a network, it must stay the same for two seconds.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path

SETTLED_AFTER = 60.0
"""Seconds without a change after which no question is asked."""
_QUIET = 2.0
"""Seconds without a change that have to do where nobody knows who writes: copies write many times a second."""
_SUFFIXES = (".part", ".partial", ".crdownload", ".download", ".filepart", ".opdownload", ".tmp", ".aria2", ".!ut")
"""Of Firefox, curl and wget, Chrome, Safari, WinSCP, Opera, many others, aria2, µTorrent."""
_RSYNC = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}")


def arriving_as(name: str) -> str | None:
    """Return the name that a file will have once it is here, where its name says that it is not; else None."""
    if match := _RSYNC.fullmatch(name):
        return match[1]
    ending = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: -len(ending)] if ending else None


def is_arriving(path: Path) -> bool:
    """Tell whether somebody is still writing a file. Raises OSError when it is gone or cannot be looked at."""
    before = path.stat()
    if _age(before) >= SETTLED_AFTER:
        return False
    if (written := _is_open_to_write(path)) is not None:
        return written
    time.sleep(max(0.0, _QUIET - _age(before)))
    after = path.stat()
    return (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or after.st_size == 0


def unchanged_for(path: Path) -> float:
    """Return the seconds since the last change of a file; 0 for one that cannot be looked at."""
    try:
        return _age(path.stat())
    except OSError:
        return 0.0


def _age(status: os.stat_result) -> float:
    """Return the seconds since the last change; none for a time in the future. A copy may bring an old time of its own."""
    return max(0.0, time.time() - max(status.st_mtime, status.st_ctime))


def _is_open_to_write(path: Path) -> bool | None:
    """Tell whether any program has a file open to write; None where the system does not know."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # a file of another user, a disk on a network
        return None
    finally:
        os.close(descriptor)
    return False
