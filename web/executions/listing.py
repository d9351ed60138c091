"""The list of runs: which are wanted, a page of them, and the rows that change while somebody looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template, request, url_for

from config.contract import Exit
from services.errors import ServiceError
from services.estimates import GOOD, as_told
from services.executions import Execution, utc_now
from services.statuses import ACTIVE, STATUSES
from services.survival import elapsed_seconds
from web import fragments
from web.panel import panel

PAGE = 100
FURTHER = "older"
"""The id of the element at the end of a page that the next page takes the place of."""
_MOST_NEWER = 50
_STATUS_OF = {"done": "succeeded", "up_to_date": "succeeded"}
"""How outcomes, which ended runs are recorded with, count as statuses; the others are called the same."""


@dataclass(frozen=True)
class Wanted:
    """Which runs a person wants to see."""

    status: str = ""
    text: str = ""
    before: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.status or self.text or self.before)


@dataclass(frozen=True)
class Listed:
    """A run in the list: `counts` are its tasks by status, `progress` how much of them is done, from 0 to 1."""

    run: Execution
    standing: str
    seconds: float
    progress: float
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Page:
    """A page of the list; `before` is where the next one begins, `since` when this one was read."""

    wanted: Wanted
    rows: Sequence[Listed]
    before: str | None
    since: str

    @property
    def newest(self) -> str | None:
        """The id of the newest run, where this page begins with it: empty when there is none, None where it does not."""
        if not self.wanted.is_everything:
            return None
        return self.rows[0].run.id if self.rows else ""

    @property
    def older_url(self) -> str:
        """The address of the next page."""
        asked: dict[str, Any] = {
            "status": self.wanted.status or None,
            "text": self.wanted.text or None,
            "before": self.before,
        }
        return url_for("executions.index", **asked)


def wanted() -> Wanted:
    """Read from the request which runs are wanted. Raises ServiceError no_status."""
    status = request.args.get("status", "")
    if status and status not in STATUSES:
        raise ServiceError("no_status", f"No run is ever {status!a}.", f"Use one of {', '.join(STATUSES)}.", Exit.USAGE)
    return Wanted(status, request.args.get("text", "").strip()[:200], request.args.get("before"))


def page(asked: Wanted) -> Page:
    """Return a page of runs. Raises ServiceError no_such_execution when there is no run `before`."""
    since = utc_now()
    statuses = [asked.status] if asked.status else []
    found = panel().store.runs(PAGE + 1, asked.before, statuses, asked.text or None)
    before = found[PAGE - 1].id if len(found) > PAGE else None
    return Page(asked, _listed(found[:PAGE]), before, since)


def _listed(runs: Sequence[Execution]) -> list[Listed]:
    unknown = [run.id for run in runs if run.status not in ACTIVE and "counts" not in run.metrics]
    counted = panel().store.counts(unknown) if unknown else {}
    return [_row(run, counted.get(run.id)) for run in runs]


def _row(run: Execution, counted: Mapping[str, int] | None) -> Listed:
    standing = "paused" if run.is_paused else run.status
    if run.status in ACTIVE and run.started_at:
        told = panel().broadcast.status(run.id)
        return Listed(run, standing, told.elapsed_seconds, told.progress, told.counts)
    counts = counted if counted is not None else _by_status(run.metrics.get("counts") or {})
    return Listed(run, standing, elapsed_seconds(run), _progress(run, counts), counts)


def _by_status(outcomes: Mapping[str, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome, count in outcomes.items():
        status = _STATUS_OF.get(outcome, outcome)
        counts[status] = counts.get(status, 0) + count
    return counts


def _progress(run: Execution, counts: Mapping[str, int]) -> float:
    total, done = sum(counts.values()), sum(counts.get(status, 0) for status in GOOD)
    return as_told(done / total if total else 0.0, run.status)


class Followed:
    """The parts of the list that a stream keeps true: the rows of runs that go on or ended since, and that there are newer ones."""

    def __init__(self, since: str, newest: str | None) -> None:
        self._since = since
        self._newest = newest
        self._ids: set[str] = set()

    def __call__(self) -> Mapping[str, str]:
        """Return the parts as they are now."""
        store = panel().store
        newest = store.runs(limit=_MOST_NEWER)
        going_on = store.active_runs()
        ended = [run for run in newest if run.status not in ACTIVE and (run.ended_at or "") >= self._since]
        known = {run.id for run in (*going_on, *ended)}
        others = store.several(self._ids - known)
        self._ids |= known
        parts = {f"run-{run.id}": _row_html(run) for run in (*going_on, *ended, *others)}
        return parts | {"newer": self._newer(newest)}

    def _newer(self, newest: Sequence[Execution]) -> str:
        ids = [run.id for run in newest]
        if self._newest is None or not ids or ids[0] == self._newest:
            return ""
        count = ids.index(self._newest) if self._newest in ids else len(ids)
        return render_template("executions/_newer.html", count=count, is_all=count < _MOST_NEWER)


def _row_html(run: Execution) -> str:
    return fragments.shared(
        f"executions/{run.id}/row", lambda: render_template("executions/_row.html", row=_listed([run])[0])
    )
