"""What a step is asked to work on, as the control plane knows it."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkItem:
    """One thing to work on. `kind` is archive, original, video, project or command; paths are absolute.

    `size` is in bytes, as it was found, 0 where that says nothing: the larger ones of a project go first.
    """

    kind: str
    path: str
    project: str | None = None
    size: int = 0

    def line(self, *, force: bool = False, cores: int | None = None, accepted: Sequence[str] = ()) -> bytes:
        """Return the item as the line a worker reads.

        `force`: do it again even where it is up to date. `cores`: how many to use; None leaves that to the step.
        `accepted`: paths that an earlier step failed on and that a person took as they are.
        """
        entry = {
            "kind": self.kind, "path": self.path, "project": self.project, "force": force, "cores": cores,
            "accepted": list(accepted),
        }  # fmt: skip
        return json.dumps(entry).encode() + b"\n"


def found_item(kind: str, path: str, project: str | None) -> WorkItem:
    """Make an item of a path, with the size of the file where it is one."""
    try:
        status = Path(path).stat()
    except OSError:
        return WorkItem(kind, path, project)
    return WorkItem(kind, path, project, status.st_size if stat.S_ISREG(status.st_mode) else 0)
