"""OpenTimelineIO's own file: JSON of a few small records (Timeline, Stack, Track, Clip, ExternalReference, Marker)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from workflow_scripts.step6.exports.timeline import Export, Grid, Span

_COLOURS = {"shot": "WHITE", "speaker": "CYAN", "person": "GREEN"}


def otio(export: Export) -> Iterator[str]:
    """Yield the timeline: a picture track and, with sound, an audio track of the shots; markers on the whole."""
    kinds = ["Video", "Audio"] if export.medium.has_audio else ["Video"]
    stack: dict[str, Any] = {
        "OTIO_SCHEMA": "Stack.1", "name": "tracks", "source_range": None, "effects": [], "enabled": True, "metadata": {},
        "markers": [_marker(export.grid, span) for span in export.spans],
        "children": [_track(export, kind) for kind in kinds],
    }  # fmt: skip
    timeline = {
        "OTIO_SCHEMA": "Timeline.1", "name": export.name, "metadata": _facts(export), "tracks": stack,
        "global_start_time": _time(export.grid, export.grid.start.number),
    }  # fmt: skip
    yield json.dumps(timeline, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _facts(export: Export) -> dict[str, Any]:
    rate, start = export.grid.rate, export.grid.start
    return {
        "derush": {"rate": f"{rate.numerator}/{rate.denominator}", "start": str(start), "drop_frame": start.drop_frame}
    }


def _track(export: Export, kind: str) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "Track.1", "name": kind, "kind": kind, "source_range": None, "effects": [], "markers": [],
        "enabled": True, "metadata": {}, "children": [_clip(export, shot) for shot in export.shots],
    }  # fmt: skip


def _clip(export: Export, shot: Span) -> dict[str, Any]:
    start, medium = export.grid.start.number, export.medium
    reference = {
        "OTIO_SCHEMA": "ExternalReference.1", "name": medium.name, "target_url": medium.url, "metadata": {},
        "available_range": _range(export.grid, start, medium.frames), "available_image_bounds": None,
    }  # fmt: skip
    return {
        "OTIO_SCHEMA": "Clip.2", "name": shot.name, "source_range": _range(export.grid, start + shot.start, shot.end - shot.start),
        "effects": [], "markers": [], "enabled": True, "metadata": {"derush": {"note": shot.note}} if shot.note else {},
        "media_references": {"DEFAULT_MEDIA": reference}, "active_media_reference_key": "DEFAULT_MEDIA",
    }  # fmt: skip


def _marker(grid: Grid, span: Span) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "Marker.2", "name": span.name, "color": _COLOURS[span.kind], "comment": span.note,
        "marked_range": _range(grid, span.start, span.end - span.start), "metadata": {"derush": {"kind": span.kind}},
    }  # fmt: skip


def _range(grid: Grid, start: int, length: int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(grid, start), "duration": _time(grid, length)}


def _time(grid: Grid, frames: int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "value": float(frames), "rate": float(grid.rate)}
