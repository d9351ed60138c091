"""What several commands share: consoles, options."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

console = Console()
"""Results."""
to_person = Console(stderr=True)
"""What is said beside results."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing when there is nothing to do.")]
Names = Annotated[list[str] | None, typer.Argument(help="Which ones; none means all.")]
Development = Annotated[bool, typer.Option("--dev", help="With what the tests need.")]
