"""The commands that do in a shell what a page does: written as a person would type them, each checked to mean the same."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from services.errors import ServiceError
from services.executions import Execution
from services.options import Options
from services.planner import make_plan, workflows
from services.plans import Plan
from services.statuses import ACTIVE


def run_command(run: Execution) -> tuple[str, bool]:
    """Return the command that starts the same run, and whether it needs the run's plan in a file named `plan.yaml`.

    Inputs, workflow and steps are named where that makes exactly the plan that was carried out.
    """
    if not run.plan:
        return "derush run", False
    plan = Plan.from_record(run.plan)
    named = _named(plan)
    options = [*_options(Options.from_record(run.parameters)), *_priority(run.priority)]
    return _shell("derush", "run", *(named or ["--plan", "plan.yaml"]), *options), named is None


def _named(plan: Plan) -> list[str] | None:
    """Return the arguments that make this plan; None when there are none."""
    files = next((task.files for task in plan.tasks if not task.depends), ())
    steps = [task.step for task in plan.tasks if task.step]
    workflow = [] if plan.workflow == "full" else ["--workflow", plan.workflow]
    for chosen in (None, steps):
        if _makes(plan, files, chosen):
            numbers = ",".join(step.removeprefix("STEP") for step in chosen or ())
            return [*files, *workflow, *(["--steps", numbers] if chosen else [])]
    return None


def _makes(plan: Plan, files: Sequence[str], steps: Sequence[str] | None) -> bool:
    known = workflows().get(plan.workflow)
    if known is None:
        return False
    try:
        made = make_plan(known, objective=plan.objective, files=files, steps=steps)
    except ServiceError:  # the workflow was changed since, or a name is no UTF-8
        return False
    return made.without_tests() == plan


def _options(options: Options) -> list[str]:
    default = Options()
    chosen = ["--force"] if options.force else []
    chosen += ["--fail-fast"] if options.fail_fast else []
    chosen += ["--device", options.device] if options.device != default.device else []
    chosen += ["--engine", options.engine] if options.engine else []
    chosen += ["--if-busy", options.if_busy] if options.if_busy != default.if_busy else []
    return chosen + options.filters()


def _priority(priority: int) -> list[str]:
    return [f"--priority={priority}"] if priority else []


def steering_commands(run: Execution, *, has_failures: bool) -> list[str]:
    """Return the commands that make sense for a run as it is."""
    commands = [["status", run.id, *(["--watch"] if run.status in ACTIVE else [])], ["show", run.id]]
    if run.status in ACTIVE:
        commands += [["resume" if run.is_paused else "pause", run.id], ["cancel", run.id]]
    if run.status == "interrupted":
        commands += [["resume", run.id], ["cancel", run.id]]
    if has_failures:
        commands += [["retry", run.id], ["accept", run.id]]
    return [_shell("derush", *command) for command in commands]


def part_commands(part: Execution) -> list[str]:
    """Return the commands for a step or a task of a run."""
    commands = [["show", part.id]]
    if part.status in ACTIVE:
        commands.append(["cancel", part.id])
    if part.status in {"failed", "cancelled"}:
        commands.append(["retry", part.id])
    if part.status == "failed":
        commands.append(["accept", part.id])
    return [_shell("derush", *command) for command in commands]


def again_from(run_id: str, step: str) -> str:
    """Return the command that does a step of a run again, and what follows."""
    return _shell("derush", "retry", run_id, "--from", step)


def _shell(*words: str) -> str:
    return shlex.join(words)
