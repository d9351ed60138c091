"""`derush run`: a whole run."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from config.contract import Exit
from config.settings import REPOSITORY, load_settings
from services.cli.carrying import carry_out, carry_out_detached
from services.cli.options import AsJson
from services.cli.preview_view import print_preview
from services.cli.store import open_store
from services.commands import can_start
from services.errors import ServiceError
from services.launcher import MOST_URGENT, record_run
from services.launching import plan_for, steps_named
from services.options import Options
from services.plans import Plan, read_plan
from services.preparation import DEMO_ARCHIVE
from services.previews import preview
from services.responses import Preview


def run(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, archives or videos to take in; or projects that are there already."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Take the demo footage that comes with Derush.")] = False,
    steps: Annotated[str | None, typer.Option("--steps", metavar="1-3,6", help="Only these steps.")] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", help="Another workflow than `full`, see `derush plan --help`.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Carry out this plan. Its relative `files` start at Derush's own folder."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is up to date.")] = False,
    kind: Annotated[
        Literal["all", "archives", "videos"],
        typer.Option("--kind", help="Take in only archives, or only loose videos."),
    ] = "all",
    min_size: Annotated[
        float | None,
        typer.Option(
            "--min-size",
            metavar="MB",
            min=0,
            max=1e6,
            help="Leave out archives and loose videos smaller than this; 0 takes all. By default STEP1_MIN_SIZE_MB says.",
        ),
    ] = None,
    keyword: Annotated[
        list[str] | None,
        typer.Option(
            "--keyword",
            metavar="TEXT",
            help="Take in only what has this in its name or its folder's; may be given several times.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done, how long it takes and whether it fits; do nothing."),
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast/--keep-going", help="Stop at the first failure, or go on with the rest.")
    ] = False,
    engine: Annotated[str | None, typer.Option("--engine", help="Tracking engine of STEP5.")] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option("--device", help="Where models run; tracking goes to a GPU by STEP5_ENABLE_GPU only."),
    ] = "auto",
    priority: Annotated[
        int,
        typer.Option("--priority", min=-MOST_URGENT, max=MOST_URGENT, help="The higher comes first in the queue."),
    ] = 0,
    if_busy: Annotated[
        Literal["wait", "refuse"], typer.Option("--if-busy", help="When another run works on the same material.")
    ] = "wait",
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on in the background: print the run's id and return.")
    ] = False,
    show_log: Annotated[bool, typer.Option("--log/--no-log", help="Show the steps' logs while they work.")] = True,
    as_json: AsJson = False,
) -> int:
    """Take material through the steps: what is done already and unchanged is left as it is.

    [bold]Ctrl-C[/] stops the run and leaves nothing half done; a second time, at once. `derush resume` goes on.
    """
    settings = load_settings()
    named = [*(inputs or []), *([DEMO_ARCHIVE] if demo else [])]
    made = _given_plan(plan, named, steps, workflow) if plan else plan_for(named, workflow, steps_named(steps))
    options = Options(force, fail_fast, device, engine, if_busy, kind, min_size, tuple(keyword or ()))
    store = open_store(settings)
    if dry_run:
        return _look_ahead(preview(store, settings, made, options), as_json=as_json)
    recorded = partial(record_run, store, made, options, priority)
    if detach:
        return carry_out_detached(store, recorded(), settings, as_json=as_json)
    return carry_out(recorded, settings, show_log=show_log, as_json=as_json)


def _look_ahead(told: Preview, *, as_json: bool) -> int:
    """Print what a run would do; returns the exit code that it would be refused with, if it would be."""
    if as_json:
        print(json.dumps(told.record(), indent=1))
    else:
        print_preview(Console(), told)
    return told.refusals[0].exit_code if told.refusals else Exit.OK


def _given_plan(path: Path, inputs: list[Path], steps: str | None, workflow: str | None) -> Plan:
    if inputs or steps or workflow:
        remedy = "Name them in the plan: `files`, and the tasks."
        raise ServiceError("wrong_usage", "--plan says all of that itself.", remedy, Exit.USAGE)
    return read_plan(path, partial(can_start, folder=REPOSITORY)).with_absolute_files()
