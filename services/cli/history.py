"""`derush history`: the list of runs. Apart from looking at one run: the list needs hardly anything."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from config.contract import Exit
from services.cli.options import AsJson, console, named
from services.cli.store import open_settled_store
from services.cli.style import counted, duration, local_time, plain, short, state
from services.executions import Execution, Store
from services.statuses import STATUSES
from services.survival import elapsed_seconds


def history(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many runs.")] = 20,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Only runs older than this one: the next page.")
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only runs that are, for example, failed; repeatable."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="WORD", help="Only runs that mention this: a file, a project, a workflow."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the runs, newest first."""
    store = open_settled_store()
    statuses = named(status, {name: name for name in STATUSES}, "status") if status else []
    older_than = store.find(before).run_id if before else None
    found = store.runs(limit=limit + 1, before=older_than, status=statuses, text=text)
    runs, next_before = found[:limit], found[limit - 1].id if len(found) > limit else None
    if as_json:
        records = [_run_record(run, store) for run in runs]
        print(json.dumps({"schema": "derush.history/1", "runs": records, "next_before": next_before}, indent=1))
        return Exit.OK
    console.print(
        _history_table(runs, store)
        if runs
        else "There is no such run."
        if status or text or before
        else "There is no run yet."
    )
    if next_before:
        console.print(f"Older ones: `derush history --before {short(next_before)}`", highlight=False)
    return Exit.OK


def _counts(run: Execution, store: Store) -> dict[str, int]:
    """Return how a run's tasks ended; of one that has not, how many have which status."""
    if run.ended_at and "counts" in run.metrics:
        return dict(run.metrics["counts"])
    counts = Counter[str]()
    for part in store.figures(run.id):
        counts[part.status] += part.count
    return dict(counts)


def _run_record(run: Execution, store: Store) -> dict[str, Any]:
    return {
        "execution_id": run.id, "status": run.status, "held": run.held, "objective": run.message,
        "workflow": run.plan["workflow"] if run.plan else None, "queued_at": run.queued_at, "started_at": run.started_at,
        "ended_at": run.ended_at, "seconds": elapsed_seconds(run), "counts": _counts(run, store), "error": run.error,
    }  # fmt: skip


def _history_table(runs: list[Execution], store: Store) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("Run", "When", "Status", "What", "Tasks", "Took"):
        table.add_column(
            column, justify="right" if column == "Took" else "left", no_wrap=column in {"Run", "When", "Took"}
        )
    for run in runs:
        table.add_row(
            short(run.id), local_time(run.queued_at)[:16], state(run.status, (run.held or {}).get("code")),
            Text(plain(run.message)), counted(_counts(run, store)), duration(elapsed_seconds(run)),
        )  # fmt: skip
    return table
