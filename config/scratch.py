"""Scratch folders: where a step keeps what is not finished. Each is locked by the process that works in it.

They stand in `<root>/.derush/tmp/`, where root is a project or the work directory, each with its lock beside it: `<name>/` and
`<name>.lock`. What nobody has locked was left by a process that was killed: steps and supervisors sweep it up.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from config.locks import lock, try_lock, unlock


class Scratch:
    """A scratch folder of this process."""

    def __init__(self, root: Path, name: str) -> None:
        self._folder = _place(root) / name
        self._lock: int | None = None

    def folder(self) -> Path:
        """Return the folder; the first time it is empty. Waits while another process works in it."""
        if self._lock is None:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(_lock_of(self._folder))
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        return self._folder

    def remove(self) -> None:
        """Remove the folder, if it was made."""
        if self._lock is not None:
            _remove(self._folder, self._lock)
            self._lock = None


def sweep(root: Path) -> None:
    """Remove the scratch folders of processes that are gone. What cannot be removed is left for another time."""
    place = _place(root)
    try:
        names = {path.name.removesuffix(".lock") for path in place.iterdir()}
    except OSError:
        return  # most often there is none
    for name in sorted(names):
        with suppress(OSError):
            if (descriptor := try_lock(_lock_of(place / name))) is not None:
                _remove(place / name, descriptor)


def _remove(folder: Path, descriptor: int) -> None:
    """Remove a folder, then its lock: so there is never a folder that is worked in without one."""
    shutil.rmtree(folder, ignore_errors=True)
    unlock(descriptor, _lock_of(folder))


def _place(root: Path) -> Path:
    return root / ".derush" / "tmp"


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
