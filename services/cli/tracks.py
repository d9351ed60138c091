"""`derush tracks`: the tracks that STEP5 found."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from config.catalog import steps
from config.settings import REPOSITORY, load_settings
from services.cli.scenes import proxy_named
from services.commands import environment as merged_environment
from services.environments import environments, require_built

app = typer.Typer(no_args_is_help=True, help="The tracks that STEP5 found.")
app.callback()(lambda: None)  # with it a single command keeps its name
_SCRIPT = "workflow_scripts/step5/preview_tracks.py"


@app.command("preview")
def tracks_preview(
    video: Annotated[
        str,
        typer.Argument(metavar="VIDEO", help="A proxy's path, its name, or `project/name`; with or without `.mp4`."),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE|FOLDER", help="Where it goes; default: `<name>_tracks.mp4`, here."),
    ] = None,
    scale: Annotated[float, typer.Option(min=0.1, max=1, help="Of the proxy's size.")] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> int:
    """Make a video to look at: boxes with ids, names of people, who speaks, scene and timecode, with the proxy's sound.

    It is H.264, and goes outside of projects: a video in a project is taken for one that was delivered.
    """
    settings = load_settings()
    proxy = proxy_named(video, settings)
    environment = environments(settings)[steps()["STEP5"].environment]
    require_built(environment)
    arguments = [f"--scale={scale}", *([f"--output={output}"] if output else []), *(["--force"] if force else [])]
    command = [str(environment.interpreter), str(REPOSITORY / _SCRIPT), *arguments, "--", str(proxy)]
    return os.execve(command[0], command, merged_environment(environment.variables))
