"""What After Effects reads: plain JSON for expressions, MGJSON for data-driven layers.

Times are seconds from the medium's first frame, places are pixels of the medium.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from workflow_scripts.step6.exports.timeline import Export, Span, plain
from workflow_scripts.step6.exports.tracks import Subject

SCHEMA = "derush.after_effects/1"
MOST_STREAMS = 64
"""Persons or tracks that become layers or streams: After Effects draws its panels for each of them."""


def ae_json(export: Export) -> Iterator[str]:
    """Yield `derush.after_effects/1`: the medium, shots, markers, and where every person or track is, frame by frame."""
    head = {**facts(export), "shots": spans(export, "shot"), "markers": spans(export, "marker")}
    yield json.dumps({"schema": SCHEMA, **head}, allow_nan=False)[:-1] + ',\n"subjects": ['
    before = ""
    for subject in export.tracks.subjects(by_person=True):
        yield f"{before}\n{json.dumps(_subject(export, subject), allow_nan=False)}"
        before = ","
    yield "\n]}\n"


def facts(export: Export) -> dict[str, Any]:
    """Return what a script needs to know of the medium and its timeline."""
    grid, medium = export.grid, export.medium
    return {
        "name": export.name, "media": medium.path, "width": medium.width, "height": medium.height,
        "rate": f"{grid.rate.numerator}/{grid.rate.denominator}", "fps": float(grid.rate), "frames": medium.frames,
        "duration": float(grid.seconds(medium.frames)), "start_timecode": str(grid.start), "drop_frame": grid.start.drop_frame,
        "start_seconds": float(grid.seconds(grid.start.number)),
    }  # fmt: skip


def spans(export: Export, which: str) -> list[dict[str, Any]]:
    """Return the shots or the markers, with frames (from 0, the end not included) and seconds."""
    return [
        {"kind": span.kind, "name": span.name, "note": span.note, "start_frame": span.start, "end_frame": span.end,
         "start": float(export.grid.seconds(span.start)), "end": float(export.grid.seconds(span.end))}
        for span in (export.shots if which == "shot" else export.markers)
    ]  # fmt: skip


def longest(export: Export) -> list[Subject]:
    """Return the persons or tracks that are seen the longest, in order of appearance."""
    subjects = export.tracks.subjects(by_person=True)
    kept = sorted(subjects, key=lambda subject: len(subject.rows), reverse=True)[:MOST_STREAMS]
    return sorted(kept, key=lambda subject: subject.rows[0])


def rows_by_position(export: Export, subject: Subject) -> dict[int, int]:
    """Return a subject's row at each position; of several the first."""
    rows: dict[int, int] = {}
    for row in subject.rows:
        rows.setdefault(export.positions[export.tracks.frame[row]], row)
    return rows


def _subject(export: Export, subject: Subject) -> dict[str, Any]:
    tracks, rows = export.tracks, rows_by_position(export, subject)
    columns = {"left": tracks.left, "top": tracks.top, "width": tracks.width, "height": tracks.height}
    return {
        "name": plain(subject.name), "label": plain(subject.label), "frames": list(rows),
        **{name: [round(column[row], 2) for row in rows.values()] for name, column in columns.items()},
    }  # fmt: skip


_EPOCH = date(1970, 1, 1).toordinal()
_LEGAL = {"min": -2147483648, "max": 2147483647}


@dataclass(frozen=True)
class _Stream:
    """One stream of MGJSON: what it is called, its shape, and its samples: position, and value as JSON."""

    name: str
    key: str
    data: Mapping[str, Any]
    interpolation: str
    count: int
    samples: Iterable[tuple[int, str]]

    def outline(self) -> dict[str, Any]:
        return {
            "objectType": "dataDynamic", "displayName": self.name, "sampleSetID": self.key, "dataType": self.data,
            "interpolation": self.interpolation, "hasExpectedFrequecyB": False, "sampleCount": self.count,
            "matchName": self.key,
        }  # fmt: skip


def mgjson(export: Export) -> Iterator[str]:
    """Yield MGJSON 2.0: the number of the shot, who speaks, and of each person or track its middle and its size.

    The first stream begins with the medium, so that After Effects lays time zero of all on its first frame.
    """
    streams = [_shots(export), _speaking(export), *_places(export)]
    head = {
        "version": "MGJSON2.0.0", "creator": "Derush", "dynamicSamplesPresentB": True,
        "dynamicDataInfo": {"useTimecodeB": False, "utcInfo": {"precisionLength": 3, "isGMT": True}},
        "dataOutline": [stream.outline() for stream in streams],
    }  # fmt: skip
    yield json.dumps(head, allow_nan=False)[:-1] + ',\n"dataDynamicSamples": ['
    between, rate = "", export.grid.rate
    for stream in streams:
        yield f'{between}\n{{"sampleSetID": "{stream.key}", "samples": ['
        before = ""
        for position, value in stream.samples:
            yield f'{before}{{"time": "{_time(rate, position)}", "value": {value}}}'
            before = ",\n"
        yield "]}"
        between = ","
    yield "\n]}\n"


def _shots(export: Export) -> _Stream:
    digits = len(str(len(export.shots)))
    pattern = {"digitsInteger": digits, "digitsDecimal": 0, "isSigned": False}
    numbers = {"pattern": pattern, "range": {"occuring": {"min": 1, "max": len(export.shots)}, "legal": _LEGAL}}

    samples = ((shot.start, f'"{number:0{digits}d}"') for number, shot in enumerate(export.shots, 1))
    data = {"type": "numberString", "numberStringProperties": numbers}
    return _Stream("Shot", "shot", data, "hold", len(export.shots), samples)


def _places(export: Export) -> Iterator[_Stream]:
    """Yield two streams for each of the persons or tracks: the middle of the box, and its size."""
    tracks = export.tracks
    for number, subject in enumerate(longest(export), 1):
        rows, name = rows_by_position(export, subject), plain(subject.name)
        yield _points(f"{name} middle", f"middle{number}", ("x", "y"), rows, tracks.middle)
        yield _points(f"{name} size", f"size{number}", ("width", "height"), rows, tracks.extent)


def _points(
    name: str, key: str, names: tuple[str, str], rows: Mapping[int, int], place: Callable[[int], tuple[float, float]]
) -> _Stream:
    """Return a stream of points, whose numbers are texts of one length."""
    columns = list(zip(*(place(row) for row in rows.values()), strict=True))
    digits = max(len(str(int(round(max(abs(min(column)), abs(max(column))), 2)))) for column in columns)
    ranges = [
        {"occuring": {"min": round(min(column), 2), "max": round(max(column), 2)}, "legal": _LEGAL}
        for column in columns
    ]
    about = {
        "pattern": {"digitsInteger": digits, "digitsDecimal": 2, "isSigned": True}, "arraySize": 2,
        "arrayDisplayNames": list(names), "arrayRanges": {"ranges": ranges}, "isPoint": True,
    }  # fmt: skip

    form = '["{:+0' + str(digits + 4) + '.2f}", "{:+0' + str(digits + 4) + '.2f}"]'
    samples = ((at, form.format(*place(row))) for at, row in rows.items())
    data = {"type": "numberStringArray", "numberArrayProperties": about}
    return _Stream(name, key, data, "linear", len(rows), samples)


def _time(rate: Fraction, position: int) -> str:
    """Write when a position begins as MGJSON does: a moment, counted from the first of 1970, in whole milliseconds."""
    under = 2 * rate.numerator  # in whole numbers, since this runs once a sample
    seconds, milliseconds = divmod((2000 * position * rate.denominator + rate.numerator) // under, 1000)
    minutes, second = divmod(seconds, 60)
    days, minute = divmod(minutes, 1440)
    day = date.fromordinal(_EPOCH + days).isoformat()
    return f"{day}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}.{milliseconds:03d}Z"


def _speaking(export: Export) -> _Stream:
    """Return the stream of who speaks: names parted by commas, empty in silence."""
    turns = [span for span in export.markers if span.kind == "speaker"]
    said: list[tuple[int, str]] = []
    speaking: list[Span] = []
    begun = iter([*turns, None])
    turn = next(begun)
    for position in sorted({0, *(span.start for span in turns), *(span.end for span in turns)}):
        speaking = [span for span in speaking if span.end > position]
        while turn is not None and turn.start <= position:
            speaking.append(turn)
            turn = next(begun)
        if position < export.medium.frames:
            said.append((position, ", ".join(dict.fromkeys(span.name for span in speaking))))
    longest_text = max(1, *(len(text) for _, text in said))
    digits = len(str(longest_text))
    about = {"maxLen": longest_text, "maxDigitsInStrLength": digits, "eventMarkerB": False}

    padded = ((at, {"length": f"{len(text):0{digits}d}", "str": text.ljust(longest_text)}) for at, text in said)
    samples = ((at, json.dumps(value)) for at, value in padded)
    data = {"type": "paddedString", "paddedStringProperties": about}
    return _Stream("Speakers", "speakers", data, "hold", len(said), samples)
