"""What an archive says of a video and its artefacts, gathered from the records that the steps left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.results_archiver import Artefact, Subject
from workflow_scripts.step7.artefacts import ARTEFACTS, recorded_artefacts
from workflow_scripts.step7.contents import Clip
from workflow_scripts.stepkit.projects import Video
from workflow_scripts.stepkit.records import Record

_ORIGINAL_FACTS = ("name", "bytes", "container", "duration", "frames", "start_timecode", "drop_frame", "timecode_rate")
_STREAM_FACTS = (
    "codec", "width", "height", "rotation", "rate", "average_rate", "variable_rate", "time_base", "pixel_format", "color",
)  # fmt: skip
_STEP_FACTS = ("version", "finished_at", "seconds", "host", "python", "packages", "device", "inputs")


def subject_of(clip: Clip) -> Subject:
    """Return a video as it is archived, with the facts that a person looks for first."""
    original, stream = clip.original, clip.original.get("video") or {}
    source: dict[str, Any] = {name: original[name] for name in _ORIGINAL_FACTS if name in original}
    source |= {name: stream[name] for name in _STREAM_FACTS if name in stream}
    source["proxy_frames"] = clip.proxy["frames"]
    video = clip.video
    recorded = Record(video.project, video.stem).read()["steps"]
    steps = {
        name: {fact: made[fact] for fact in _STEP_FACTS if fact in made} for name, made in sorted(recorded.items())
    }
    return Subject(
        video.project.name, video.stem, str(original["sha256"]), str(video.proxy), source, steps, clip.missing,
        is_accepted=clip.is_accepted,
    )  # fmt: skip


def artefacts_of(video: Video) -> list[Artefact]:
    """Return the artefacts that a video has, each with how it was made as far as that is recorded."""
    record = Record(video.project, video.stem)
    steps = record.read()["steps"]
    wanted = {video.artefact(each.suffix): (each.kind, each.step) for each in ARTEFACTS}
    for each in recorded_artefacts(video):
        wanted.setdefault(each.path, (each.kind, each.step))  # two steps may have recorded one file
    there = {path: made for path, made in wanted.items() if path.is_file() and not path.is_symlink()}
    return [_artefact(kind, path, record, steps.get(step)) for path, (kind, step) in there.items()]


def _artefact(kind: str, path: Path, record: Record, made: dict[str, Any] | None) -> Artefact:
    sha256 = record.fingerprint(path)
    # A file that was changed by hand since is archived as it is, and not said to be the step's.
    recorded = {entry["path"]: entry["sha256"] for entry in made["artefacts"]} if made else {}
    if made is None or recorded.get(record.relative(path)) != sha256:
        return Artefact(kind, path, sha256)
    return Artefact(kind, path, sha256, made["step"], made["version"], made["parameters"], made["models"])
