"""What a run came to: for programs as one document, for a person as a table and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from config.contract import Exit
from config.settings import Settings
from services.cli.preview_view import print_left_out
from services.cli.style import OUTCOME_COLOURS, after_name, amount, colour_of, name_of
from services.flow import Task
from services.listening import Result

_MOST_WARNINGS = 20
_MOST_ALIKE = 50
"""Failures of one kind that are named one by one."""
_MOST_OF_ONE = 2
"""Warnings of one kind about one item that are told in full."""


def summary(result: Result, settings: Settings) -> dict[str, Any]:
    """Return what a run came to, as `--json` prints it (`derush.run/1`)."""
    order = {stage_id: number for number, stage_id in enumerate(dict.fromkeys(t.stage.id for t in result.tasks))}
    tasks = sorted(result.tasks, key=lambda task: (task.stage.spec is None, task.stage.label, order[task.stage.id]))
    return {
        "schema": "derush.run/1",
        "execution_id": result.run_id,
        "status": result.status,
        "exit_code": int(result.exit_code),
        "seconds": round(result.seconds, 3),
        "steps": _by_step(tasks),
        "failures": [
            {"step": task.stage.label, "item": task.item.path, "project": task.project, **task.outcome.error}
            for task in tasks
            if task.outcome and task.outcome.status == "failed" and task.outcome.error
        ],
        "skipped": [
            {"step": task.stage.label, "item": task.item.path, "reason": task.outcome.message}
            for task in tasks
            if task.outcome and task.outcome.status == "skipped" and not task.stage.is_check
        ],
        "left_out": result.left_out,
        "warnings": result.warnings,
        "artefacts": result.artefacts,
        "places": {
            "projects": str(settings.projects_dir), "output": str(settings.output_dir),
            "archives": str(settings.archives_dir), "logs": str(settings.logs_dir),
        },
    }  # fmt: skip


def _by_step(tasks: list[Task]) -> dict[str, dict[str, Any]]:
    """Return for each step its title, how its tasks ended, and the seconds they took, one added to the other."""
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if task.stage.is_check:
            continue
        entry = found.setdefault(task.stage.label, {"title": task.stage.title, "seconds": 0.0, "counts": Counter()})
        entry["counts"][task.outcome.status if task.outcome else "interrupted"] += 1
        entry["seconds"] = round(entry["seconds"] + (task.outcome.seconds if task.outcome else 0.0), 3)
    return found


def print_summary(console: Console, told: dict[str, Any], settings: Settings) -> None:
    """Say what was made, where it is, how long each step took, what failed and what to do, and how to see it.

    A run that had nothing to do is one line: nothing was made that a person would want to find.
    """
    print_left_out(console, told["left_out"]["named"], told["left_out"]["count"])
    found = Counter[str]()
    for entry in told["steps"].values():
        found.update(entry["counts"])
    if found and set(found) == {"up_to_date"}:
        _print_warnings(console, [warning for warning in told["warnings"] if warning["item"]])
        looked_at = f"{amount(found.total(), 'item')} looked at in {told['seconds']:.1f} s"
        console.print(
            f"Everything was up to date ({looked_at}): `--force` does it again.", soft_wrap=True, highlight=False
        )
        return
    console.print(_table("What was done", told["steps"]))
    _print_failures(console, told["failures"], told["execution_id"])
    _print_warnings(console, told["warnings"])
    if told["exit_code"] == Exit.INTERRUPTED:
        console.print(
            f"[yellow]Interrupted.[/] Nothing half done is left: `derush resume {told['execution_id']}` goes on."
        )
    made = sum(artefact["bytes"] for artefact in told["artefacts"])
    files = amount(len(told["artefacts"]), "file")
    console.print(f"Made {files} ({made / 1e6:.1f} MB) in {told['seconds']:.1f} s")
    places = {"Projects": settings.projects_dir}
    if _has_delivered(told["steps"]):
        places |= {"Delivered": settings.output_dir, "Archived": settings.archives_dir}
    for name, place in (places | {"Logs": settings.logs_dir}).items():
        console.print(f"  {name:<10} {escape(str(place))}", soft_wrap=True)
    serve = escape(str(settings.venv_base_dir / "env" / "bin" / "derush"))
    address = f"http://{settings.panel_host}:{settings.panel_port}/"
    console.print(f"Open the panel: [bold]{serve} serve[/], then {address}", soft_wrap=True)


def _has_delivered(steps: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether there is a delivery that a person would want to find."""
    counts = steps.get("STEP7", {}).get("counts", {})
    return any(counts.get(outcome) for outcome in ("done", "up_to_date"))


def _table(title: str, steps: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2))
    for column in ("Step", "", "Work", "Result"):
        table.add_column(column, justify="right" if column == "Work" else "left")
    for step_id, entry in steps.items():
        counts = ", ".join(
            f"[{OUTCOME_COLOURS.get(status, 'red')}]{count} {status.replace('_', ' ')}[/]"
            for status, count in entry["counts"].items()
        )
        table.add_row(f"[{colour_of(step_id)}]{step_id}[/]", entry["title"], f"{entry['seconds']:.1f} s", counts)
    return table


def _print_failures(console: Console, failures: list[dict[str, Any]], run_id: str) -> None:
    """Name what failed, those together that one remedy helps: of fifty, a person reads each remedy once."""
    alike: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for failure in failures:
        alike.setdefault((failure["step"], failure["code"], failure["remedy"]), []).append(failure)
    for (step, code, remedy), group in alike.items():
        count = f", {len(group)} times" if len(group) > 1 else ""
        console.print(f"[red]✗ {step} {escape(code)}[/]{count}", soft_wrap=True)
        for failure in group[:_MOST_ALIKE]:
            name = name_of(failure["item"], failure["project"])
            message = after_name(failure["item"], failure["message"])
            console.print(f"    [bold]{escape(name)}[/]{escape(message)}", soft_wrap=True)
        if len(group) > _MOST_ALIKE:
            console.print(f"    and {len(group) - _MOST_ALIKE} more: `derush show {run_id} --all`", soft_wrap=True)
        console.print(f"  → {escape(remedy)}", soft_wrap=True)


def _print_warnings(console: Console, warnings: list[dict[str, Any]]) -> None:
    lines = _warning_lines(warnings)
    for line in lines[:_MOST_WARNINGS]:
        console.print(f"[yellow]![/] {escape(line)}", soft_wrap=True)
    if len(lines) > _MOST_WARNINGS:
        console.print(f"[yellow]![/] and {len(lines) - _MOST_WARNINGS} more, see `derush logs`")


def _warning_lines(warnings: list[dict[str, Any]]) -> list[str]:
    """Return each warning once; of many of a kind about one item, the first ones and how many more there are."""
    alike: dict[tuple[str | None, str], dict[str, None]] = {}
    for warning in warnings:
        alike.setdefault((warning["item"], warning["code"]), {})[warning["message"]] = None
    lines = []
    for (item, _code), messages in alike.items():
        name, told = (f"{Path(item).name}: " if item else ""), list(messages)
        shown = told if len(told) <= _MOST_OF_ONE + 1 else told[:_MOST_OF_ONE]
        lines += [f"{name}{message}" for message in shown]
        if len(shown) < len(told):
            lines.append(f"{name}and {len(told) - len(shown)} more like it.")
    return lines
