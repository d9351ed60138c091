"""`derush plan`: from a request in plain words, or a workflow's name, to a plan that can be read, edited and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config.catalog import steps as declared_steps
from config.contract import Exit
from config.settings import Settings, load_settings
from services.cli.options import AsJson, to_person
from services.errors import ServiceError
from services.planner import Choice, choose, chosen_steps, make_plan, trigger_test, workflows
from services.plans import Plan, plan_text
from services.requests import Understood, understand
from services.workflows import Workflow

_OURS = ".derush"


def plan(
    request: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REQUEST", help="What is to be done, in French or English; may name projects and paths."
        ),
    ] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Take this workflow, whatever fits.")] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="A folder, archive, project or video to work on; repeatable.")
    ] = None,
    steps: Annotated[str | None, typer.Option("--steps", metavar="1-3,6", help="Only these steps.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the plan to this new file.")] = None,
    as_json: AsJson = False,
) -> int:
    """Choose the workflow that fits a request, and print the plan it makes: `derush run --plan FILE` carries it out."""
    settings = load_settings()
    known = workflows()
    text = " ".join(request or [])
    if not text.strip() and workflow is None:
        remedy = f"Say what is to be done, or take a workflow by --workflow: {', '.join(known)}."
        raise ServiceError("no_request", "Nothing was asked for.", remedy, Exit.USAGE)
    understood = understand(text, _projects(settings), trigger_test(known), lambda path: Path(path).exists())
    choice = choose(understood.text, known) if workflow is None else _named(workflow, known)
    inputs = _inputs(understood, files or [], choice.workflow, settings)
    made = make_plan(choice.workflow, objective=text or choice.workflow.about, files=inputs, steps=_steps(steps))
    to_person.print(escape(choice.why), soft_wrap=True, highlight=False)
    _tell(made, choice.why, output, as_json)
    return Exit.OK


def _projects(settings: Settings) -> list[str]:
    """Return the names of the projects there are."""
    try:
        return sorted(entry.name for entry in settings.projects_dir.iterdir() if entry.is_dir() and entry.name != _OURS)
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"The projects in {settings.projects_dir} cannot be listed ({error.strerror})."
        raise ServiceError("projects_unreadable", message, "Check PROJECTS_DIR and its permissions.") from None


def _named(name: str, known: dict[str, Workflow]) -> Choice:
    if name not in known:
        raise ServiceError(
            "no_such_workflow", f"There is no workflow {name}.", f"There are: {', '.join(known)}.", Exit.USAGE
        )
    return Choice(known[name], f"{name} was named: {known[name].about}.")


def _inputs(understood: Understood, files: list[Path], workflow: Workflow, settings: Settings) -> list[str]:
    """Return what the plan works on, as absolute paths; what looks at projects and was told of none looks at all."""
    for path in files:
        if not path.exists():
            raise ServiceError("no_input", f"{path} does not exist.", "Check the path.", Exit.USAGE)
    named = [settings.projects_dir / name for name in understood.projects]
    inputs = [*named, *(Path(path) for path in understood.paths), *files]
    if not inputs and not any(phase.steps for phase in workflow.phases):
        inputs = [settings.projects_dir / name for name in _projects(settings)]
    return list(dict.fromkeys(str(path.absolute()) for path in inputs))


def _steps(text: str | None) -> list[str] | None:
    try:
        return chosen_steps(text, list(declared_steps())) if text is not None else None
    except ValueError as error:
        raise ServiceError("wrong_steps", f"{error}.", "See `derush plan --help`.", Exit.USAGE) from None


def _tell(made: Plan, why: str, output: Path | None, as_json: bool) -> None:
    """Print the plan or write it to a file, and say what it still needs."""
    first = made.tasks[0]
    if not first.files:
        needed = "name folders or archives under its `files`" if first.step == "STEP1" else "it takes every project"
        to_person.print(f"Nothing to work on is named: {needed}.", style="yellow", soft_wrap=True)
    if output:
        _write(output, plan_text(made))
        to_person.print(f"Written to {escape(str(output))}.", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps({"workflow": made.workflow, "why": why, "plan": made.record()}, indent=1))
    elif not output:
        print(plan_text(made), end="")


def _write(path: Path, text: str) -> None:
    """Write a new file: one that is there may hold somebody's edits."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ServiceError("file_exists", f"{path} is there already.", "Name a new file.", Exit.USAGE) from None
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror})."
        raise ServiceError("cannot_write", message, "Check the folder.", Exit.USAGE) from None
