"""What an archive says of a video and its artefacts, gathered from the records that the steps left."""

from __future__ import annotations

from typing import Any

from services.results_archiver import Artefact, Subject
from workflow_scripts.step7.contents import ARTEFACTS, Clip, Kind
from workflow_scripts.stepkit.projects import Video
from workflow_scripts.stepkit.records import Record

_ORIGINAL_FACTS = ("name", "bytes", "container", "duration", "frames", "start_timecode", "drop_frame")
_STREAM_FACTS = ("rate", "variable_rate")


def subject_of(clip: Clip) -> Subject:
    """Return a complete video as it is archived, with the facts that a person looks for first."""
    original, stream = clip.original, clip.original.get("video") or {}
    source: dict[str, Any] = {name: original[name] for name in _ORIGINAL_FACTS if name in original}
    source |= {name: stream[name] for name in _STREAM_FACTS if name in stream}
    source["proxy_frames"] = clip.proxy["frames"]
    video = clip.video
    return Subject(video.project.name, video.stem, str(original["sha256"]), str(video.proxy), source)


def artefacts_of(video: Video) -> list[Artefact]:
    """Return the artefacts of a complete video, each with how it was made as far as that is recorded."""
    record = Record(video.project, video.stem)
    steps = record.read()["steps"]
    return [_artefact(video, wanted, record, steps) for wanted in ARTEFACTS]


def _artefact(video: Video, wanted: Kind, record: Record, steps: dict[str, Any]) -> Artefact:
    path = video.artefact(wanted.suffix)
    sha256 = record.fingerprint(path)
    made = steps.get(wanted.step)
    # A file that was changed by hand since is archived as it is, and not said to be the step's.
    recorded = {entry["path"]: entry["sha256"] for entry in made["artefacts"]} if made else {}
    if made is None or recorded.get(record.relative(path)) != sha256:
        return Artefact(wanted.kind, path, sha256)
    return Artefact(wanted.kind, path, sha256, made["step"], made["version"], made["parameters"], made["models"])
