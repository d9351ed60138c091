"""`derush status` and `show`: looking at a run, while it goes on and after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from config.contract import Exit
from services.cli import status_view, tree_view
from services.cli.options import AsJson, console
from services.cli.store import open_settled_store
from services.cli.style import plain
from services.errors import ServiceError
from services.executions import Execution, Store
from services.responses import GlobalStatus
from services.status import global_status
from services.statuses import ACTIVE
from services.survival import settle_orphans

_LOOK_SECONDS = 0.5
"""How often `--watch` looks again; a run writes four times a second."""
_PASSING = ("heartbeat_at", "elapsed_seconds", "remaining_seconds")
"""What changes by itself as time goes by."""

Id = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="A run, or a step or task of it; the beginning of its id is enough. `last`: the newest run.",
    ),
]


def status(
    execution_id: Id = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow the run until it ends; Ctrl-C stops looking only.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show how far a run is: each step, the items at hand, the time left, what failed and what to do about it.

    Without an id: the run that is at work, else one that is held or waits, else the newest. With [bold]--watch --json[/] one document a line, on change.
    """
    store = open_settled_store()
    run_id = _run_meant(store, execution_id).id
    if watch:
        _watch(store, run_id, as_json)
    elif as_json:
        print(json.dumps(global_status(store, run_id).record(), indent=1))
    else:
        console.print(status_view.screen(global_status(store, run_id)), soft_wrap=False)
    return Exit.OK


def show(
    execution_id: Id = None,
    everything: Annotated[bool, typer.Option("--all", help="Every task, every attempt, every artefact.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show a run as a tree: its steps, their tasks, errors, logs. A task's id shows that task alone, with its history."""
    store = open_settled_store()
    found = store.find(execution_id) if execution_id else _run_meant(store, None)
    if found.kind == "task":
        _show_task(store, found, as_json)
        return Exit.OK
    told = global_status(store, found.id)
    if found.kind == "step":
        told = told.model_copy(update={"steps": tuple(step for step in told.steps if step.execution_id == found.id)})
    tasks = _tasks(store, told.execution_id, everything)
    if as_json:
        print(json.dumps(tree_view.tree_record(told, tasks, with_artefacts=everything), indent=1))
    else:
        console.print(tree_view.tree(told, tasks, with_artefacts=everything))
    return Exit.OK


def _run_meant(store: Store, text: str | None) -> Execution:
    """Return the run that is meant; when none is named, the newest of those that are at work, else held, waiting, over."""
    if text:
        return store.run_of(store.find(text).id)
    found = sorted(store.active_runs(), key=lambda run: (run.status == "running", run.held is None))
    found = found or store.runs(limit=1)
    if not found:
        raise ServiceError("no_run", "There is no run yet.", "`derush run --demo` makes one.", Exit.USAGE)
    return found[-1]


def _watch(store: Store, run_id: str, as_json: bool) -> None:
    if as_json:
        for told in _changes(store, run_id, _lasting):
            print(json.dumps(told.record()), flush=True)
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for told in _looks(store, run_id):
                live.update(status_view.screen(told), refresh=True)
    else:
        for told in _changes(store, run_id, status_view.line):
            print(status_view.line(told), flush=True)


def _looks(store: Store, run_id: str) -> Iterator[GlobalStatus]:
    """Look at a run until it is over; the last look is at how it ended."""
    while True:
        settle_orphans(store)
        told = global_status(store, run_id)
        yield told
        if told.status not in ACTIVE:
            return
        time.sleep(_LOOK_SECONDS)


def _changes(store: Store, run_id: str, what_counts: Callable[[GlobalStatus], object]) -> Iterator[GlobalStatus]:
    before: object = None
    for told in _looks(store, run_id):
        if (now := what_counts(told)) != before:
            before = now
            yield told


def _lasting(told: GlobalStatus) -> dict[str, Any]:
    return {name: value for name, value in told.record().items() if name not in _PASSING}


def _tasks(store: Store, run_id: str, everything: bool) -> dict[str, list[Execution]]:
    if everything:
        return tree_view.by_stage((row for row in store.tree(run_id) if row.kind == "task"), None)
    return tree_view.by_stage(store.tasks(run_id, most=tree_view.MOST_TASKS), tree_view.MOST_TASKS)


def _show_task(store: Store, task: Execution, as_json: bool) -> None:
    attempts, events = store.attempts(task), store.events_of(task)
    if as_json:
        record = {"schema": "derush.task/1", "run_id": task.run_id, **tree_view.task_record(task, with_artefacts=True)}
        record["attempts"] = [tree_view.task_record(attempt, with_artefacts=False) for attempt in attempts]
        record["events"] = [tree_view.event_record(event) for event in events]
        print(json.dumps(record, indent=1))
        return
    root = Tree(Text(f"{task.step or plain(str(task.stage))} {plain(task.subject or '')}", "bold"))
    for attempt in attempts:
        tree_view.add_task(root, attempt, with_artefacts=attempt.id == task.id)
    console.print(root)
    for said in tree_view.event_lines(events):
        console.print(said, soft_wrap=True)
