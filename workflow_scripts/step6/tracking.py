"""The raw tracking, line by line, in the reduced form: `derush.tracking/1`.

The raw file has a header line, then one line per frame. Whatever a tracked object carries besides (landmarks,
blendshapes, identity, evidence of speech) stays in the raw file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

from workflow_scripts.step6.broken import BrokenInput, broken_line
from workflow_scripts.step6.layout import Layout

SCHEMA = "derush.tracking/1"
CONFIDENCE_DECIMALS = 4
"""Decimals of a confidence: finer than any detector's own noise, whatever the precision of pixels is."""
_MALFORMED = (ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True)
class TrackingFacts:
    """What the header line says. `fps` is in frames a second; `line_bytes` is the header's own length."""

    total_frames: int
    fps: float
    line_bytes: int


@dataclass(frozen=True)
class Reduction:
    """What to keep of a tracked object: decimals of pixel numbers, and the ids whose tracks are left out."""

    precision: int = 1
    left_out: frozenset[Any] = frozenset()

    def frame(self, raw: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Reduce the raw line of frame `number` (1-based).

        Raises ValueError when it is another frame's, KeyError or TypeError when it has another form.
        """
        if raw["frame"] != number:
            raise ValueError(f"frame {raw['frame']} stands where {number} belongs")
        kept = (tracked for tracked in raw["objects"] if tracked["id"] not in self.left_out)
        return {"frame": number, "tracked_objects": [self.tracked_object(tracked) for tracked in kept]}

    def tracked_object(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Reduce one tracked object; sizes and places are in pixels of the proxy."""
        _, _, width, height = raw["bbox"]
        confidence = raw["confidence"]
        return {
            "id": raw["id"],
            "centroid_x": round(raw["centroid"][0], self.precision),
            "source": raw["source"],
            "label": raw["label"],
            "confidence": None if confidence is None else round(confidence, CONFIDENCE_DECIMALS),
            "active_speakers": raw.get("active_speakers", []),
            "bbox_width": round(width, self.precision),
            "bbox_height": round(height, self.precision),
        }


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


_decode = json.JSONDecoder(parse_constant=_not_a_number).decode


def read_facts(path: Path) -> TrackingFacts:
    """Read the header line. Raises BrokenInput when it is not one."""
    with path.open("rb") as stream:
        line = stream.readline()
    try:
        header = _decode(line.decode("utf-8"))
        total, fps = header["total_frames"], header["fps"]
    except _MALFORMED as error:
        raise broken_line(path, 1, 0, error) from error
    if not isinstance(total, int) or not isinstance(fps, (int, float)) or fps <= 0:
        raise BrokenInput(path, "line 1, byte 0", "the header must say total_frames and fps")
    return TrackingFacts(total, float(fps), len(line))


def _frames(path: Path, facts: TrackingFacts, read: Callable[[Any, int], Any]) -> Iterator[Any]:
    """Yield what `read` makes of each frame's line and number (1-based); a failure is named with its place."""
    number, offset = 0, facts.line_bytes
    with path.open("rb") as stream:
        stream.seek(offset)
        for number, line in enumerate(stream, 1):
            try:
                made = read(_decode(line.decode("utf-8")), number)
            except _MALFORMED as error:
                raise broken_line(path, number + 1, offset, error) from error
            yield made
            offset += len(line)
    if number != facts.total_frames:
        reason = f"the header announces {facts.total_frames} frames, and it ends after {number}"
        raise BrokenInput(path, f"line {number + 1}, byte {offset}", reason)


def short_tracks(path: Path, facts: TrackingFacts, minimum: int) -> frozenset[Any]:
    """Return the ids that appear in fewer than `minimum` frames. Raises BrokenInput as `reduce_tracking` does."""
    if minimum <= 1:
        return frozenset()
    frames: Counter[Any] = Counter()
    for ids in _frames(path, facts, lambda raw, _: {tracked["id"] for tracked in raw["objects"]}):
        frames.update(ids)
    return frozenset(track for track, count in frames.items() if count < minimum)


def reduce_tracking(
    path: Path,
    facts: TrackingFacts,
    stream: TextIO,
    *,
    layout: Layout,
    reduction: Reduction,
    alignment: Mapping[str, Any],
    on_frame: Callable[[int], None],
) -> None:
    """Write the reduced form of the raw file `path` to `stream`; `on_frame` hears the number of each frame.

    Raises BrokenInput, with line and byte, when a line has another form, a frame is missing or the file ends early.
    """

    def encoded(raw: Any, number: int) -> str:
        frame = layout.frame(reduction.frame(raw, number))
        on_frame(number)
        return frame

    tail = {"fps": facts.fps, "total_frames": facts.total_frames, "temporal_alignment": alignment}
    layout.write(stream, {"schema": SCHEMA}, _frames(path, facts, encoded), tail)
