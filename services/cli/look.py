"""`derush logs`, `derush doctor`, `derush serve`: looking at what there is."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import REPOSITORY, Settings, load_settings
from services import doctor as doctors
from services import logs as log_files
from services.cli.console import COLOURS
from services.cli.options import AsJson, console, to_person
from services.cli.run import step_named
from services.errors import ServiceError


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
        raise ServiceError("no_log", f"{spec.id} has no log in {folder}.", "Run the step first.", Exit.USAGE)
    to_person.print(f"[dim]{path}[/]", soft_wrap=True)
    tail = log_files.last_lines(path, lines)
    sys.stdout.write(tail.text)
    while follow:
        sys.stdout.flush()
        tail = log_files.read_from(path, tail.next_offset)
        sys.stdout.write(tail.text)
        if not tail.truncated:
            time.sleep(0.2)
    return Exit.OK


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


def doctor(as_json: AsJson = False) -> int:
    """Check everything the steps need: settings, environments, models, tools, disks. Ends with 3 if something is missing."""
    checks = doctors.examine(load_settings())
    if as_json:
        print(json.dumps([check.record() for check in checks], indent=1))
    else:
        _print_checks(checks)
    return Exit.PREREQUISITE if any(check.state == "missing" for check in checks) else Exit.OK


def _print_checks(checks: Sequence[doctors.Check]) -> None:
    marks = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "missing": "[red]✗[/]"}
    table = Table(box=None, padding=(0, 1))
    for column in ("", "What", "Found", "What to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        table.add_row(marks[check.state], check.what, check.found, check.remedy)
    console.print(table)
    counts = {state: sum(check.state == state for check in checks) for state in marks}
    console.print(f"{counts['good']} good, {counts['warning']} warnings, {counts['missing']} missing")


def serve(
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Another port than PANEL_PORT.")] = None,
) -> int:
    """Open the control panel, on this machine only, until Ctrl-C."""
    settings = load_settings()
    chosen = port or settings.panel_port
    host = f"[{settings.panel_host}]" if ":" in settings.panel_host else settings.panel_host
    address = f"{host}:{chosen}"
    try:
        socket.create_server((settings.panel_host, chosen), family=_family(settings.panel_host)).close()
    except OSError as error:
        remedy = "Is the panel open already? Else use --port."
        raise ServiceError("port_in_use", f"{address} cannot be used ({error.strerror}).", remedy, Exit.USAGE) from None
    to_person.print(f"The panel is at [bold]http://{address}/[/]  (Ctrl-C ends it)")
    gunicorn = [sys.executable, "-m", "gunicorn", "--chdir", str(REPOSITORY), "--bind", address, "--threads", "8",
                "--log-level", "warning", "web:create_app()"]  # fmt: skip
    return os.execv(sys.executable, gunicorn)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
