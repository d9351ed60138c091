"""A run taken up again: its graph, from the rows that its earlier supervisors left."""

from __future__ import annotations

from collections.abc import Iterable

from services.book import Book
from services.executions import Execution
from services.flow import Flow, Outcome, Task
from services.items import found_item
from services.statuses import SETTLED


def restore(flow: Flow, book: Book, rows: Iterable[Execution]) -> None:
    """Fill a flow and a book with the tasks of a run: finished ones as they ended, the others open."""
    by_id: dict[str, Task] = {}
    latest: dict[Task, Execution] = {}
    for row in rows:
        if row.kind == "step":
            book.restore_step(row)
        elif row.kind == "task" and row.stage in flow.stages:
            item = found_item(str(row.item_kind), str(row.subject), row.project)
            task = flow.restore(row.stage, item, row.project, by_id.get(row.brought_by or ""))
            by_id[row.id] = task
            latest[task] = row
    for task, row in latest.items():
        is_forced = bool(row.parameters.get("force"))
        flow.restored(task, attempt=row.attempt, force=is_forced, outcome=_outcome(row))
        book.restore(task, row)
    for row_id, task in by_id.items():
        book.known_as(task, row_id)
    flow.go_on()


def _outcome(row: Execution) -> Outcome | None:
    if row.status not in SETTLED:
        return None
    return Outcome(row.outcome or "failed", row.seconds, row.message, row.error, row.metrics)
