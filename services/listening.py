"""Who watches a run, and what it comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.contract import Exit
from services.flow import Flow, Task


class Listener(Protocol):
    """Whoever watches a run. Called from the run's own thread."""

    def task_started(self, task: Task) -> None:
        """A task is being worked on."""

    def task_progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:
        """A task is this far."""

    def task_ended(self, task: Task) -> None:
        """A task has its outcome."""

    def tasks_changed(self, flow: Flow) -> None:
        """There are more tasks than before."""

    def log_line(self, label: str, line: str) -> None:
        """A worker wrote a line to its log."""

    def warning(self, label: str, item: str | None, message: str) -> None:
        """A worker warned of something."""

    def note(self, text: str) -> None:
        """Something about the run itself: it waits, it goes on, it tries again."""


@dataclass
class Result:
    """What a run came to."""

    run_id: str
    tasks: list[Task] = field(default_factory=list)
    artefacts: list[Mapping[str, Any]] = field(default_factory=list)
    warnings: list[Mapping[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    status: str = "succeeded"
    exit_code: int = Exit.OK
    left_out: Mapping[str, Any] = field(default_factory=lambda: {"count": 0, "named": []})
    """Delivered files that were found and not taken in: how many, and the first ones."""
    _given: set[tuple[str, str]] = field(default_factory=set)

    def is_new_warning(self, facts: Mapping[str, Any]) -> bool:
        """Keep a worker's warning; tell whether it is new: those about no item every worker gives when it starts.

        Figures do not count there: of a disk that is nearly full each finds a little less free than the one before.
        """
        if not facts.get("item"):
            told = (str(facts.get("code")), re.sub(r"\d+", "", str(facts.get("message"))))
            if told in self._given:
                return False
            self._given.add(told)
        self.warnings.append(facts)
        return True
