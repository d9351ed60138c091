"""What can go wrong in a step, and the exit codes that say so."""

from __future__ import annotations

import errno
from enum import IntEnum

PROTOCOL = 1
"""Version of the JSON lines between a step and whoever drives it."""


class Exit(IntEnum):
    """Exit codes of every step script and of `derush run`."""

    OK = 0
    """All items are done or up to date."""
    SOME_FAILED = 1
    """Some items failed; the rest are done."""
    USAGE = 2
    """The command line or a setting is wrong."""
    PREREQUISITE = 3
    """An environment, binary, model or disk is missing."""
    BUG = 70
    """A mistake in Derush itself; the log has the traceback."""
    INTERRUPTED = 130
    """Stopped by a signal; nothing half done is left."""


class Remediable(Exception):
    """An error a person can do something about: a code, a sentence, a remedy."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy

    def record(self) -> dict[str, str]:
        """Return the error as events and results carry it."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class ItemError(Remediable):
    """One item cannot be done. The others go on."""


class PrerequisiteMissing(Remediable):
    """The step cannot work at all: exit code 3."""


class UsageError(Remediable):
    """The step was asked for something it cannot be asked for: exit code 2."""


class Interrupted(KeyboardInterrupt):
    """The step was told to stop, by a signal or because whoever drives it is gone."""


_REMEDIES = {
    errno.ENOSPC: ("disk_full", "The disk is full.", "Free space on it and run again: what is done stays done."),
    errno.EDQUOT: ("disk_full", "The disk quota is used up.", "Free space or raise the quota, then run again."),
    errno.EACCES: ("no_permission", "Permission denied.", "Give the user who runs Derush access to it."),
    errno.EROFS: ("read_only_disk", "The disk is mounted read-only.", "Mount it writable, or choose another folder."),
    errno.ENOENT: ("file_not_found", "A file is missing.", "Put it back, or run the step that makes it."),
    errno.EIO: (
        "disk_error",
        "The disk could not be read or written.",
        "Check the disk and its cable, copy the file again.",
    ),
}


def from_os_error(error: OSError) -> ItemError:
    """Turn an operating system's error into one that names a remedy."""
    code, sentence, remedy = _REMEDIES.get(
        error.errno or 0, ("system_error", "The system refused.", "See the log for the details.")
    )
    return ItemError(code, f"{sentence} ({error})", remedy)
