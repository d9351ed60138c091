"""Videos with everything that an export reads, written by hand: an original of any rate and length, without its pixels."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema

from workflow_scripts.step6.exports.files import Order, prepare
from workflow_scripts.step6.exports.timeline import Export
from workflow_scripts.stepkit.frame_map import FrameMap, proxy_frame_count
from workflow_scripts.stepkit.projects import Project, Video

SCHEMAS = Path(__file__).resolve().parents[3] / "docs/schemas"
F = Fraction


def valid(name: str, document: Any) -> Any:
    """Return a document that is what the documentation says of it."""
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text())).validate(document)
    return document


@dataclass(frozen=True)
class Delivered:
    """An original: PTS in units of `time_base`, rate as STEP2 would say it."""

    pts: Sequence[int]
    time_base: Fraction
    rate: Fraction
    timecode: str | None = None
    timecode_rate: Fraction | None = None
    is_variable: bool = False
    size: tuple[int, int] = (1920, 1080)
    rotation: int = 0
    channels: int = 2
    speed: Fraction | None = None

    def begun_before(self, seconds: Fraction) -> int:
        """How many frames begin before a time after the first one's."""
        return bisect_left(self.pts, self.pts[0] + seconds / self.time_base)

    @property
    def duration(self) -> Fraction:
        return (self.pts[-1] - self.pts[0]) * self.time_base + 1 / self.rate

    @property
    def proxy_frames(self) -> int:
        if self.speed:
            return len(self.pts)
        return proxy_frame_count(0, 1, self.duration)


def constant(rate: Fraction, seconds: Fraction | int, timecode: str | None = None, **more: Any) -> Delivered:
    """An original of a constant rate; its timecode counts that, unless something else is said."""
    more = {"timecode_rate": rate if timecode else None, **more}
    unit = 1 / F(rate.numerator * 10)
    return Delivered([k * 10 * rate.denominator for k in range(int(seconds * rate))], unit, rate, timecode, **more)


def write_video(docs: Path, stem: str, original: Delivered, *, name: str | None = None) -> Video:
    """Write the source's facts of a video, and files that stand for the proxy and the original."""
    docs.mkdir(parents=True, exist_ok=True)
    sources = docs.parent / "sources"
    sources.mkdir(exist_ok=True)
    frames = original.proxy_frames
    mapped = FrameMap(original.time_base, original.pts[0], original.pts, frames, original.speed or F(25))
    width, height = original.size
    upright = (height, width) if original.rotation % 180 else (width, height)
    name = name or f"{stem}.mov"
    is_drop = ";" in original.timecode if original.timecode else None
    document = {
        "schema": "derush.source/1",
        "original": {
            "path": f"sources/{name}", "name": name, "bytes": 1, "sha256": "ab" * 32, "container": "mov",
            "duration": _text(original.duration), "frames": len(original.pts), "start_timecode": original.timecode,
            "drop_frame": is_drop, "timecode_rate": _text(original.timecode_rate) if original.timecode_rate else None,
            "video": {
                "codec": "h264", "width": width, "height": height, "rate": _text(original.rate), "average_rate": None,
                "variable_rate": original.is_variable, "time_base": _text(original.time_base), "rotation": original.rotation,
                "sample_aspect_ratio": "1/1", "pixel_format": "yuv420p", "interlaced": False, "field_order": None,
                "alpha": False, "color": {"range": None, "primaries": 2, "transfer": 2, "matrix": 2},
            },
            "audio": {
                "tracks": [1], "codec": "aac", "rate": 48000, "channels": original.channels, "layout": "stereo",
                "start": "0/1", "duration": _text(original.duration),
            } if original.channels else None,
            "streams": [{"index": 0, "type": "video", "codec": "h264", "language": None, "start_pts": 0, "time_base": "1/25"}],
        },
        "proxy": {
            "name": f"{stem}.mp4", "frames": frames, "width": upright[0] // 2, "height": upright[1] // 2, "fps": 25,
            "has_audio": bool(original.channels), "bytes": 1, "sha256": "ab" * 32, "method": "encoded", "encoder": "libx264",
            "treatment": [],
        },
        "frame_map": mapped.to_json(), "warnings": [],
    }  # fmt: skip
    (docs / f"{stem}_source.json").write_text(json.dumps(valid("source", document)))
    for path in (docs / f"{stem}.mp4", sources / name):
        path.write_bytes(b"video")
    return Video(Project(docs.parent), stem)


def _text(fraction: Fraction) -> str:
    return f"{fraction.numerator}/{fraction.denominator}"


def write_scenes(video: Video, cuts: Iterable[int]) -> list[tuple[int, int]]:
    """Write shots that begin at 0 and at the cuts; returns them, as proxy frames."""
    frames = video.facts().frames
    starts = [0, *cuts]
    shots = list(zip(starts, [*starts[1:], frames], strict=True))
    scenes = [
        {
            "start_frame": start, "end_frame": end,
            "transition_in": {"type": "cut", "confidence": 0.9, "first_frame": start - 1, "last_frame": start - 1}
            if start else {"type": "start"},
        }
        for start, end in shots
    ]  # fmt: skip
    document = {
        "schema": "derush.scenes/1", "video_filename": f"{video.stem}.mp4", "total_frames": frames, "fps": 25,
        "model": {"name": "transnetv2", "sha256": "ab" * 32}, "parameters": {"threshold": 0.5, "min_scene_frames": 2},
        "scenes": scenes, "curve": {"unit": "permille", "single_frame": "0", "many_hot": "0"},
    }  # fmt: skip
    video.artefact("_scenes.json").write_text(json.dumps(valid("scenes", document)))
    return shots


def write_speech(video: Video, said: Sequence[tuple[int, int, str, str]], **more: Any) -> None:
    """Write what was said: begin and end in milliseconds, speaker, text."""
    passages = [{"start_ms": start, "end_ms": end, "speaker": who, "text": text} for start, end, who, text in said]
    speakers = [{"label": who, "total_ms": 1} for who in dict.fromkeys(who for _, _, who, _ in said)]
    document = {
        "schema": "derush.audio_raw/1", "video_filename": f"{video.stem}.mp4", "total_frames": video.facts().frames, "fps": 25,
        "audio": "present", "engine": "lemonfox", "fallback_chain": [], "language": "fr", "text": "…", "segments": passages,
        "words": [], "turns": [{key: passage[key] for key in ("start_ms", "end_ms", "speaker")} for passage in passages],
        "speakers": speakers,
    }  # fmt: skip
    document = {**document, **more, "frames_analysis": []}
    video.artefact("_audio_raw.json").write_text(json.dumps(document, ensure_ascii=False))


def write_tracks(video: Video, seen: Callable[[int], list[dict[str, Any]]]) -> None:
    """Write the tracking: `seen` gives the objects of a proxy frame, from 0."""
    facts = video.facts()
    header = {
        "schema": "derush.tracking_raw/1",
        "width": facts.width,
        "height": facts.height,
        "total_frames": facts.frames,
    }
    frames = ({"frame": frame + 1, "objects": seen(frame)} for frame in range(facts.frames))
    with video.artefact("_tracking_raw.jsonl").open("w") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in (header, *frames))


def box(track: int, *place: float, **more: Any) -> dict[str, Any]:
    """An object of the tracking, at left, top, width, height."""
    left, top, width, height = place
    middle = [left + width / 2, top + height / 2]
    return {
        "id": track,
        "bbox": list(place),
        "centroid": middle,
        "source": "s",
        "label": "face",
        "confidence": 0.5,
        **more,
    }


def exported(video: Video, *formats: str, against: str = "original", folder: Path | None = None) -> Export:
    """The record that formats are written from."""
    return prepare(video, Order(formats or ("otio",), against), folder or video.project.path / "exports").export
