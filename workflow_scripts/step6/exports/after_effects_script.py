"""The script that builds compositions in After Effects: `build_comps.jsx` with a video's data in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.step6.exports.after_effects import facts, longest, rows_by_position
from workflow_scripts.step6.exports.timeline import Export, Span, plain
from workflow_scripts.step6.exports.tracks import Subject

_TEMPLATE = Path(__file__).with_name("build_comps.jsx")
_PLACE = "/* data */ null"
LONGEST_COMP = 10_800
"""Seconds: After Effects makes no composition longer than three hours, so a longer video becomes several."""
FASTEST_COMP = 99
"""Frames a second: what After Effects counts at most."""


def jsx(export: Export) -> Iterator[str]:
    """Yield the script. What comes from outside stands in it as ASCII literals only."""
    known = facts(export)
    uri = export.medium.url.removeprefix("file://")
    data = {**known, "uri": uri, "comp_fps": min(known["fps"], FASTEST_COMP), "parts": list(_parts(export))}
    yield _TEMPLATE.read_text(encoding="ascii").replace(_PLACE, json.dumps(data, allow_nan=False))


def _parts(export: Export) -> Iterator[dict[str, Any]]:
    ends = _ends(export)
    nulls = [*_speakers(export), *(_person(export, subject) for subject in longest(export))]
    for number, (start, end) in enumerate(ends, 1):
        shots = [_span(shot) for span in export.shots if (shot := _within(span, start, end))]
        grid = export.grid
        yield {
            "start_seconds": float(grid.seconds(grid.timecode(start).number)),
            "name": export.name if len(ends) == 1 else f"{export.name} {number} of {len(ends)}", "start": start,
            "frames": end - start, "shots": shots, "nulls": [part for null in nulls if (part := _null(null, start, end))],
        }  # fmt: skip


def _ends(export: Export) -> list[tuple[int, int]]:
    """Return the first position and the end of each composition: cut between shots where one is not too long by itself."""
    longest_part = int(LONGEST_COMP * export.grid.rate)
    parts, start = [], 0
    for shot in export.shots:
        while shot.end - start > longest_part:
            end = shot.start if shot.start > start else start + longest_part
            parts.append((start, end))
            start = end
    return [*parts, (start, export.medium.frames)]


def _within(span: Span, start: int, end: int) -> Span | None:
    first, last = max(span.start, start), min(span.end, end)
    return Span(span.kind, span.name, first, last, span.note) if first < last else None


def _span(span: Span) -> dict[str, Any]:
    return {"name": span.name, "note": span.note, "start": span.start, "end": span.end}


_Null = tuple[str, Sequence[Span], dict[int, list[float]]]


def _speakers(export: Export) -> Iterator[_Null]:
    turns = [span for span in export.markers if span.kind == "speaker"]
    for name in dict.fromkeys(span.name for span in turns):
        yield f"Speaker {name}", [span for span in turns if span.name == name], {}


def _person(export: Export, subject: Subject) -> _Null:
    tracks, name = export.tracks, plain(subject.name)
    places = {
        at: [round(number, 2) for number in tracks.middle(row)] for at, row in rows_by_position(export, subject).items()
    }
    return name, [span for span in export.markers if span.kind == "person" and span.name == name], places


def _null(null: _Null, start: int, end: int) -> dict[str, Any] | None:
    name, spans, places = null
    kept = [part for span in spans if (part := _within(span, start, end))]
    inside = {at: place for at, place in places.items() if start <= at < end}
    if not kept and not inside:
        return None
    return {"name": name, "spans": list(map(_span, kept)), "frames": list(inside), "places": list(inside.values())}
