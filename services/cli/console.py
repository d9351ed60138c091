"""What a person sees while a run is going on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType

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
from rich.text import Text

from services.cli.style import OUTCOME_COLOURS, colour_of, name_of, plain
from services.flow import Flow, Task
from services.stages import Stage

_LEVELS = {"WARNING": "yellow", "ERROR": "red"}


class _Rate(ProgressColumn):
    """How fast the item at hand goes, in its own unit."""

    def render(self, task: Bar) -> Text:
        unit = task.fields.get("unit", "")
        return Text(f"{task.speed:,.0f} {unit}/s" if unit and task.speed else "", style="dim")


class _Left(TimeRemainingColumn):
    """Time left of the item at hand; of the run and its steps nobody knows it while there are videos to come."""

    def render(self, task: Bar) -> Text:
        return super().render(task) if task.fields.get("unit") else Text("")


class RunView:
    """Progress of a run on the terminal: the whole, each step, the items at hand; log lines scroll above.

    Where there is no terminal, only what ends is written, a line each.
    """

    def __init__(self, console: Console, *, show_log: bool) -> None:
        self._console = console
        self._show_log = show_log
        self._progress = Progress(
            SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), BarColumn(bar_width=30),
            MofNCompleteColumn(), _Rate(), _Left(compact=True), console=console, transient=True,
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
        totals, done = Counter(t.stage.id for t in tasks), Counter(t.stage.id for t in ended)
        for stage in self._flow.stages.values():
            if not stage.is_check:
                shown = totals[stage.id] > 0
                self._progress.update(
                    self._bar_of(stage), completed=done[stage.id], total=totals[stage.id], visible=shown
                )

    def _bar_of(self, stage: Stage) -> TaskID:
        """Return a stage's bar; all are made at once, in their order, and seen when there is something to count."""
        if stage.id not in self._steps:
            label = f"[{colour_of(stage.label)}]{stage.label}[/] {escape(stage.title)}"
            self._steps[stage.id] = self._progress.add_task(label, total=None, visible=False)
        return self._steps[stage.id]

    def task_started(self, task: Task) -> None:
        """Show the item."""
        name = escape(name_of(task.item.path, task.project)[:48])
        label = f"  [{colour_of(task.stage.label)}]{task.stage.label}[/] {name}"
        self._items[task] = self._progress.add_task(label, total=None)

    def task_progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:  # noqa: ARG002
        """Move the item's bar."""
        if task in self._items:
            self._progress.update(self._items[task], completed=int(done), total=int(total), unit=unit)

    def task_ended(self, task: Task) -> None:
        """Remove the item's bar, and say how it ended unless the worker's log has said so."""
        bar = self._items.pop(task, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._count()
        assert task.outcome is not None
        outcome, error = task.outcome, task.outcome.error
        said_by_worker = bar is not None and outcome.status != "skipped"
        if not (self._show_log and said_by_worker) and not (task.stage.is_check and outcome.status == "skipped"):
            detail = f"{error['message']} {error['remedy']}" if error else outcome.message
            text = f"{name_of(task.item.path, task.project)}: {outcome.status.replace('_', ' ')} {detail}"
            self._say(task.stage.label, text, OUTCOME_COLOURS[outcome.status])

    def log_line(self, label: str, line: str) -> None:
        """Write a line of a worker's log above the bars, without the time that the log file has."""
        if self._show_log and line:
            has_time = line[19:20] == "Z" and line[10:11] == "T"
            shown = line[21:].removeprefix("INFO").lstrip() if has_time else line
            style = next((style for level, style in _LEVELS.items() if shown.startswith(level)), "")
            self._say(label, shown, style)

    def warning(self, label: str, item: str | None, message: str) -> None:
        """Say what a step warns of: about an item unless the worker's log has said it."""
        if item is None:
            self._say(label, f"WARNING {message}", "yellow")
        elif not self._show_log:
            self._say(label, f"{Path(item).name}: {message}", "yellow")

    def note(self, text: str) -> None:
        """Say something about the run itself, above the bars."""
        self._progress.console.print(Text(plain(text)), soft_wrap=True)

    def _say(self, label: str, text: str, style: str) -> None:
        prefix = Text(f"{label} │ ", style=colour_of(label))
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

    def log_line(self, label: str, line: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def warning(self, label: str, item: str | None, message: str) -> None:
        """Say nothing."""


class NotesOnly(Silence):
    """A listener for runs whose result a program reads: only what is said about the run itself, beside the result."""

    def note(self, text: str) -> None:
        """Say it on standard error."""
        Console(stderr=True).print(Text(plain(text), style="yellow"), soft_wrap=True, highlight=False)
