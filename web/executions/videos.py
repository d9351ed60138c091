"""The page of a run's videos: a matrix of cells, what is open beside it, and the cells that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import request

from services.executions import Execution
from services.matrix import Matrix, Row, Wanted, chosen
from web import sse
from web.executions import opened
from web.executions.cells import whole

MOST_ROWS = 1000
"""Rows that a page shows; of more, those that a filter leaves."""
STATES = {"failed": "f", "open": "qri", "running": "r", "ended": "ksuca", "stopped": "kci", "accepted": "a"}
"""The letters of the cells that a choice in the filter means."""


@dataclass(frozen=True)
class Shown:
    """The rows that were asked for, of the whole; `left_out` of them do not fit on a page."""

    whole: Matrix
    rows: Sequence[Row]
    state: str
    text: str
    order: str
    left_out: int

    @property
    def is_filtered(self) -> bool:
        """Whether not all videos were asked for."""
        return bool(self.state or self.text)


def shown(run: Execution) -> Shown:
    """Return the rows that the request asks for."""
    state, text = request.args.get("state", ""), request.args.get("name", "").strip()[:200]
    order = "failed" if request.args.get("order") == "failed" else ""
    found = whole(run)
    wanted = Wanted(STATES.get(state, ""), text, failed_first=bool(order))
    rows = chosen(found, wanted)
    return Shown(found, rows[:MOST_ROWS], state if state in STATES else "", text, order, max(0, len(rows) - MOST_ROWS))


def opened_html(run: Execution, found: Matrix) -> str:
    """Return what is open beside the matrix: the task of a `cell`, or the video of a `row`; empty when neither is."""
    row_id, _, stage = request.args.get("cell", "").partition(".")
    if task := found.task(row_id, stage):
        return opened.part_html(task)
    row = found.row(request.args.get("row", ""))
    return opened.video_html(run.id, found, row) if row else ""


class Changes:
    """Events `cells`: the rows whose cells changed since the last one, as lists; at first all of them.

    `anew` are those that a page must ask for as a whole: their name changed. One that it does not know is new to it.
    """

    def __init__(self, run: Execution) -> None:
        self._run = run
        self._sent: dict[str, Row] = {}

    def since_the_last(self) -> bytes:
        """Return the event, empty when there is nothing to tell."""
        rows = {row.id: row for row in whole(self._run).rows}
        changed = [row for row in rows.values() if self._sent.get(row.id) != row]
        anew = [row.id for row in changed if row.id in self._sent and self._sent[row.id].name != row.name]
        self._sent = rows
        if not changed:
            return b""
        return sse.event("cells", {"rows": {row.id: ",".join(row.cells) for row in changed}, "anew": anew})
