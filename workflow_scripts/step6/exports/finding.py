"""Which videos a person means: by path, or by names below the folders of projects."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from config.settings import Settings
from workflow_scripts.stepkit.errors import UsageError
from workflow_scripts.stepkit.projects import Project, Video, projects_below


def find_videos(targets: Sequence[str], settings: Settings) -> list[Video]:
    """Return the videos of every target, each once.

    A target is the path of a project, of a proxy or of an original, or `project`, `project/video` or `video` by name: below
    PROJECTS_DIR, else where STEP7 moved projects to. Raises UsageError for one that is none of these, or several.
    """
    return list(dict.fromkeys(video for target in targets for video in _videos(target, settings)))


def _videos(target: str, settings: Settings) -> list[Video]:
    path = Path(os.path.abspath(target))  # without `..`: it is compared with the paths of videos
    if found := (_at(path) if path.exists() else []) or _by_name(target, settings):
        return found
    remedy = (
        f"Give the path of one, or a name of a project below {settings.projects_dir}; STEP2 makes videos of originals."
    )
    raise UsageError("no_such_video", f"{target} is no video and no project with videos.", remedy)


def _at(path: Path) -> list[Video]:
    if path.is_dir():
        return Project(path).videos()
    for folder in path.parents:
        project = Project(folder)
        if project.docs.is_dir():
            found = [video for video in project.videos() if path in (video.proxy, _original(video))]
            if found:
                return found
    return []


def _original(video: Video) -> Path | None:
    try:
        known = json.loads(video.artefact("_source.json").read_text(encoding="utf-8"))
        return Path(video.project.path / known["original"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _by_name(target: str, settings: Settings) -> list[Video]:
    parts = PurePosixPath(target).parts
    if not parts or ".." in parts or PurePosixPath(target).is_absolute():
        return []
    places = [settings.projects_dir, settings.output_dir, settings.fallback_output_dir]
    for projects in (projects_below(place) for place in places if place):
        if len(parts) == 1 and (whole := [project for project in projects if project.name == target]):
            return whole[0].videos()
        owner = [project for project in projects if len(parts) == 1 or project.name == parts[0]]
        found = [video for project in owner for video in project.videos() if video.stem == parts[-1]]
        if len(found) > 1:
            names = ", ".join(f"{video.project.name}/{video.stem}" for video in found)
            raise UsageError("several_videos", f"Several videos are called {target}.", f"Say which one: {names}.")
        if found and len(parts) <= 2:
            return found
    return []
