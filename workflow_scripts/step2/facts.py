"""`<stem>_source.json`: what an original is, what its proxy is, and the map between them (schema derush.source/1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

from workflow_scripts.step2.frame_map import PROXY_RATE, FrameMap
from workflow_scripts.step2.plan import Plan
from workflow_scripts.step2.probe import AudioFacts, Probe, VideoFacts

SCHEMA = "derush.source/1"


@dataclass(frozen=True)
class Origin:
    """A delivered file: its path below the project once it stands in `sources/`, its name, size and sha256."""

    path: PurePath
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Made:
    """A proxy that was verified."""

    path: Path
    sha256: str
    has_audio: bool


def source_facts(
    origin: Origin,
    probe: Probe,
    plan: Plan,
    made: Made,
    name: str,
    frame_map: FrameMap,
    warnings: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Return the whole document; `name` is the proxy's file name."""
    return {
        "schema": SCHEMA,
        "original": _original(origin, probe),
        "proxy": {
            "name": name, "frames": plan.frames, "width": plan.width, "height": plan.height, "fps": PROXY_RATE,
            "has_audio": made.has_audio, "bytes": made.path.stat().st_size, "sha256": made.sha256, "method": plan.method,
        },
        "frame_map": frame_map.to_json(),
        "warnings": [{"code": code, "message": message} for code, message in warnings],
    }  # fmt: skip


def _original(origin: Origin, probe: Probe) -> dict[str, Any]:
    return {
        "path": str(origin.path),
        "name": origin.path.name,
        "bytes": origin.bytes,
        "sha256": origin.sha256,
        "container": probe.container,
        "duration": rational(probe.duration),
        "frames": len(probe.pts),
        "start_timecode": probe.start_timecode,
        "drop_frame": probe.drop_frame,
        "video": _video(probe.video),
        "audio": _audio(probe.audio),
        "streams": probe.streams,
    }


def _video(video: VideoFacts) -> dict[str, Any]:
    return {
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
        "rate": rational(video.rate),
        "average_rate": rational(video.average_rate) if video.average_rate else None,
        "variable_rate": video.variable_rate,
        "time_base": rational(video.time_base),
        "rotation": video.rotation,
        "sample_aspect_ratio": rational(video.sample_aspect_ratio),
        "pixel_format": video.pixel_format,
        "interlaced": video.interlaced,
        "color": video.color,
    }


def _audio(audio: AudioFacts | None) -> dict[str, Any] | None:
    if audio is None:
        return None
    return {
        "codec": audio.codec, "rate": audio.rate, "channels": audio.channels,
        "start": rational(audio.start), "duration": rational(audio.duration),
    }  # fmt: skip


def rational(value: Fraction) -> str:
    """Write a fraction as `30000/1001`, a whole number as `25/1`."""
    return f"{value.numerator}/{value.denominator}"
