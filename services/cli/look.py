"""`derush logs`: what the steps wrote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import Settings, load_settings
from services import logs as log_files
from services.cli.options import console, step_named, to_person
from services.cli.style import COLOURS
from services.errors import ServiceError
from services.log_file import LogFile
from services.log_following import follow as follow_log
from services.log_lines import Line


def logs(
    step_id: Annotated[
        str | None, typer.Argument(metavar="STEP", help="STEP1 to STEP7; none lists what there is.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines from the end.")] = 40,
) -> int:
    """Show the newest log of a step."""
    settings = load_settings()
    if step_id is None:
        return _list_logs(settings)
    spec = step_named(step_id)
    folder = settings.logs_dir / spec.log_folder
    path = log_files.newest_log(folder)
    if path is None:
        raise ServiceError("no_such_log", f"{spec.id} has no log in {folder}.", "Run the step first.", Exit.USAGE)
    to_person.print(f"[dim]{path}[/]", soft_wrap=True)
    with LogFile(path) as log:
        page = log.last(lines)
    _print(page.whole_lines if follow else page.lines)
    for grown in follow_log(path, page.end) if follow else ():
        _print(grown.whole_lines if grown else ())
    return Exit.OK


def _print(lines: Sequence[Line]) -> None:
    sys.stdout.write(b"".join(line.raw for line in lines).decode("utf-8", "replace"))
    sys.stdout.flush()


def _list_logs(settings: Settings) -> int:
    table = Table(box=None)
    for column in ("Step", "Logs", "Newest"):
        table.add_column(column, overflow="fold")
    for step_id, spec in declared_steps().items():
        folder = settings.logs_dir / spec.log_folder
        newest = log_files.newest_log(folder)
        table.add_row(
            f"[{COLOURS[step_id]}]{step_id}[/]", str(len(list(folder.glob("*.log")))), str(newest or "none yet")
        )
    console.print(table, soft_wrap=True)
    return Exit.OK
