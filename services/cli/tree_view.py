"""A run as a tree: its steps, their tasks, what those left; and one task by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from services.cli.status_view import LEAST_SHOWN, item_name, title, warnings
from services.cli.style import STATUS_STYLES, amount, counted, duration, local_time, plain
from services.executions import Event, Execution
from services.responses import GlobalStatus, StepStatus

MOST_TASKS = 50
"""Tasks of a step that are shown unless all are asked for."""
_FIELDS = (
    "stage", "step", "attempt", "status", "outcome", "item_kind", "subject", "project", "done", "total", "unit", "message",
    "queued_at", "started_at", "ended_at", "seconds", "error", "metrics", "log_path",
)  # fmt: skip


def by_stage(tasks: Iterable[Execution], most: int | None) -> dict[str, list[Execution]]:
    """Return the tasks of each stage, at most `most`, the failed ones first."""
    found: dict[str, list[Execution]] = {}
    for task in sorted(tasks, key=lambda task: (task.status != "failed", task.number)):
        found.setdefault(str(task.stage), []).append(task)
    return {stage: tasks_[:most] for stage, tasks_ in found.items()}


def tree_record(
    told: GlobalStatus, tasks: Mapping[str, Sequence[Execution]], *, with_artefacts: bool
) -> dict[str, Any]:
    """Return a run with its steps and tasks as `--json` prints it (`derush.tree/1`)."""
    record = {**told.record(), "schema": "derush.tree/1"}
    for step in record["steps"]:
        del step["running"], step["errors"]
        shown = tasks.get(step["stage"], [])
        step["tasks"] = [task_record(task, with_artefacts=with_artefacts) for task in shown]
        step["not_shown"] = max(0, sum(step["counts"].values()) - len(shown))
    return record


def task_record(task: Execution, *, with_artefacts: bool) -> dict[str, Any]:
    """Return a task as `--json` prints it."""
    record = {"execution_id": task.id, **{name: getattr(task, name) for name in _FIELDS}}
    record["artefact_count"] = len(task.artefacts)
    return {**record, "artefacts": task.artefacts} if with_artefacts else record


def tree(told: GlobalStatus, tasks: Mapping[str, Sequence[Execution]], *, with_artefacts: bool) -> Tree:
    """Return a run as a person sees it."""
    root = Tree(title(told))
    for step in told.steps:
        branch = root.add(_step(step))
        shown = tasks.get(step.stage, [])
        for task in shown:
            add_task(branch, task, with_artefacts=with_artefacts)
        if (hidden := sum(step.counts.values()) - len(shown)) > 0:
            branch.add(Text(f"and {hidden} more: --all shows them", "dim"))
    for said in warnings(told):
        root.add(said)
    return root


def add_task(branch: Tree, task: Execution, *, with_artefacts: bool) -> None:
    """Add a task to a tree, with its error, its log and its artefacts."""
    leaf = branch.add(_task(task))
    if task.error:
        leaf.add(
            Text(
                plain(
                    f"{task.error.get('message', '')} → {task.error.get('remedy', '')} ({task.error.get('code', '')})"
                ),
                "red",
            )
        )
    if task.log_path and (task.error or with_artefacts):
        leaf.add(Text(f"log {plain(task.log_path)}", "dim"))
    for artefact in task.artefacts if with_artefacts else ():
        leaf.add(
            Text(plain(f"{artefact.get('kind')} {artefact.get('path')} ({amount(artefact.get('bytes', 0), 'byte')})"))
        )


def event_lines(events: Iterable[Event]) -> Iterator[Text]:
    """Return the history of a task."""
    for event in events:
        facts = ", ".join(f"{name} {_said(value)}" for name, value in event.data.items() if value is not None)
        yield Text.assemble((local_time(event.at), "dim"), f"  {plain(event.event)}  {plain(facts)}")


def event_record(event: Event) -> dict[str, Any]:
    """Return an event as `--json` prints it."""
    return {"id": event.id, "at": event.at, "event": event.event, "data": event.data}


def _step(step: StepStatus) -> Text:
    status = (step.status, STATUS_STYLES[step.status])
    label = f"{step.step or plain(step.stage)} {plain(step.title)}  "
    took = f"  {duration(step.seconds)}" if step.seconds >= LEAST_SHOWN else ""
    identity = (f"  {step.execution_id or ''}", "dim")
    return Text.assemble(label, status, "  ", counted(step.counts), took, identity)


def _task(task: Execution) -> Text:
    said = (task.outcome or task.status).replace("_", " ")
    parts = [f"  {said}", f", attempt {task.attempt}" if task.attempt > 1 else ""]
    parts += [
        f", {duration(task.seconds)}" if task.seconds >= LEAST_SHOWN else "",
        f", {plain(task.message)}" if task.message else "",
    ]
    parts += [f", {amount(len(task.artefacts), 'file')}" if task.artefacts else ""]
    name = item_name(task.subject or "", task.project)
    return Text.assemble(name, ("".join(parts), STATUS_STYLES[task.status]), (f"  {task.id}", "dim"))


def _said(value: object) -> object:
    """Of an error, its sentence: the code and the remedy stand with the task."""
    return value.get("message", value) if isinstance(value, dict) else value
