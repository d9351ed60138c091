"""The raw tracking, frame by frame, in the reduced form: `derush.tracking/1`.

Whatever a tracked object carries besides (landmarks, blendshapes, evidence of speech) stays in the raw file: the reader
goes over it without making anything of it, which is what makes it fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, BinaryIO

import msgspec
from msgspec import UNSET, UnsetType

from config.settings import DEFAULT_TRACKING_FIELDS
from workflow_scripts.step6.keyframes import Keyframes
from workflow_scripts.step6.layout import Layout
from workflow_scripts.step6.sources import Source

SCHEMA = "derush.tracking/1"
CONFIDENCE_DECIMALS = 4
"""Decimals of a confidence: finer than any detector's own noise, whatever the precision of pixels is."""
Number = int | float
_SANE = msgspec.Meta(ge=-1_000_000, le=1_000_000)
Confidence = Annotated[int, _SANE] | Annotated[float, _SANE]
"""From 0 to 1, or of a scale that an older version had; numbers so long that arithmetic fails are none."""
TrackId = int | str


class _Identity(msgspec.Struct, gc=False):
    person: str


class _Seen(msgspec.Struct, gc=False):
    """A tracked object as STEP5 writes it: places and sizes in pixels of the proxy."""

    id: TrackId
    bbox: tuple[Number, Number, Number, Number]
    centroid: tuple[Number, Number]
    source: str
    label: str | None
    confidence: Confidence | None
    active_speakers: list[str] = []
    identity: _Identity | None = None
    is_speaking: bool = False


class _Older(msgspec.Struct, gc=False):
    """A tracked object as older versions wrote it, reduced or not."""

    id: TrackId
    centroid_x: Number
    bbox_width: Number
    bbox_height: Number
    source: str | None = None
    label: str | None = None
    confidence: Confidence | None = None
    active_speakers: list[str] = []
    centroid_y: Number | None = None

    def seen(self) -> _Seen:
        """Return it in the form of today; a place that is not known is None."""
        x, y, width, height = self.centroid_x, self.centroid_y, self.bbox_width, self.bbox_height
        place: Any = (x, y)
        return _Seen(
            self.id, (0, 0, width, height), place, self.source or "", self.label, self.confidence, self.active_speakers
        )


class _Frame(msgspec.Struct, gc=False):
    frame: int
    objects: list[_Seen] | UnsetType = UNSET
    tracked_objects: list[_Older] | UnsetType = UNSET


class _Reduced(msgspec.Struct, gc=False):
    """A tracked object as editors read it; a field that is not set is not written."""

    id: TrackId
    centroid_x: Number | UnsetType
    source: str | UnsetType
    label: str | UnsetType | None
    confidence: Number | UnsetType | None
    active_speakers: list[str] | UnsetType
    bbox_width: Number | UnsetType
    bbox_height: Number | UnsetType
    centroid_y: Number | UnsetType | None = UNSET
    person: str | UnsetType | None = UNSET
    is_speaking: bool | UnsetType = UNSET


class _ReducedFrame(msgspec.Struct, gc=False):
    frame: int
    tracked_objects: list[_Reduced]


_decode = msgspec.json.Decoder(_Frame).decode


def read_objects(text: bytes, number: int) -> list[_Seen]:
    """Read the raw text of frame `number` (1-based). Raises ValueError when it is another frame's, or has another form."""
    raw = _decode(text)
    if raw.frame != number:
        raise ValueError(f"frame {raw.frame} stands where {number} belongs")
    if raw.objects is not UNSET:
        return raw.objects
    if raw.tracked_objects is UNSET:
        raise ValueError("it must say which objects were seen")
    return [older.seen() for older in raw.tracked_objects]


@dataclass(frozen=True)
class Noise:
    """Which tracks are noise: those seen in fewer frames, or with less confidence on average, from 0 to 1."""

    min_frames: int = 1
    min_confidence: float = 0.0

    def tracks(self, source: Source) -> frozenset[TrackId]:
        """Return the ids of the tracks that are noise. Raises BrokenInput as `reduce_tracking` does."""
        if self.min_frames <= 1 and self.min_confidence <= 0:
            return frozenset()
        counted: dict[TrackId, tuple[int, float]] = {}
        for objects in source.frames(read_objects):
            for seen in {seen.id: seen for seen in objects}.values():  # a track counts once a frame
                count, total = counted.get(seen.id, (0, 0.0))
                # Who says nothing of its confidence is sure.
                counted[seen.id] = count + 1, total + (1.0 if seen.confidence is None else seen.confidence)
        return frozenset(track for track, seen in counted.items() if self._is_noise(*seen))

    def _is_noise(self, count: int, confidence: float) -> bool:
        return count < self.min_frames or confidence < self.min_confidence * count


@dataclass(frozen=True)
class Reduction:
    """What to keep of a tracked object: decimals of pixel numbers, fields, and the ids whose tracks are left out."""

    precision: int = 1
    fields: tuple[str, ...] = DEFAULT_TRACKING_FIELDS
    left_out: frozenset[TrackId] = frozenset()

    def reducer(self) -> Callable[[_Seen], _Reduced]:
        """Make the function that reduces one tracked object; sizes and places are in pixels of the proxy."""
        precision = self.precision
        dropped = [name for name in DEFAULT_TRACKING_FIELDS if name not in self.fields]
        added = [(name, _ADDED[name]) for name in self.fields if name in _ADDED]

        def reduced(seen: _Seen) -> _Reduced:
            _, _, width, height = seen.bbox
            confidence = seen.confidence
            kept = _Reduced(
                seen.id, round(seen.centroid[0], precision), seen.source, seen.label,
                None if confidence is None else round(confidence, CONFIDENCE_DECIMALS),
                seen.active_speakers, round(width, precision), round(height, precision),
            )  # fmt: skip
            for name in dropped:
                setattr(kept, name, UNSET)
            for name, value in added:
                setattr(kept, name, value(seen, precision))
            return kept

        return reduced


def _centroid_y(seen: _Seen, precision: int) -> Number | None:
    y: Number | None = seen.centroid[1]
    return None if y is None else round(y, precision)


_ADDED: Mapping[str, Callable[[_Seen, int], Any]] = {
    "centroid_y": _centroid_y,
    "person": lambda seen, _: seen.identity.person if seen.identity else None,
    "is_speaking": lambda seen, _: seen.is_speaking,
}


def reduce_tracking(
    source: Source,
    stream: BinaryIO,
    *,
    layout: Layout,
    reduction: Reduction,
    alignment: Mapping[str, Any],
    keyframes: Keyframes | None,
    on_frame: Callable[[int], None],
) -> None:
    """Write the reduced form of a raw tracking to `stream`; `on_frame` hears the number of each frame.

    Raises BrokenInput, with the place, when a frame has another form or is missing, or the file ends early.
    """
    reduced, left_out = reduction.reducer(), reduction.left_out

    def encoded(text: bytes, number: int) -> bytes:
        objects = read_objects(text, number)
        if left_out:
            objects = [seen for seen in objects if seen.id not in left_out]
        if keyframes:
            keyframes.add(number, [(seen.id, (*seen.centroid, seen.bbox[2], seen.bbox[3])) for seen in objects])
        on_frame(number)
        return layout.element(_ReducedFrame(number, [reduced(seen) for seen in objects]))

    layout.write(stream, _members(source, source.frames(encoded), layout, alignment, keyframes))


def _members(
    source: Source, frames: Iterator[bytes], layout: Layout, alignment: Mapping[str, Any], keyframes: Keyframes | None
) -> Iterator[tuple[str, Any]]:
    yield "schema", SCHEMA
    yield "frames_analysis", frames
    yield "fps", float(source.fps)
    yield "total_frames", source.total_frames
    yield "temporal_alignment", alignment
    if source.salvage:
        yield "salvaged", asdict(source.salvage)
    if keyframes:
        keyframes.end()
        yield "keyframes", keyframes.summary()
        yield "curves", (layout.element(stretch) for stretch in keyframes.stretches())
