"""A run's pages: what they share, and the parts of each that are kept true while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template, url_for

from services.executions import Event, Execution
from services.failures import failure_groups
from services.responses import GlobalStatus
from web import fragments
from web.executions import opened
from web.executions.pictures import Picture
from web.panel import panel

MOST_WARNINGS = 50
"""Warnings of a run that its page tells."""


@dataclass(frozen=True)
class RunPage:
    """One of a run's pages. `part` is the id of a step or task that is open on it."""

    run: Execution
    view: str
    part: str | None = None
    picture: Picture | None = None

    @property
    def status(self) -> GlobalStatus:
        """How far the run is."""
        return panel().broadcast.status(self.run.id)

    @property
    def live_url(self) -> str:
        """The address of the stream that keeps this page true."""
        asked: dict[str, Any] = self.picture.arguments if self.picture else {}
        return url_for("executions.run_live", execution_id=self.run.id, view=self.view, part=self.part, **asked)

    @property
    def warnings(self) -> Sequence[Event]:
        """What the run was warned of, the first ones and one more."""
        return panel().store.events_after(self.run.id, 0, MOST_WARNINGS + 1, names=["warning"])

    def parts(self) -> Mapping[str, str]:
        """Return the parts of the page that change, by the id of their element."""
        makers: dict[str, tuple[str, Callable[[], str]]] = {
            "run-head": ("", self._head),
            "run-actions": ("", self._actions),
        }
        if self.view == "summary":
            makers |= {"run-errors": ("", self._errors), "run-steps": (self.part or "", self._steps)}
            if (part := self.part) is not None:
                makers |= {"part": (part, lambda: opened.part_html(part))}
        elif (picture := self.picture) is not None:
            makers |= {"picture": (picture.key, lambda: picture.html(self._now()))}
        shared = f"executions/{self.run.id}"
        return {name: fragments.shared(f"{shared}/{name}/{key}", make) for name, (key, make) in makers.items()}

    def _now(self) -> Execution:
        return panel().store.get(self.run.id)

    def _head(self) -> str:
        run = self._now()
        before = [other for other in panel().store.active_runs() if _comes_first(other, run)]
        return render_template("executions/_head.html", status=self.status, run=run, before=before)

    def _actions(self) -> str:
        return render_template("executions/_actions.html", status=self.status)

    def _errors(self) -> str:
        has_failed = any(step.error_count for step in self.status.steps)
        groups = failure_groups(panel().store, self.run.id) if has_failed else []
        return render_template("executions/_errors.html", status=self.status, groups=groups)

    def _steps(self) -> str:
        return render_template("executions/_steps.html", status=self.status, part=self.part)


def _comes_first(other: Execution, run: Execution) -> bool:
    """Tell whether a run keeps another one waiting: it is at work, or its turn comes before."""
    if run.status != "queued" or other.id == run.id or other.held:
        return False
    return other.status == "running" or (-other.priority, other.queued_at) < (-run.priority, run.queued_at)
