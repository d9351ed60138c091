"""The scenes that STEP3 found, as far as tracking needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.stepkit import ItemError

_REMEDY = "Run STEP3 on this video first, with --force if it ran before."


class Scene(NamedTuple):
    """One shot: frames `start` to `end`, 0-based, half-open."""

    start: int
    end: int


def read_scenes(path: Path, total_frames: int) -> list[Scene]:
    """Read `<stem>_scenes.json`.

    Raises ItemError `no_scenes` when it is missing, `bad_scenes` when it is damaged or does not cover the video's
    `total_frames` frames one scene after the other.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["scenes"]
        scenes = [Scene(int(scene["start_frame"]), int(scene["end_frame"])) for scene in known]
    except FileNotFoundError as error:
        raise ItemError("no_scenes", f"{path.name} is missing: tracks must end where a shot ends.", _REMEDY) from error
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise ItemError("bad_scenes", f"{path.name} is damaged ({error!r}).", _REMEDY) from error
    if not _covers(scenes, total_frames):
        sentence = f"The scenes of {path.name} do not cover the video's {total_frames} frames one after the other."
        raise ItemError("bad_scenes", sentence, _REMEDY)
    return scenes


def _covers(scenes: Sequence[Scene], total_frames: int) -> bool:
    starts = [0, *(scene.end for scene in scenes)]
    return starts == [*(scene.start for scene in scenes), total_frames] and all(a < b for a, b in scenes)
