"""`derush scenes`: the shots that STEP3 found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from config.catalog import steps
from config.contract import Exit
from config.settings import Settings, load_settings
from services.commands import environment as merged_environment
from services.environments import environments, require_built
from services.errors import ServiceError
from services.worker import step_command

app = typer.Typer(no_args_is_help=True, help="The shots that STEP3 found.")
app.callback()(lambda: None)  # with it a single command keeps its name


@app.command("retune")
def scenes_retune(
    video: Annotated[
        str,
        typer.Argument(metavar="VIDEO", help="A proxy's path, its name, or `project/name`; with or without `.mp4`."),
    ],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability that a frame of a transition exceeds.")
    ] = None,
    min_scene_frames: Annotated[
        int | None,
        typer.Option("--min-scene-frames", min=1, max=10_000, help="Shots shorter than this join a neighbour."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to the values of the settings.")] = False,
) -> int:
    """Find a video's shots anew with another threshold: no model runs, nothing is decoded.

    Later runs of STEP3 keep to it until the video or the model changes; what was made from the shots before is out of date.
    """
    settings = load_settings()
    if reset != (threshold is None and min_scene_frames is None):
        raise ServiceError("nothing_to_retune", "What to retune to is not clear.", "Give --threshold, --min-scene-frames or both; or --reset alone.", Exit.USAGE)  # fmt: skip
    proxy = proxy_named(video, settings)
    chosen = {"--threshold": threshold, "--min-scene-frames": min_scene_frames}
    options = [word for name, value in chosen.items() if value is not None for word in (name, str(value))]
    spec = steps()["STEP3"]
    environment = environments(settings)[spec.environment]
    require_built(environment)
    command = step_command(spec, environment, "--retune", "--videos", "-", *options)
    item = json.dumps({"path": str(proxy), "project": str(proxy.parent.parent)}) + "\n"
    return subprocess.run(command, input=item, text=True, env=merged_environment(environment.variables)).returncode


def proxy_named(text: str, settings: Settings) -> Path:
    """Return the proxy that a path, a name or `project/name` means. Raises ServiceError for none and for several."""
    project, _, name = text.rpartition("/")
    stem = name.removesuffix(".mp4")
    if Path(text).is_file():
        return Path(text).absolute()
    folders = sorted(settings.projects_dir.iterdir()) if settings.projects_dir.is_dir() else []
    proxies = [it / "docs" / f"{stem}.mp4" for it in folders if project in ("", it.name)]
    found = [proxy for proxy in proxies if proxy.is_file()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ServiceError("no_such_video", f"There is no video {text}.", "Name a proxy: `project/name`, or its path.", Exit.USAGE)  # fmt: skip
    meant = ", ".join(f"{proxy.parents[1].name}/{stem}" for proxy in found)
    raise ServiceError("several_videos", f"Several projects have a video {text}.", f"Name one: {meant}.", Exit.USAGE)
