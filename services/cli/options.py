"""What several commands share: consoles, options, what names mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from config.catalog import StepSpec, steps
from config.contract import Exit
from services.errors import ServiceError

console = Console()
"""Results."""
to_person = Console(stderr=True)
"""What is said beside results."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing when there is nothing to do.")]
Names = Annotated[list[str] | None, typer.Argument(help="Which ones; none means all.")]
Development = Annotated[bool, typer.Option("--dev", help="With what the tests need.")]
Named = TypeVar("Named")


def named(names: list[str] | None, known: Mapping[str, Named], what: str) -> list[Named]:
    """Return those of the known things that were named, or all. Raises ServiceError for a name that none has."""
    if unknown := set(names or []) - set(known):
        sentence = f"There is no {what} {', '.join(sorted(unknown))}."
        raise ServiceError(f"no_such_{what}", sentence, f"There are: {', '.join(known)}.", Exit.USAGE)
    return [known[name] for name in names or known]


def step_named(text: str) -> StepSpec:
    """Return the step that `STEP3`, `step3` or `3` names. Raises ServiceError when there is none."""
    step_id = text.upper() if text.upper().startswith("STEP") else f"STEP{text}"
    if step_id not in steps():
        raise ServiceError("no_such_step", f"There is no {text}.", f"Steps: {', '.join(steps())}.", Exit.USAGE)
    return steps()[step_id]


def report_problems(problems: Mapping[str, str | None], remedy: str, as_json: bool) -> int:
    """Say of each thing what is wrong with it, and what mends it; returns the exit code."""
    if as_json:
        print(json.dumps(problems, indent=1))
    for name, problem in problems.items() if not as_json else ():
        console.print(f"[red]✗[/] {name}: {problem}. Run `{remedy} {name}`." if problem else f"[green]✓[/] {name}")
    return Exit.PREREQUISITE if any(problems.values()) else Exit.OK
