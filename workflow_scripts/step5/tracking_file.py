"""What STEP5 writes: `<stem>_tracking_raw.jsonl` (docs/schemas/tracking_raw.json). A header line, then a line a frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.step5.detections import Floats
from workflow_scripts.step5.face_mesh import BLENDSHAPE_NAMES
from workflow_scripts.step5.tracks import TrackedFrame

SCHEMA = "derush.tracking_raw/1"
PIXEL_DECIMALS = 2
POINT_DECIMALS = 1
SHARE_DECIMALS = 4
"""Decimals of what goes from 0 to 1: finer than any engine's own noise."""
_JAW_OPEN = BLENDSHAPE_NAMES.index("jawOpen")
_MOUTH_PREFIXES = ("jaw", "mouth")


def kept_blendshapes(profile: str, names: tuple[str, ...]) -> list[int]:
    """Return the indices, in order, of the blendshapes that a profile (full, mouth or none) keeps of `names`."""
    if profile == "none":
        return []
    return [index for index, name in enumerate(names) if profile == "full" or name.startswith(_MOUTH_PREFIXES)]


def line(record: Mapping[str, Any]) -> str:
    """Return a record as one line, the same bytes for the same values."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


@dataclass(frozen=True)
class FrameWriter:
    """How a frame's tracks are told.

    `width` and `height` are the proxy's, in pixels; `blendshapes` are the indices kept; `landmarks`: whether told.
    """

    width: int
    height: int
    blendshapes: tuple[int, ...] = ()
    landmarks: bool = False

    def record(self, number: int, tracked: TrackedFrame) -> dict[str, Any]:
        """Return the record of frame `number` (1-based), its objects by rising id."""
        told = sorted((track, row) for row, track in enumerate(tracked.ids) if track is not None)
        return {"frame": number, "objects": [self._object(track, row, tracked) for track, row in told]}

    def _object(self, track: int, row: int, tracked: TrackedFrame) -> dict[str, Any]:
        seen = tracked.detections
        left, top, right, bottom = self._inside(seen.boxes[row])
        described = {
            "id": track,
            "bbox": _rounded([left, top, right - left, bottom - top], PIXEL_DECIMALS),
            "centroid": _rounded([(left + right) / 2, (top + bottom) / 2], PIXEL_DECIMALS),
            "source": seen.source,
            "label": seen.labels[row],
            "confidence": round(float(seen.scores[row]), SHARE_DECIMALS),
        }
        if self.landmarks and (points := _known(seen.landmarks, row)) is not None:
            described["landmarks"] = _rounded(points.ravel().tolist(), POINT_DECIMALS)
        if (shapes := _known(seen.blendshapes, row)) is not None:
            if self.blendshapes:
                described["blendshapes"] = _rounded(shapes[list(self.blendshapes)].tolist(), SHARE_DECIMALS)
            described["speaking"] = {"jaw_open": round(float(shapes[_JAW_OPEN]), SHARE_DECIMALS)}
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
