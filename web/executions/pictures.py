"""The picture of when a run's tasks were at work, as a request asks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flask import render_template, request, url_for

from services.executions import Execution, utc_now
from services.statuses import ACTIVE
from services.timeline import Timeline, timeline
from web import fragments
from web.executions.cells import stages
from web.panel import panel

_SECONDS = 3.0
"""How old a picture may be: it moves on by itself while a run goes on, and may have thousands of bars."""


@dataclass(frozen=True)
class Picture:
    """Which part of a run's time is seen, in seconds since it began, and the stage whose tasks are shown one by one."""

    view: tuple[float, float] | None = None
    opened: str | None = None

    @classmethod
    def of_request(cls) -> Picture:
        """Read `from`, `to` and `step`; what makes no sense counts as not given."""
        low, high = request.args.get("from", type=float), request.args.get("to", type=float)
        is_view = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
        view = (low, high) if is_view and low is not None and high is not None else None
        return cls(view, request.args.get("step") or None)

    @property
    def arguments(self) -> dict[str, Any]:
        """The picture as an address names it."""
        view = {"from": round(self.view[0], 3), "to": round(self.view[1], 3)} if self.view else {}
        return view | ({"step": self.opened} if self.opened else {})

    @property
    def key(self) -> str:
        """The picture as text."""
        return f"{self.view}/{self.opened}"

    def html(self, run: Execution) -> str:
        """Draw it, or return what was drawn a moment ago."""
        return fragments.shared(f"executions/{run.id}/drawn/{self.key}", lambda: self._draw(run), _SECONDS)

    def _draw(self, run: Execution) -> str:
        drawn = self._timeline(run)
        return render_template("executions/_picture.html", run=run, drawn=drawn, zooms=self._zooms(run, drawn))

    def _timeline(self, run: Execution) -> Timeline:
        began = run.started_at or run.queued_at
        until = utc_now() if run.status in ACTIVE else run.ended_at or run.heartbeat_at or began
        return timeline(panel().store.parts(run.id), stages(run), began, until, view=self.view, opened=self.opened)

    def _zooms(self, run: Execution, drawn: Timeline) -> dict[str, str]:
        """Return the addresses of the pictures beside this one."""
        low, high = drawn.start, drawn.end
        width, middle = high - low, (low + high) / 2
        views = {
            "in": (middle - width / 4, middle + width / 4),
            "out": (middle - width, middle + width),
            "earlier": (max(0.0, low - width / 2), max(width, high - width / 2)),
            "later": (min(low + width / 2, drawn.length - width), min(high + width / 2, drawn.length)),
        }
        return {name: self._url(run, view) for name, view in views.items()} | {"whole": self._url(run, None)}

    def _url(self, run: Execution, view: tuple[float, float] | None) -> str:
        return url_for("executions.timeline", execution_id=run.id, **Picture(view, self.opened).arguments)
