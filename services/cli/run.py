"""`derush run`: a whole run; `derush step`: one step alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer
from rich.console import Console

from config.catalog import StepSpec
from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import load_settings
from services.cli.console import RunView, Silence
from services.cli.options import AsJson, console, to_person
from services.cli.summary import print_summary, summary
from services.commands import environment as merged_environment
from services.environments import environments, require_built
from services.errors import ServiceError
from services.preparation import DEMO_ARCHIVE, prepare, require_inputs, require_prerequisites
from services.supervisor import Options, Supervisor, chosen_steps
from services.worker import step_command


def run(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, archives or videos to take in; or projects that are there already."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Take the demo footage that comes with Derush.")] = False,
    steps: Annotated[str | None, typer.Option("--steps", metavar="1-3,6", help="Only these steps.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is up to date.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast/--keep-going", help="Stop at the first failure, or go on with the rest.")
    ] = False,
    engine: Annotated[str | None, typer.Option("--engine", help="Tracking engine of STEP5.")] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option("--device", help="Where models run; tracking goes to a GPU by STEP5_ENABLE_GPU only."),
    ] = "auto",
    show_log: Annotated[bool, typer.Option("--log/--no-log", help="Show the steps' logs while they work.")] = True,
    as_json: AsJson = False,
) -> int:
    """Take material through the steps: what is done already and unchanged is left as it is.

    [bold]Ctrl-C[/] stops the run and leaves nothing half done; a second time, at once. Run it again to go on.
    """
    settings = load_settings()
    try:
        chosen = chosen_steps(steps, list(declared_steps()))
    except ValueError as error:
        raise ServiceError("wrong_steps", f"{error}.", "See `derush run --help`.", Exit.USAGE) from None
    named = [*(inputs or []), *([DEMO_ARCHIVE] if demo else [])]
    require_inputs(named, chosen)
    options = Options(force, dry_run, fail_fast, device, engine)
    require_prerequisites(chosen, settings, options.arguments)
    flow = prepare(named, chosen, settings, lambda text: to_person.print(text, style="yellow", soft_wrap=True))
    silent = Silence()
    view = RunView(Console(), show_log=show_log)
    supervisor = Supervisor(flow, environments(settings), options, silent if as_json else view)
    _stop_on_signals(supervisor, to_person.print if as_json else view.note)
    if as_json:
        result = supervisor.run()
    else:
        with view:
            result = supervisor.run()
    told = summary(result, settings)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        print_summary(console, told, settings)
    return result.exit_code


def _stop_on_signals(supervisor: Supervisor, say: Callable[[str], None]) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        supervisor.interrupt()
        say("Stopping… (Ctrl-C again stops at once)")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def step(
    context: typer.Context, step_id: Annotated[str, typer.Argument(metavar="STEP", help="STEP1 to STEP7.")]
) -> int:
    """Run one step's script under its own environment's interpreter, with the arguments that follow."""
    settings = load_settings()
    if step_id in {"--help", "-h"}:
        console.print("derush step STEP1…STEP7 ARGUMENT…   (`derush step STEP3 --help` shows the step's own options)")
        return Exit.OK
    spec = step_named(step_id)
    environment = environments(settings)[spec.environment]
    require_built(environment)
    command = step_command(spec, environment, *context.args)
    return os.execve(command[0], command, merged_environment(environment.variables))


def step_named(text: str) -> StepSpec:
    """Return the step that `STEP3`, `step3` or `3` names. Raises ServiceError when there is none."""
    step_id = text.upper() if text.upper().startswith("STEP") else f"STEP{text}"
    if step_id not in declared_steps():
        raise ServiceError("no_such_step", f"There is no {text}.", f"Steps: {', '.join(declared_steps())}.", Exit.USAGE)
    return declared_steps()[step_id]
