"""From what a person asks for, in a shell, on a page or through the API, to a plan; and from a plan to a run that goes on
by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import Settings
from services.errors import ServiceError
from services.executions import Execution, Store, new_id, utc_now
from services.launcher import record_run, start_detached
from services.options import Options
from services.planner import Choice, choose, chosen_steps, make_plan, trigger_test, workflows
from services.plans import Plan
from services.preparation import require_inputs
from services.processes import identity
from services.requests import understand
from services.workflows import Workflow

_OURS = ".derush"


class Made(NamedTuple):
    """A plan, and why it became this one."""

    plan: Plan
    why: str


def plan_for(inputs: Sequence[Path], workflow: str | None, steps: Sequence[str] | None) -> Plan:
    """Make the plan of a workflow (by default `full`), or of some of its steps, on these inputs.

    Raises ServiceError no_such_workflow, wrong_steps, no_input.
    """
    chosen = workflow_named(workflow or "full").workflow
    require_inputs(inputs, steps or [step for phase in chosen.phases for step in phase.steps or ()])
    objective = f"{_what(chosen, steps)}: {named_briefly(inputs) or 'every project'}"
    made = make_plan(chosen, objective=objective, files=[str(path.absolute()) for path in inputs], steps=steps)
    return made.without_tests()  # its validation looks at what all steps left, in one go


def _what(workflow: Workflow, steps: Sequence[str] | None) -> str:
    """Name what a run does: its workflow, or the steps of it that were chosen."""
    of_all = [step for phase in workflow.phases for step in phase.steps or ()]
    return workflow.name if steps is None or set(steps) >= set(of_all) else ", ".join(steps)


def named_briefly(paths: Sequence[Path]) -> str:
    """Name files and folders in a line: the first three, and how many more."""
    more = f" and {len(paths) - 3} more" if paths[3:] else ""
    return ", ".join(path.name for path in paths[:3]) + more


def plan_in_words(
    request: str,
    workflow: str | None,
    files: Sequence[Path],
    steps: Sequence[str] | None,
    settings: Settings,
    exists: Callable[[str], bool],
) -> Made:
    """Make the plan that a request in plain words asks for. `exists` tells whether a path that it names is there.

    Raises ServiceError for what is not understood or not there.
    """
    known = workflows()
    if not request.strip() and workflow is None:
        remedy = f"Say what is to be done, or take a workflow: {', '.join(known)}."
        raise ServiceError("no_request", "Nothing was asked for.", remedy, Exit.USAGE)
    require_inputs(files, [])
    understood = understand(request, _projects(settings), trigger_test(known), exists, _videos(settings))
    choice = workflow_named(workflow) if workflow else choose(understood.text, known)
    named = [settings.projects_dir / name for name in understood.projects]
    inputs = [*named, *(Path(path) for path in understood.paths), *files]
    if not inputs and not any(phase.steps for phase in choice.workflow.phases):
        inputs = [settings.projects_dir / name for name in _projects(settings)]  # a command takes what it is told of
    paths = list(dict.fromkeys(str(path.absolute()) for path in inputs))
    objective = request if request.strip() else choice.workflow.about
    return Made(make_plan(choice.workflow, objective=objective, files=paths, steps=steps), choice.why)


def workflow_named(name: str) -> Choice:
    """Return the declared workflow of a name. Raises ServiceError no_such_workflow."""
    known: dict[str, Workflow] = workflows()
    if name not in known:
        raise ServiceError(
            "no_such_workflow", f"There is no workflow {name}.", f"There are: {', '.join(known)}.", Exit.USAGE
        )
    return Choice(known[name], f"{name} was named: {known[name].about}.")


def steps_named(text: str | None) -> list[str] | None:
    """Read a choice of steps such as `1-3,6`; None when none was made. Raises ServiceError wrong_steps."""
    try:
        return None if text is None else chosen_steps(text, list(declared_steps()))
    except ValueError as error:
        raise ServiceError("wrong_steps", f"{error}.", "Leave --steps out for all of them.", Exit.USAGE) from None


def _projects(settings: Settings) -> list[str]:
    """Return the names of the projects there are."""
    try:
        return sorted(entry.name for entry in settings.projects_dir.iterdir() if entry.is_dir() and entry.name != _OURS)
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"The projects in {settings.projects_dir} cannot be listed ({error.strerror})."
        raise ServiceError("projects_unreadable", message, "Check PROJECTS_DIR and its permissions.") from None


def _videos(settings: Settings) -> dict[str, str]:
    """Return the path of each proxy there is by `project/name`; a proxy has its facts beside it."""
    found = sorted(settings.projects_dir.glob("*/docs/*.mp4"))
    return {
        f"{path.parents[1].name}/{path.name}": str(path)
        for path in found
        if path.with_name(f"{path.stem}_source.json").exists()
    }


class Launched(NamedTuple):
    """A run that was launched; `is_new` is False when the same had been asked for already."""

    run: Execution
    is_new: bool


def launch(
    store: Store,
    settings: Settings,
    plan: Plan,
    options: Options,
    priority: int = 0,
    key: str | None = None,
    *,
    may_wait: bool = True,
) -> Launched:
    """Record a run and let a process of its own carry it out; returns at once.

    Whoever asks twice with the same key starts one run. Raises ServiceError key_used when the key started something else,
    run_goes_on when it would have to wait for others and may not, and cannot_start.
    """
    run_id = _run_id(key) if key else new_id()
    if not may_wait:
        _require_turn(store, settings, run_id)
    try:
        run = record_run(store, plan, options, priority, run_id)
    except ServiceError as error:
        if error.code != "run_is_recorded":
            raise
        return Launched(_same_run(store.get(run_id), plan, options), is_new=False)
    start(store, settings, run)
    return Launched(run, is_new=True)


def _require_turn(store: Store, settings: Settings, run_id: str) -> None:
    active = store.active_runs()
    is_sent_again = any(run.id == run_id for run in active)
    if len(active) >= settings.max_concurrent_runs and not is_sent_again:
        goes_on = next((run for run in active if run.status == "running"), active[0])
        raise ServiceError(
            "run_goes_on",
            f"{goes_on.id} ({goes_on.message}) goes on; runs at a time: {settings.max_concurrent_runs} (MAX_CONCURRENT_RUNS).",
            "Wait for its end, or queue this one behind it.",
        )


def start(store: Store, settings: Settings, run: Execution) -> None:
    """Start the process that carries out a queued run. Raises ServiceError cannot_start; then the run has failed."""
    try:
        pid = start_detached(run.id, settings)
    except OSError as error:
        message = f"The run cannot be started ({error.strerror}: {error.filename or 'a new process'})."
        failed = ServiceError("cannot_start", message, "Check LOGS_DIR, memory and disk, then start it again.")
        store.end_run(run.id, ["queued"], "failed", "it could not be started", error=failed.record())
        raise failed from None
    with suppress(ServiceError):  # so that it is noticed at once if it dies; it says so itself, too
        store.change(run.id, ["queued"], owner=identity(pid), heartbeat_at=utc_now())


def _run_id(key: str) -> str:
    """Return the id of the run that a key starts: the database lets nobody make it twice."""
    return f"exec_{hashlib.sha256(b'launch ' + key.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _same_run(run: Execution, plan: Plan, options: Options) -> Execution:
    if (run.plan, run.parameters) != (plan.record(), options.record()):
        raise ServiceError(
            "key_used", f"This was sent already and started {run.id}, and now asks for something else.",
            "Reload the page, or take a new key, then start it.",
        )  # fmt: skip
    return run
