"""What can go wrong in the control plane; each names its exit code and a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from config.contract import Exit, Remediable


class ServiceError(Remediable):
    """An error with the exit code that the command line ends with."""

    def __init__(self, code: str, message: str, remedy: str, exit_code: int = Exit.PREREQUISITE) -> None:
        super().__init__(code, message, remedy)
        self.exit_code = exit_code


class CommandFailed(ServiceError):
    """A command ended with an error: which, with what code, and the end of what it said."""

    def __init__(self, command: Sequence[str], returncode: int, output: str, remedy: str) -> None:
        self.returncode = returncode
        self.output = output.strip()
        shown = " ".join(command)
        tail = self.output[-2000:]
        super().__init__("command_failed", f"`{shown}` ended with {returncode}.\n{tail}\n", remedy)
