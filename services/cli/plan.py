"""`derush plan`: from a request in plain words, or a workflow's name, to a plan that can be read, edited and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config.contract import Exit
from config.settings import load_settings
from services.cli.options import AsJson, to_person
from services.errors import ServiceError
from services.launching import plan_in_words, steps_named
from services.plans import Plan, plan_text


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
    made, why = plan_in_words(
        " ".join(request or []), workflow, files or [], steps_named(steps), settings, lambda path: Path(path).exists()
    )
    to_person.print(escape(why), soft_wrap=True, highlight=False)
    _tell(made, why, output, as_json)
    return Exit.OK


def _tell(made: Plan, why: str, output: Path | None, as_json: bool) -> None:
    """Print the plan or write it to a file, and say what it still needs."""
    first = made.tasks[0]
    if not first.files:
        further = "; name folders or archives under its `files` to bring in others" if first.step == "STEP1" else ""
        to_person.print(
            f"Nothing to work on is named: it takes every project there is{further}.", style="yellow", soft_wrap=True
        )
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
