"""`<stem>_source.json`: what an original is, what its proxy is, and the map between them (schema derush.source/1)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from workflow_scripts.step2.conversion import Converted
from workflow_scripts.step2.probe import Probe, VideoFacts
from workflow_scripts.step2.sound import AudioFacts
from workflow_scripts.stepkit.timebase import PROXY_RATE

SCHEMA = "derush.source/1"


@dataclass(frozen=True)
class Origin:
    """A delivered file: its path below the project once it stands in `sources/`, its name, size and sha256."""

    path: PurePath
    bytes: int
    sha256: str


def source_facts(origin: Origin, probe: Probe, name: str, converted: Converted) -> dict[str, Any]:
    """Return the whole document; `name` is the proxy's file name."""
    plan, made = converted.plan, converted.made
    return {
        "schema": SCHEMA,
        "original": _original(origin, probe),
        "proxy": {
            "name": name, "frames": plan.frames, "width": plan.width, "height": plan.height, "fps": int(PROXY_RATE),
            "has_audio": made.has_audio, "bytes": made.path.stat().st_size, "sha256": made.sha256, "method": plan.method,
            "encoder": made.encoder, "treatment": list(plan.treatment),
        },
        "frame_map": converted.frame_map.to_json(),
        "warnings": [{"code": code, "message": message} for code, message in converted.warnings],
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
        "timecode_rate": rational(probe.timecode_rate) if probe.timecode_rate else None,
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
        "field_order": video.field_order,
        "alpha": video.has_alpha,
        "color": video.color,
    }


def _audio(audio: AudioFacts | None) -> dict[str, Any] | None:
    if audio is None:
        return None
    return {
        "tracks": list(audio.tracks), "codec": audio.codec, "rate": audio.rate, "channels": audio.channels,
        "layout": audio.layout,
        "start": rational(audio.start), "duration": rational(audio.duration),
    }  # fmt: skip


def rational(value: Fraction) -> str:
    """Write a fraction as `30000/1001`, a whole number as `25/1`."""
    return f"{value.numerator}/{value.denominator}"
