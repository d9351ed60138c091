"""What an earlier run left: the curves, with which other shots are found without the network, and a person's retuning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workflow_scripts.step3 import scene_files
from workflow_scripts.step3.scene_files import Seen
from workflow_scripts.step3.tuning import is_accepted
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.projects import Video
from workflow_scripts.stepkit.records import Record

Models = Mapping[str, str]
"""The sha256 of each model by name."""


def retuning(video: Video) -> dict[str, Any]:
    """Return the values that a person retuned the video to (`threshold`, `min_scene_frames`, or one of them); often none."""
    done = Record(video.project, video.stem).read()["steps"].get("STEP3")
    retuned = done["parameters"].get("retuned") if done else None
    if not isinstance(retuned, dict):
        return {}
    return {name: value for name, value in retuned.items() if name in RETUNABLE and is_accepted(name, value)}


RETUNABLE = ("threshold", "min_scene_frames")


def is_same(video: Video, models: Models) -> bool:
    """Tell whether the video and the models are those of the last time."""
    record = Record(video.project, video.stem)
    done = record.read()["steps"].get("STEP3")
    made_from = {record.relative(video.proxy): record.fingerprint(video.proxy)}
    return bool(done) and (done["models"], done["inputs"]) == (dict(models), made_from)


def kept_seen(video: Video, version: int, models: Models) -> Seen | None:
    """Return what the network saw if this version of the step asked it, about this very proxy, and the file is intact."""
    record = Record(video.project, video.stem)
    done = record.read()["steps"].get("STEP3")
    document = video.artefact("_scenes.json")
    if not done or not document.is_file() or done["version"] != version or not is_same(video, models):
        return None
    recorded = {made["path"]: made["sha256"] for made in done["artefacts"]}
    if recorded.get(record.relative(document)) != record.fingerprint(document):
        return None
    return scene_files.seen_of(json.loads(document.read_text(encoding="ascii")))


def nothing_kept(video: Video) -> ItemError:
    """Make the error for a video that cannot be retuned."""
    return ItemError(
        "no_curves", f"{video.proxy.name} has no curves that fit it: its shots were never found, or it has changed since.",
        "Run STEP3 on it first.",
    )  # fmt: skip
