"""The logs below LOGS_DIR: which there are, and where one is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from services.log_file import no_such_log


class Log(NamedTuple):
    """A log: its path relative to LOGS_DIR, its bytes, when it was written to last (seconds since 1970)."""

    name: str
    size: int
    modified: float

    @property
    def folder(self) -> str:
        """Path of its folder, relative to LOGS_DIR; empty for LOGS_DIR itself."""
        return self.name.rpartition("/")[0]


def logs_below(folder: Path) -> list[Log]:
    """Return every log in a folder and those below it, newest first; none when it is not there.

    Left out are links, hidden files, and names that are no UTF-8 and so cannot stand in an address.
    """
    found = [
        Log(path, about.st_size, about.st_mtime)
        for path, about in _files(folder, "")
        if path.isprintable() and stat.S_ISREG(about.st_mode)
    ]
    return sorted(found, key=lambda log: (-log.modified, log.name))


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            try:
                yield prefix + entry.name, entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it was removed in the meantime


def log_path(root: Path, name: str) -> Path:
    """Return where a log, or a folder of logs, is, by its path relative to LOGS_DIR (`root`).

    Raises ServiceError no_such_log when there is none, or when the name leads out of `root`, be it over a link.
    """
    with suppress(OSError, ValueError, RuntimeError):  # not there; a zero byte; links in a ring
        path = (root / name).resolve(strict=True)
        if path.is_relative_to(root.resolve()):
            return path
    raise no_such_log(name, "it is not below LOGS_DIR")


def newest_log(folder: Path) -> Path | None:
    """Return the log of a step's folder that was written to last."""
    return max(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns, default=None)
