"""`derush step`: one step's script alone."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from config.contract import Exit
from config.settings import load_settings
from services.cli.options import console, step_named
from services.commands import environment as merged_environment
from services.environments import environments, require_built
from services.worker import step_command


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
