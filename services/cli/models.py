"""`derush models`: the model files."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.table import Table

from config.catalog import ModelSpec
from config.catalog import models as declared_models
from config.contract import Exit
from config.settings import load_settings
from services.cli.options import AsJson, Names, Quiet, console, named, report_problems, to_person
from services.model_files import fetch, model_path, problem_of, wanted

app = typer.Typer(no_args_is_help=True, help="The model files that steps load.")


def _chosen_models(names: list[str] | None, models_dir: Path) -> list[ModelSpec]:
    chosen = named(names, declared_models(), "model")
    return chosen if names else wanted(chosen, models_dir)


@app.command("list")
def models_list(as_json: AsJson = False) -> int:
    """Show the models: which step needs them, their licence, whether they are there."""
    settings = load_settings()
    rows = [
        {"name": m.name, "step": m.step, "about": m.about, "licence": m.licence, "bytes": m.bytes, "sha256": m.sha256,
         "origin": m.package or m.url, "path": str(model_path(m, settings.models_dir)),
         "present": model_path(m, settings.models_dir).is_file(), "optional": m.optional}
        for m in declared_models().values()
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=1))
        return Exit.OK
    table = Table(box=None)
    for column in ("Model", "Step", "What it gives", "Licence", "MB", "State"):
        table.add_column(column)
    for spec, row in zip(declared_models().values(), rows, strict=True):
        state = "[green]there[/]" if row["present"] else "optional" if spec.optional else "[yellow]missing[/]"
        table.add_row(
            spec.name, spec.step, spec.about, spec.licence, f"{sum(file.bytes for file in spec.files) / 1e6:.1f}", state
        )
    console.print(table)
    return Exit.OK


@app.command("fetch")
def models_fetch(names: Names = None, quiet: Quiet = False) -> int:
    """Fetch the models that are missing or damaged, and verify them. Optional ones are fetched when they are named."""
    settings = load_settings()
    fetched = fetch(
        _chosen_models(names, settings.models_dir),
        settings.models_dir,
        lambda text: to_person.print(text, highlight=False),
    )
    if not quiet or fetched:
        to_person.print(f"{len(fetched)} fetched; all that were asked for are in {settings.models_dir}", soft_wrap=True)
    return Exit.OK


@app.command("verify")
def models_verify(names: Names = None, as_json: AsJson = False) -> int:
    """Check each model's size and sha256. Ends with 3 if one is missing or damaged."""
    settings = load_settings()
    problems = {spec.name: problem_of(spec, settings.models_dir) for spec in _chosen_models(names, settings.models_dir)}
    return report_problems(problems, "derush models fetch", as_json)
