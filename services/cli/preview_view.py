"""What a run would do, as a person reads it before it is begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cli.style import amount, colour_of, duration, plain
from services.inputs import WHY
from services.responses import Preview, PreviewInput, PreviewStep

_MOST_NAMED = 10
_COUNTS = {"to_do": "cyan", "up_to_date": "dim", "unknown": "yellow", "failed": "red", "skipped": "yellow"}


def print_preview(console: Console, told: Preview) -> None:
    """Say what is taken in and what is left out, what is to do, how long it takes, what it needs, what is in the way."""
    _print_inputs(console, told.inputs)
    print_left_out(console, [each.model_dump() for each in told.left_out], len(told.left_out))
    if any(step.to_do or step.up_to_date or step.unknown for step in told.steps if not step.is_check):
        console.print(_table(told.steps))
    if any(step.unknown for step in told.steps):
        console.print("What is unknown is decided by what earlier steps make of it.", highlight=False)
    if not told.is_complete:
        console.print("[yellow]![/] There was no time to look at everything: the rest counts as unknown.")
    console.print(f"It takes {'at least' if told.is_least else 'about'} {duration(told.seconds)}.", highlight=False)
    for place in told.places:
        mark = "[green]✓[/]" if place.is_enough else "[red]✗[/]"
        sizes = f"{_size(place.needed_bytes)} at most, {_size(place.free_bytes)} free"
        console.print(f"{mark} {place.setting}: {sizes} ({escape(place.path)})", soft_wrap=True, highlight=False)
    for failure in told.failures:
        name = _shown(Path(failure.subject).name)
        console.print(f"[red]✗ {failure.stage} {name}[/] {_shown(failure.message)}", soft_wrap=True)
        console.print(f"  → {_shown(failure.remedy)}", soft_wrap=True)
    for refusal in told.refusals:
        text = f"[red]✗[/] {_shown(refusal.message)} [bold]{_shown(refusal.remedy)}[/] [dim]({refusal.code})[/]"
        console.print(text, soft_wrap=True, highlight=False)


def _print_inputs(console: Console, inputs: tuple[PreviewInput, ...]) -> None:
    for each in inputs[:_MOST_NAMED]:
        becomes = "new project" if each.is_new else "project"
        size = f", {_size(each.bytes)}" if each.bytes is not None else ""
        text = f"  {_shown(Path(each.path).name)} ({each.form}{size}) → {becomes} {_shown(each.project)}"
        console.print(text, soft_wrap=True, highlight=False)
    if len(inputs) > _MOST_NAMED:
        console.print(f"  and {len(inputs) - _MOST_NAMED} more", highlight=False)


def print_left_out(console: Console, named: Sequence[Mapping[str, Any]], count: int) -> None:
    """Say which delivered files are not taken in: the first ones by name, and how many there are."""
    if count:
        names = [f"{Path(each['path']).name} ({WHY.get(each['code'], each['code'])})" for each in named[:_MOST_NAMED]]
        more = f" and {count - len(names)} more" if count > len(names) else ""
        told = f"{amount(count, 'file')} left out: {_shown(', '.join(names))}{more}"
        console.print(f"[yellow]![/] {told}", soft_wrap=True, highlight=False)


def _table(steps: tuple[PreviewStep, ...]) -> Table:
    table = Table(title="What would be done", title_justify="left", box=None, padding=(0, 2))
    for column in ("Step", "", "Work", "Result"):
        table.add_column(column, justify="right" if column == "Work" else "left")
    for step in steps:
        label = step.step or step.stage
        counts = {name: getattr(step, name) for name in _COUNTS}
        told = [
            f"[{_COUNTS[name]}]{'at least ' if name == 'unknown' and step.is_least else ''}{count} {name.replace('_', ' ')}[/]"
            for name, count in counts.items()
            if count
        ]
        table.add_row(f"[{colour_of(label)}]{label}[/]", escape(step.title), duration(step.seconds), ", ".join(told))
    return table


def _shown(text: str) -> str:
    """Return text from anywhere, such as a file's name, as it may stand on a terminal."""
    return escape(plain(text))


def _size(count: int) -> str:
    unit, divisor = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{count / divisor:.1f} {unit}"
