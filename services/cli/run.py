"""`derush run`: a whole run; `derush step`: one step alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from config.catalog import StepSpec
from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import load_settings
from services.cli.carrying import carry_out, open_store
from services.cli.options import AsJson, console, to_person
from services.commands import environment as merged_environment
from services.environments import environments, require_built
from services.errors import ServiceError
from services.launcher import MOST_URGENT, record_run, start_detached
from services.options import Options
from services.planner import chosen_steps, make_plan, workflows
from services.plans import Plan, read_plan
from services.preparation import DEMO_ARCHIVE, require_inputs
from services.worker import step_command


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
    plan: Annotated[Path | None, typer.Option("--plan", metavar="FILE", help="Carry out this plan.")] = None,
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
    made = _given_plan(plan, named, steps, workflow) if plan else _new_plan(named, steps, workflow)
    store = open_store(settings)
    recorded = record_run(store, made, Options(force, dry_run, fail_fast, device, engine, if_busy), priority)
    if detach:
        start_detached(recorded.id, settings)
        to_person.print(f"Started: `derush status {recorded.id} --watch` shows it.", soft_wrap=True)
        print(recorded.id)
        return Exit.OK
    return carry_out(recorded, settings, show_log=show_log, as_json=as_json)


def _given_plan(path: Path, inputs: list[Path], steps: str | None, workflow: str | None) -> Plan:
    if inputs or steps or workflow:
        remedy = "Name them in the plan: `files`, and the tasks."
        raise ServiceError("wrong_usage", "--plan says all of that itself.", remedy, Exit.USAGE)
    return read_plan(path)


def _new_plan(inputs: list[Path], steps: str | None, workflow: str | None) -> Plan:
    """Make the plan of what was named on the command line."""
    known = workflows()
    name = workflow or "full"
    if name not in known:
        raise ServiceError(
            "no_such_workflow", f"There is no workflow {name}.", f"There are: {', '.join(known)}.", Exit.USAGE
        )
    try:
        chosen = None if workflow and not steps else chosen_steps(steps, list(declared_steps()))
    except ValueError as error:
        raise ServiceError("wrong_steps", f"{error}.", "See `derush run --help`.", Exit.USAGE) from None
    require_inputs(inputs, chosen or [step for phase in known[name].phases for step in phase.steps or ()])
    objective = f"{name}: {', '.join(path.name for path in inputs)}" if inputs else f"{name}: every project"
    made = make_plan(known[name], objective=objective, files=[str(path.absolute()) for path in inputs], steps=chosen)
    return made.without_tests()  # its validation looks at what all steps left, in one go


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
