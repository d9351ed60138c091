"""`derush envs`: the virtual environments."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import typer
from rich.table import Table

from config.contract import Exit
from config.settings import REPOSITORY, load_settings
from services.cli.options import AsJson, Development, Names, console, named, report_problems, to_person
from services.environments import Environment, build_all, environments
from services.errors import ServiceError
from services.package_index import INSTALLER

app = typer.Typer(no_args_is_help=True, help="The four virtual environments that steps run under.")


def _chosen_environments(names: list[str] | None) -> list[Environment]:
    return named(names, environments(load_settings()), "environment")


@app.command("list")
def envs_list(as_json: AsJson = False) -> int:
    """Show the environments, and whether each is built."""
    rows = [
        {"name": e.name, "about": e.spec.about, "root": str(e.root), "built": e.is_built(), **e.marker()}
        for e in _chosen_environments(None)
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return Exit.OK
    table = Table(box=None)
    for column in ("Environment", "For", "State", "Where"):
        table.add_column(column, overflow="fold")
    for row in rows:
        state = f"[green]built[/] (Python {row['python']})" if row["built"] else "[yellow]not built[/]"
        table.add_row(str(row["name"]), str(row["about"]), state, str(row["root"]))
    console.print(table)
    return Exit.OK


@app.command("build")
def envs_build(names: Names = None, dev: Development = False) -> int:
    """Build what is missing. Safe to interrupt and to repeat."""
    build_all(_chosen_environments(names), dev)
    return Exit.OK


@app.command("rebuild")
def envs_rebuild(names: Names = None, dev: Development = False) -> int:
    """Build anew from the locks, whatever is there."""
    chosen = _chosen_environments(names)
    if any(environment.root.resolve() == Path(sys.prefix).resolve() for environment in chosen):
        _rebuild_from_outside([environment.name for environment in chosen], dev)
    build_all(chosen, dev, again=True)
    return Exit.OK


def _rebuild_from_outside(names: Sequence[str], dev: bool) -> NoReturn:
    """Become the small environment's Python: the one that runs this would be removed under its own feet.

    Raises ServiceError no_installer.
    """
    python = INSTALLER / "bin" / "python"
    if not python.is_file():
        raise ServiceError(
            "no_installer", f"{python} is not there, and `derush` cannot rebuild the environment it runs in.",
            "Run `scripts/setup.sh` first.",
        )  # fmt: skip
    arguments = ["--again", *(["--dev"] if dev else []), *names]
    command = shlex.join(["scripts/setup.sh", *arguments])
    to_person.print(f"Should this not come to its end, `derush` is gone: `{command}` does it again.", soft_wrap=True)
    os.chdir(REPOSITORY)
    os.execv(python, [str(python), "-m", "services.environments", *arguments])


@app.command("check")
def envs_check(names: Names = None, as_json: AsJson = False) -> int:
    """Import what the steps need in each environment's own interpreter. Ends with 3 if something is wrong."""
    problems = {environment.name: environment.health() for environment in _chosen_environments(names)}
    return report_problems(problems, "derush envs rebuild", as_json)
