"""`derush doctor`: everything a run needs, looked at in one go."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from config.contract import Exit
from config.settings import load_settings
from services import doctor as doctors
from services.cli.options import AsJson, console
from services.cli.style import amount


def doctor(as_json: AsJson = False) -> int:
    """Check everything the steps need: settings, environments, models, tools, disks, history. Ends with 3 if something is missing."""
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
        table.add_row(marks[check.state], check.what, escape(check.found), escape(check.remedy))
    console.print(table)
    counts = {state: sum(check.state == state for check in checks) for state in marks}
    console.print(f"{counts['good']} good, {amount(counts['warning'], 'warning')}, {counts['missing']} missing")
