"""What may stand beside a video's proxy: the artefacts that make it complete, and whatever else its steps recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.stepkit.projects import Video
from workflow_scripts.stepkit.records import Record


@dataclass(frozen=True)
class Kind:
    """One file a complete video has beside its proxy: how its name ends, what archives call it, who makes it."""

    suffix: str
    kind: str
    step: str


ARTEFACTS = (
    Kind("_source.json", "source", "STEP2"),
    Kind("_scenes.csv", "scenes_csv", "STEP3"),
    Kind("_scenes.json", "scenes", "STEP3"),
    Kind("_audio_raw.json", "audio_raw", "STEP4"),
    Kind("_tracking_raw.jsonl", "tracking_raw", "STEP5"),
    Kind("_audio.json", "audio", "STEP6"),
    Kind("_tracking.json", "tracking", "STEP6"),
)


@dataclass(frozen=True)
class Recorded:
    """A file that a step recorded beside the proxy."""

    kind: str
    step: str
    path: Path


def recorded_artefacts(video: Video) -> Iterator[Recorded]:
    """Yield what the steps recorded beside a video's proxy: pages of shots, transcripts, whatever a step may make."""
    for step, made in Record(video.project, video.stem).read()["steps"].items():
        for entry in made["artefacts"]:
            path = video.project.path / entry["path"]
            if path.parent == video.project.docs and path != video.proxy:
                yield Recorded(str(entry["kind"]), step, path)
