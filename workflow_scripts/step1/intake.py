"""The receiver of a source's members: each is judged by the policy, written below one folder, counted and remembered."""

from __future__ import annotations

from typing import Any

from workflow_scripts.step1.archive_policy import Budget, Gate, Limits, Member, printable
from workflow_scripts.step1.confinement import Progress
from workflow_scripts.step1.safe_folder import NewFile, SafeFolder


class Intake:
    """Takes in one source, and what is nested in it, under one budget."""

    def __init__(self, folder: SafeFolder, limits: Limits, packed_bytes: int, progress: Progress) -> None:
        self.gate = Gate(limits)
        self.members: list[dict[str, Any]] = []
        self.below = ""
        """The folder that stands for the nested archive at hand, e.g. `/day1/card2`; empty for the source itself."""
        self._folder = folder
        self._budget = Budget(limits, packed_bytes)
        self._expected = packed_bytes
        self._progress = progress
        self._claimed = 0
        self._paths: dict[str, str] = {}
        self._open: NewFile | None = None

    def wants(self, member: Member) -> bool:
        """Decide on a member by the policy."""
        path = self.gate.admit(member, self.below)
        if path is None:
            return False
        self._paths[member.name] = path
        self._claimed += member.size or 0
        return True

    def leave_out(self, member: Member, reason: str) -> None:
        """Record a member that cannot be taken while the others can."""
        self.gate.skipped.append({"name": printable(member.name), "reason": reason})

    def rename(self, refused: Member, taken: Member, reason: str) -> None:
        """Record a member that is taken under another name than its own."""
        self.gate.changed.append({"name": printable(refused.name), "path": self._paths[taken.name], "reason": reason})

    def open(self, member: Member) -> NewFile:
        """Make the file of a member in its place."""
        spend = self._budget.of_file(member.holes)

        def count(size: int) -> None:
            spend(size)
            self._tell()

        self._open = self._folder.new_file(self._paths.pop(member.name), count)
        return self._open

    def close(self, file: NewFile) -> None:
        """Take a finished file into the record."""
        self.members.append(file.finish())
        self._tell()

    def abandon(self) -> None:
        """Close what an error left open."""
        if self._open is not None:
            self._open.abandon()

    def _tell(self) -> None:
        # A tar says what is in it only as it passes: until then its own size is the best guess, and video hardly packs.
        written = self._budget.written
        self._progress(written, max(self._claimed, self._expected, written), len(self.members))
