"""What can go wrong in a step."""

from __future__ import annotations

import errno

from config.contract import Remediable


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
