"""What both sides of the step contract agree on: protocol version, exit codes, the form of an error."""

from __future__ import annotations

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
