"""The global status of a run on a terminal: a line a step, the items at hand, what failed and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.cli.style import STATUS_STYLES, after_name, colour_of, counted, duration, name_of, plain, state
from services.responses import AtWork, GlobalStatus, ItemFailure, StepStatus
from services.statuses import ACTIVE

_LONGEST_NAME = 48
_BAR = 24
LEAST_SHOWN = 0.05
"""Seconds under which a duration says nothing: work that was up to date."""


def item_name(subject: str, project: str | None) -> Text:
    """Return what a task is about, short."""
    name = plain(name_of(subject, project) or subject)
    return Text(name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}")


def screen(told: GlobalStatus) -> RenderableType:
    """Return everything there is to see of a run."""
    parts: list[RenderableType] = [title(told), _overall(told)]
    if told.held:
        parts.append(Text(f"Held: {plain(told.held.message)} ({plain(told.held.code)})", "yellow"))
    if told.steps:
        parts.append(_steps(told))
    parts += [line for step in told.steps for line in _failures(step)]
    parts += warnings(told)
    if told.error:
        parts.append(Text(f"✗ {plain(told.error.message)}", "red"))
        parts.append(Text(f"  → {plain(told.error.remedy)} ({plain(told.error.code)})"))
    return Group(*parts, *next_commands(told))


def line(told: GlobalStatus) -> str:
    """Return where a run is, in one line: for where there is no terminal."""
    steps = [
        f"{step.step or plain(step.stage)} {step.done}/{step.total}" for step in told.steps if step.status == "running"
    ]
    said = _state(told).plain
    held = f"held ({plain(told.held.code)})" if told.held and told.held.code != said else ""
    parts = [f"{told.progress:.0%} {said}", held, ", ".join(steps), counted(told.counts).plain]
    return " | ".join(part for part in parts if part)


def next_commands(told: GlobalStatus) -> Iterator[Text]:
    """Say which commands a person would want next."""
    run_id = told.execution_id.removeprefix("exec_")
    wanted = {}
    if told.status == "interrupted" or (told.held and told.held.code == "paused"):
        wanted[f"derush resume {run_id}"] = "goes on"
    if any(step.error_count for step in told.steps) or (told.status == "failed" and told.error):
        wanted[f"derush retry {run_id}"] = "does again what failed"
    if told.status in ACTIVE and not told.held:
        wanted[f"derush pause {run_id}"] = "starts nothing new"
        wanted[f"derush cancel {run_id}"] = "ends it"
    for command, effect in wanted.items():
        yield Text.assemble((command, "bold"), f"  {effect}")


def title(told: GlobalStatus) -> Text:
    """Return which run it is, what it is at, and what it is for."""
    return Text.assemble((told.execution_id, "bold"), "  ", _state(told), "  ", plain(told.objective))


def _state(told: GlobalStatus) -> Text:
    return state(told.status, told.held.code if told.held else None)


def _overall(told: GlobalStatus) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    times = [f"{told.progress:.0%}"]
    if told.started_at:
        times.append(
            f"{duration(told.elapsed_seconds)} so far" if not told.ended_at else duration(told.elapsed_seconds)
        )
    if told.status == "running" and told.remaining_seconds is not None:
        times.append(f"about {duration(told.remaining_seconds)} left")
    row.add_row(_bar(told.progress), Text(", ".join(times)))
    return row


def _steps(told: GlobalStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for step in told.steps:
        if step.is_check and not step.counts:
            continue
        label = Text.assemble(
            (plain(step.step or step.stage), colour_of(step.step or "")), " ", plain(step.title) if step.step else ""
        )
        done = f"{step.done}/{step.total}" if step.total else ""
        mean = step.seconds / step.done if step.done else 0.0
        each = f"{duration(mean)} each" if mean >= LEAST_SHOWN else ""
        table.add_row(label, _bar(step.progress), done, _result(step), Text(each, "dim"))
        for item in step.running:
            table.add_row(*_item(item, told.heartbeat_at))
    return table


def _result(step: StepStatus) -> Text:
    return counted(step.counts) if step.counts else Text(step.status, STATUS_STYLES[step.status])


def _item(item: AtWork, until: str | None) -> tuple[RenderableType, ...]:
    """Return the line of an item at hand: how far it is, how fast it goes, how long it will take."""
    share = min(1.0, max(0.0, item.done / item.total)) if item.total > 0 else 0.0
    amount = f"{item.done:,.0f}/{item.total:,.0f} {plain(item.unit)}" if item.total > 0 else plain(item.message)
    worked = _seconds_between(item.started_at, until)
    pace = ""
    if worked > 0 and item.done > 0 and item.total > 0:
        left = max(0.0, item.total - item.done) * worked / item.done
        pace = f"{item.done / worked:,.0f} {plain(item.unit)}/s, {duration(left)} left"
    name = Text("  ").append(item_name(item.subject, item.project))
    return name, _bar(share), f"{share:.0%}" if item.total > 0 else "", Text(amount), Text(pace, "dim")


def _seconds_between(begin: str | None, end: str | None) -> float:
    if begin is None or end is None:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _bar(share: float) -> ProgressBar:
    return ProgressBar(total=1.0, completed=share, width=_BAR)


def warnings(told: GlobalStatus) -> Iterator[Text]:
    """Return what a person should know of the run though its work went on."""
    for each in told.warnings:
        about = (
            item_name(each.subject, None).append(after_name(each.subject, each.message))
            if each.subject
            else Text(each.message)
        )
        yield Text.assemble((f"! {plain(each.step or '')} ", "yellow"), plain(about.plain))
    if (more := told.warning_count - len(told.warnings)) > 0:
        yield Text(f"  and {more} more: `derush logs` and the panel's page of the run have them", "yellow")


def _failures(step: StepStatus) -> Iterator[Text]:
    for error in step.errors:
        yield from _failure(step, error)
    if step.error_count > len(step.errors):
        yield Text(f"  and {step.error_count - len(step.errors)} more in {step.step or plain(step.stage)}", "red")


def _failure(step: StepStatus, error: ItemFailure) -> Iterator[Text]:
    label = f"✗ {step.step or plain(step.stage)} "
    yield Text.assemble(
        (label, "red"), item_name(error.subject, error.project), plain(after_name(error.subject, error.message))
    )
    yield Text.assemble(f"  → {plain(error.remedy)} ", (f"({plain(error.code)})", "dim"))
