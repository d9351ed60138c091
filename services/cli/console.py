"""What a person sees while a run is going on, and after it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Bar
from rich.table import Table
from rich.text import Text

from config.catalog import steps
from config.settings import Settings
from services.flow import Flow, Task
from services.supervisor import Result

COLOURS = dict(
    zip(steps(), ("cyan", "blue", "magenta", "yellow", "green", "bright_cyan", "bright_magenta"), strict=True)
)
STATUS_COLOURS = {"done": "green", "up_to_date": "dim", "failed": "red", "skipped": "yellow", "would_run": "cyan"}


class _Rate(ProgressColumn):
    """How fast the item at hand goes, in its own unit."""

    def render(self, task: Bar) -> Text:
        unit = task.fields.get("unit", "")
        return Text(f"{task.speed:,.0f} {unit}/s" if unit and task.speed else "", style="dim")


class RunView:
    """Progress of a run on the terminal: the whole, each step, the items at hand; log lines scroll above.

    Where there is no terminal, only what ends is written, a line each.
    """

    def __init__(self, console: Console, *, show_log: bool) -> None:
        self._console = console
        self._show_log = show_log
        self._progress = Progress(
            SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), BarColumn(bar_width=30),
            MofNCompleteColumn(), _Rate(), TimeRemainingColumn(compact=True), console=console, transient=True,
        )  # fmt: skip
        self._whole = self._progress.add_task("[bold]Run", total=None)
        self._steps: dict[str, TaskID] = {}
        self._items: dict[Task, TaskID] = {}
        self._flow: Flow | None = None

    def __enter__(self) -> RunView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tasks_changed(self, flow: Flow) -> None:
        """Draw the totals anew."""
        self._flow = flow
        self._count()

    def _count(self) -> None:
        assert self._flow is not None
        tasks = list(self._flow.tasks.values())
        ended = [task for task in tasks if task.outcome is not None]
        self._progress.update(self._whole, completed=len(ended), total=len(tasks))
        totals, done = Counter(t.step.id for t in tasks), Counter(t.step.id for t in ended)
        for step_id in self._flow.steps:
            if step_id not in self._steps and totals[step_id]:
                label = f"[{COLOURS[step_id]}]{step_id}[/] {steps()[step_id].title}"
                self._steps[step_id] = self._progress.add_task(label, total=totals[step_id])
            elif step_id in self._steps:
                self._progress.update(self._steps[step_id], completed=done[step_id], total=totals[step_id])

    def task_started(self, task: Task) -> None:
        """Show the item."""
        label = f"  [{COLOURS[task.step.id]}]{task.step.id}[/] {escape(Path(task.item.path).name[:40])}"
        self._items[task] = self._progress.add_task(label, total=None)

    def task_progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:  # noqa: ARG002
        """Move the item's bar."""
        if task in self._items:
            self._progress.update(self._items[task], completed=int(done), total=int(total), unit=unit)

    def task_ended(self, task: Task) -> None:
        """Remove the item's bar and say how it ended."""
        if bar := self._items.pop(task, None):
            self._progress.remove_task(bar)
        self._count()
        assert task.outcome is not None
        outcome, error = task.outcome, task.outcome.error
        if error or outcome.status == "skipped" or not self._show_log:
            detail = f"{error['message']} {error['remedy']}" if error else outcome.message
            self._say(task.step.id, f"{Path(task.item.path).name}: {outcome.status.replace('_', ' ')} {detail}",
                      STATUS_COLOURS[outcome.status])  # fmt: skip

    def log_line(self, step_id: str, line: str) -> None:
        """Write a line of a worker's log above the bars."""
        if self._show_log and line:
            self._say(step_id, line, "")

    def warning(self, step_id: str, item: str | None, code: str, message: str) -> None:  # noqa: ARG002
        """Warnings stand in the log already; without it they are said here."""
        if not self._show_log:
            self._say(step_id, f"{Path(item).name if item else ''}: {message}", "yellow")

    def _say(self, step_id: str, text: str, style: str) -> None:
        prefix = Text(f"{step_id} │ ", style=COLOURS[step_id])
        self._progress.console.print(prefix + Text(text, style=style), soft_wrap=True, highlight=False)


class Silence:
    """A listener that says nothing: for programs that read the result."""

    def tasks_changed(self, flow: Flow) -> None:
        """Say nothing."""

    def task_started(self, task: Task) -> None:
        """Say nothing."""

    def task_progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:
        """Say nothing."""

    def task_ended(self, task: Task) -> None:
        """Say nothing."""

    def log_line(self, step_id: str, line: str) -> None:
        """Say nothing."""

    def warning(self, step_id: str, item: str | None, code: str, message: str) -> None:
        """Say nothing."""


def summary(result: Result, settings: Settings) -> dict[str, Any]:
    """Return what a run came to, as `--json` prints it."""
    by_step: dict[str, dict[str, Any]] = {}
    for task in result.tasks:
        assert task.outcome is not None or result.exit_code
        entry = by_step.setdefault(task.step.id, {"title": task.step.title, "seconds": 0.0, "counts": Counter()})
        entry["counts"][task.outcome.status if task.outcome else "interrupted"] += 1
        entry["seconds"] = round(entry["seconds"] + (task.outcome.seconds if task.outcome else 0.0), 3)
    return {
        "schema": "derush.run/1",
        "exit_code": int(result.exit_code),
        "seconds": round(result.seconds, 3),
        "steps": by_step,
        "failures": [
            {"step": task.step.id, "item": task.item.path, **task.outcome.error}
            for task in result.tasks
            if task.outcome and task.outcome.error
        ],
        "skipped": [
            {"step": task.step.id, "item": task.item.path, "reason": task.outcome.message}
            for task in result.tasks
            if task.outcome and task.outcome.status == "skipped"
        ],
        "warnings": result.warnings,
        "artefacts": result.artefacts,
        "places": {
            "projects": str(settings.projects_dir), "output": str(settings.output_dir),
            "archives": str(settings.archives_dir), "logs": str(settings.logs_dir),
        },
    }  # fmt: skip


def print_summary(console: Console, told: dict[str, Any], settings: Settings) -> None:
    """Say what was made, where it is, how long each step took, what failed and what to do, and how to see it."""
    table = Table(title="What was done", title_justify="left", box=None, padding=(0, 2))
    for column, justify in (("Step", "left"), ("", "left"), ("Time", "right"), ("Result", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for step_id, entry in sorted(told["steps"].items()):
        counts = ", ".join(
            f"[{STATUS_COLOURS.get(status, 'red')}]{count} {status.replace('_', ' ')}[/]"
            for status, count in entry["counts"].items()
        )
        table.add_row(f"[{COLOURS[step_id]}]{step_id}[/]", entry["title"], f"{entry['seconds']:.1f} s", counts)
    console.print(table)
    for failure in told["failures"]:
        name = escape(Path(failure["item"]).name)
        console.print(f"[red]✗ {failure['step']} {name}[/] ({failure['code']}): {escape(failure['message'])}")
        console.print(f"  → {escape(failure['remedy'])}")
    if warned := Counter(warning["step"] for warning in told["warnings"]):
        listed = ", ".join(f"{step_id} {count}" for step_id, count in sorted(warned.items()))
        console.print(f"[yellow]Warnings:[/] {listed} (`derush logs {min(warned)}` shows them)")
    made = sum(artefact["bytes"] for artefact in told["artefacts"])
    console.print(f"Made {len(told['artefacts'])} files ({made / 1e6:.1f} MB) in {told['seconds']:.1f} s")
    for name, place in (("Projects", settings.projects_dir), ("Delivered", settings.output_dir),
                        ("Archived", settings.archives_dir), ("Logs", settings.logs_dir)):  # fmt: skip
        console.print(f"  {name:<10} {escape(str(place))}", soft_wrap=True)
    serve = settings.venv_base_dir / "env" / "bin" / "derush"
    console.print(f"Open the panel: [bold]{escape(str(serve))} serve[/], then http://{settings.panel_host}:{settings.panel_port}/",
                  soft_wrap=True)  # fmt: skip
