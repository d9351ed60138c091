"""What STEP5 writes: `<stem>_tracking_raw.jsonl` (docs/schemas/tracking_raw.json). A header line, then a line a frame.

Who somebody is and whether he speaks is known only when the whole video was seen. So frames are spilled first, each
object as the text it will have but for that; `lines` then reads them one by one and adds what was found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.step5.blendshapes import JAW_OPEN
from workflow_scripts.step5.detections import Floats
from workflow_scripts.step5.people import Identity
from workflow_scripts.step5.speaking import Evidence, Speech, Unseen
from workflow_scripts.step5.tracks import TrackedFrame

SCHEMA = "derush.tracking_raw/1"
PIXEL_DECIMALS = 2
POINT_DECIMALS = 1
SHARE_DECIMALS = 4
"""Decimals of what goes from 0 to 1: finer than any engine's own noise."""


def line(record: Any) -> str:
    """Return a record as one line, the same bytes for the same values."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


@dataclass(frozen=True)
class Found:
    """What was found out from the whole video: who the tracks are, and who speaks."""

    identities: Mapping[int, Identity]
    speech: Speech


@dataclass(frozen=True)
class FrameWriter:
    """How a frame's tracks are told.

    `width` and `height` are the proxy's, in pixels; `blendshapes` are the indices kept; `landmarks`: whether told.
    """

    width: int
    height: int
    blendshapes: tuple[int, ...] = ()
    landmarks: bool = False

    def spilled(self, tracked: TrackedFrame) -> str:
        """Return a frame as a line for `lines`: of each object, by rising id, the id and the text of what is known now."""
        told = sorted((track, row) for row, track in enumerate(tracked.ids) if track is not None)
        return line([[track, line(self._object(track, row, tracked)).rstrip()] for track, row in told])

    def _object(self, track: int, row: int, tracked: TrackedFrame) -> dict[str, Any]:
        seen = tracked.detections
        left, top, right, bottom = self._inside(seen.boxes[row])
        described = {
            "id": track,
            "bbox": _rounded([left, top, right - left, bottom - top], PIXEL_DECIMALS),
            "centroid": _rounded([(left + right) / 2, (top + bottom) / 2], PIXEL_DECIMALS),
            "source": seen.source_of(row),
            "label": seen.labels[row],
            "confidence": round(float(seen.scores[row]), SHARE_DECIMALS),
        }
        if self.landmarks and (points := _known(seen.landmarks, row)) is not None:
            described["landmarks"] = _rounded(points.ravel().tolist(), POINT_DECIMALS)
        if (shapes := _known(seen.blendshapes, row)) is not None:
            if self.blendshapes:
                described["blendshapes"] = _rounded(shapes[list(self.blendshapes)].tolist(), SHARE_DECIMALS)
            described["speaking"] = {"jaw_open": round(float(shapes[JAW_OPEN]), SHARE_DECIMALS)}
        return described

    def _inside(self, box: Floats) -> list[float]:
        """Return the part of a box (left, top, right, bottom) that is within the frame."""
        limits = (self.width, self.height, self.width, self.height)
        return [min(max(float(value), 0.0), float(limit)) for value, limit in zip(box, limits, strict=True)]


def _rounded(values: list[float], decimals: int) -> list[float]:
    return [round(value, decimals) for value in values]


def _known(rows: Floats | None, row: int) -> Floats | None:
    """Return a row, or None where the engine does not tell it."""
    return None if rows is None or bool(np.isnan(rows[row]).any()) else rows[row]


def lines(spilled: Iterable[str], found: Found) -> Iterator[str]:
    """Yield the line of each frame, its objects with who they are and whether they speak."""
    tongues = {track: _Spans(evidence) for track, evidence in found.speech.faces.items()}
    unseen = _Unseen(found.speech.unseen)
    for index, text in enumerate(spilled):
        objects, speakers = [], []
        for track, described in json.loads(text):
            identity, tongue = found.identities.get(track), tongues.get(track)
            evidence = tongue.at(index) if tongue else None
            added = {**_identity(identity), **_speaking(track, identity, evidence)}
            objects.append(f"{described[:-1]},{line(added)[1:].rstrip()}")
            if evidence and evidence.is_speaking:
                person = identity.person if identity else None
                speakers += [{"id": track, "person": person, "voice": voice} for voice in evidence.voices]
        speakers += [{"id": None, "person": None, "voice": voice} for voice in unseen.at(index)]
        yield f'{{"frame":{index + 1},"objects":[{",".join(objects)}],"active_speakers":{line(speakers).rstrip()}}}\n'


def _identity(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    return {"identity": {"person": identity.person, "confidence": identity.confidence, "by": identity.by}}


def _speaking(track: int, identity: Identity | None, evidence: Evidence | None) -> dict[str, Any]:
    """Return what is said of a face's speech; of anything else, that it does not speak."""
    if evidence is None:
        return {"is_speaking": False}
    name = identity.person if identity else f"track_{track}"
    return {
        "is_speaking": evidence.is_speaking,
        "speaking_confidence": round(evidence.confidence, SHARE_DECIMALS),
        "speaking_sources": {
            "audio": _share(evidence.audio), "visual": _share(evidence.visual), "pairing": _share(evidence.pairing),
        },
        "active_speakers": [voice or name for voice in evidence.voices],
    }  # fmt: skip


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, SHARE_DECIMALS)


class _Spans:
    """A face's evidence, asked frame after frame."""

    def __init__(self, evidence: Iterable[Evidence]) -> None:
        self._coming = iter(evidence)
        self._now = next(self._coming, None)

    def at(self, frame: int) -> Evidence | None:
        """Return what is known of a frame; no earlier one may be asked afterwards."""
        while self._now and self._now.end <= frame:
            self._now = next(self._coming, None)
        return self._now if self._now and self._now.first <= frame else None


class _Unseen:
    """The voices from off screen, asked frame after frame."""

    def __init__(self, spans: Iterable[Unseen]) -> None:
        self._coming = sorted(spans, key=lambda span: span.first, reverse=True)
        self._now: list[Unseen] = []

    def at(self, frame: int) -> list[str | None]:
        """Return the voices of a frame."""
        while self._coming and self._coming[-1].first <= frame:
            self._now.append(self._coming.pop())
        self._now = [span for span in self._now if span.end > frame]
        return [span.voice for span in self._now]
