"""Who works on what: a claim on a project or an archive, held by one run at a time.

A claim is a locked file below the work directory. The kernel gives the lock up when its process ends, however it ends, so
a claim is never left behind; and two installations with one work directory see each other's.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from config.locks import try_lock, unlock
from services.errors import ServiceError


class Claims:
    """The claims of one run, on subjects named by their absolute path."""

    def __init__(self, projects_dir: Path, run_id: str) -> None:
        self._folder = projects_dir / ".derush" / "claims"
        self._run_id = run_id
        self._taken: dict[str, int] = {}

    def take(self, subject: str) -> bool:
        """Claim a subject; False while another run has it. What is claimed already stays so.

        Raises ServiceError work_dir_not_writable.
        """
        try:
            return subject in self._taken or self._taken_now(subject)
        except OSError as error:
            message = f"The work directory cannot be written ({self._folder}): {error.strerror}."
            remedy = "Make room, or give your user the right to write there; `derush retry` goes on."
            raise ServiceError("work_dir_not_writable", message, remedy) from None

    def _taken_now(self, subject: str) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = try_lock(self._path(subject))
        if descriptor is None:
            return False
        with suppress(OSError):  # on a full disk the claim holds all the same, it only does not say whose it is
            os.truncate(descriptor, 0)
            os.write(descriptor, self._run_id.encode())
        self._taken[subject] = descriptor
        return True

    def holder(self, subject: str) -> str:
        """Return the id of the run that has, or had last, a subject; empty when none is known."""
        try:
            return self._path(subject).read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""

    def give_up(self) -> None:
        """Give all claims up."""
        for subject, descriptor in self._taken.items():
            unlock(descriptor, self._path(subject))
        self._taken.clear()

    def _path(self, subject: str) -> Path:
        return self._folder / hashlib.sha256(os.fsencode(subject)).hexdigest()[:32]
