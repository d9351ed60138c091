"""The curves of an earlier run: with them other shots are found without the network and without decoding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workflow_scripts.step3 import scene_files
from workflow_scripts.step3.scene_files import Thousandths
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.projects import Video
from workflow_scripts.stepkit.records import Record


def parameters_before(video: Video) -> Mapping[str, Any]:
    """Return the parameters that the video's shots were found with the last time; none if they never were."""
    done = Record(video.project, video.stem).read()["steps"].get("STEP3")
    return done["parameters"] if done else {}


def kept_curves(video: Video, version: int, models: Mapping[str, str]) -> dict[str, Thousandths] | None:
    """Return both curves if this version of the step made them, of this very proxy and with these models, and they are intact."""
    record = Record(video.project, video.stem)
    done = record.read()["steps"].get("STEP3")
    document = video.artefact("_scenes.json")
    if not done or not document.is_file():
        return None
    made_from = {record.relative(video.proxy): record.fingerprint(video.proxy)}
    if (done["version"], done["models"], done["inputs"]) != (version, dict(models), made_from):
        return None
    recorded = {made["path"]: made["sha256"] for made in done["artefacts"]}
    if recorded.get(record.relative(document)) != record.fingerprint(document):
        return None
    curve = json.loads(document.read_text(encoding="ascii"))["curve"]
    return {head: scene_files.from_run_lengths(curve[head]) for head in scene_files.HEADS}


def nothing_kept(video: Video) -> ItemError:
    """Make the error for a video that cannot be retuned."""
    return ItemError(
        "no_curves", f"{video.proxy.name} has no curves that fit it: its shots were never found, or it has changed since.",
        "Run STEP3 on it first.",
    )  # fmt: skip
