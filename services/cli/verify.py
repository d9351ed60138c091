"""`derush verify`: whether what was made still is what was recorded of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import load_settings
from services.cli.options import AsJson, console, named, to_person
from services.cli.reading import reading_progress
from services.cli.style import amount, plain
from services.verification import Report, find_places, reports, survey

_STATES = {"whole": "[green]✓[/]", "moved": "[green]✓[/]", "no_records": "[dim]-[/]", "damaged": "[red]✗[/]"}


def verify(
    projects: Annotated[
        list[str] | None, typer.Argument(metavar="PROJECT", help="Projects, by name or folder; none means all.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read only files whose modification time changed.")] = False,
    step: Annotated[
        list[str] | None, typer.Option("--step", metavar="STEPN", help="Only what this step left; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check that every file that steps recorded is there, whole and unchanged, in projects and in archives.

    Ends with 1 if something is not. Nothing is repaired: what to do is said of each problem.
    """
    settings = load_settings()
    chosen = frozenset(spec.id for spec in named(_step_ids(step), declared_steps(), "step")) if step else None
    places = find_places(projects or [], settings)
    surveys = survey(places, settings, steps=chosen, quick=quick)
    made = []
    screen = to_person if as_json or not console.is_terminal else console
    with reading_progress(sum(survey.to_read for survey in surveys), screen) as on_bytes:
        for report in reports(surveys, on_bytes):
            made.append(report)
            if not as_json:
                _print_report(report)
    exit_code = Exit.SOME_FAILED if any(report.problems for report in made) else Exit.OK
    if as_json:
        print(json.dumps({"exit_code": int(exit_code), "projects": [_record(report) for report in made]}, indent=1))
    elif not made:
        console.print(f"There is no project in {settings.projects_dir}.", soft_wrap=True, highlight=False)
    return exit_code


def _step_ids(names: Sequence[str]) -> list[str]:
    """Return `STEP3` for `STEP3`, `step3` and `3`."""
    return [name.upper() if name.upper().startswith("STEP") else f"STEP{name}" for name in names]


def _print_report(report: Report) -> None:
    name = escape(plain(report.place.path.name))
    console.print(f"{_STATES[report.state]} {name}: {_counts(report)}", soft_wrap=True, highlight=False)
    for problem in report.problems:
        said = f"    {escape(plain(problem.message))} [bold]{escape(plain(problem.remedy))}[/] [dim]({problem.code})[/]"
        console.print(said, soft_wrap=True, highlight=False)
    for note in report.notes:
        console.print(f"    {escape(plain(note.message))} [dim]({note.code})[/]", soft_wrap=True, highlight=False)


def _counts(report: Report) -> str:
    if report.state == "no_records":
        return "no records yet"
    parts = [amount(report.files, "file"), f"{report.bytes / 1e6:.1f} MB"] if report.place.moved_to is None else []
    if report.place.moved_to is not None:
        parts.append(f"moved to {escape(plain(report.place.moved_to))}")
    if report.archives:
        parts.append(amount(report.archives, "archive"))
    if report.problems:
        parts.append(f"[red]{amount(len(report.problems), 'problem')}[/]")
    return ", ".join(parts)


def _record(report: Report) -> dict[str, object]:
    return {
        "project": report.place.path.name, "path": str(report.place.path), "state": report.state,
        "moved_to": report.place.moved_to, "files": report.files, "bytes": report.bytes, "archives": report.archives,
        "problems": [problem.record() for problem in report.problems], "notes": [note.record() for note in report.notes],
    }  # fmt: skip
