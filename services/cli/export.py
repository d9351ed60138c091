"""`derush export`: what editing programs, players and annotation tools open."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from config.settings import REPOSITORY, load_settings
from services.cli.options import AsJson
from services.commands import environment as merged_environment
from services.environments import environments, require_built

_SCRIPT = "workflow_scripts/step6/export_videos.py"


def export(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO|PROJECT", help="By path or by name: `project`, `project/video`, `video`."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="FORMAT[,FORMAT…]", help="Formats, or `all`; none means those of EXPORTS."),
    ] = None,
    against: Annotated[
        Literal["original", "proxy"], typer.Option("--against", help="What the timeline is cut from.")
    ] = "original",
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FOLDER", help="Where files go; default: `exports` in the project."),
    ] = None,
    paths: Annotated[
        Literal["relative", "absolute"], typer.Option("--paths", help="How media are named; absolute needs --output.")
    ] = "relative",
    force: Annotated[bool, typer.Option("--force", help="Replace other files in --output.")] = False,
    shown: Annotated[bool, typer.Option("--list", help="List the formats and what opens them, and stop.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write shots, speech and tracks as other programs read them, against the originals: `derush export --list`.

    What cannot be made is said with its remedy, and the exit code is 1.
    """
    environment = environments(load_settings())["env"]
    require_built(environment)
    flags = {"--force": force, "--list": shown, "--json": as_json}
    arguments = [*(f"--to={formats}" for formats in to or ()), f"--against={against}", f"--paths={paths}"]
    arguments += [f"--output={output}"] if output else []
    arguments += [name for name, is_set in flags.items() if is_set]
    command = [str(environment.interpreter), str(REPOSITORY / _SCRIPT), *arguments, "--", *(targets or ())]
    return os.execve(command[0], command, merged_environment(environment.variables))
