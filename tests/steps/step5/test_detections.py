"""The record that every engine returns refuses what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workflow_scripts.step5.detections import Detections

GOOD: dict[str, Any] = {
    "boxes": np.array([[0, 0, 10, 20], [-5, 3, 4, 9]], np.float32),
    "scores": np.array([0, 1], np.float32),
    "labels": ("face", "face"),
    "source": "test",
    "landmarks": np.zeros((2, 5, 3), np.float32),
    "blendshapes": np.zeros((2, 52), np.float32),
}
PART_UNKNOWN = np.zeros((2, 5, 3), np.float32)
PART_UNKNOWN[0, 0, 0] = np.nan
BAD = {
    "boxes of another type": {"boxes": GOOD["boxes"].astype(np.float64)},
    "a box too few": {"boxes": GOOD["boxes"][:1]},
    "a box without width": {"boxes": np.array([[3, 0, 3, 5], [0, 0, 1, 1]], np.float32)},
    "a box that is no number": {"boxes": np.array([[np.nan, 0, 3, 5], [0, 0, 1, 1]], np.float32)},
    "a score above 1": {"scores": np.array([0.5, 1.01], np.float32)},
    "a score that is no number": {"scores": np.array([0.5, np.nan], np.float32)},
    "points in the plane": {"landmarks": np.zeros((2, 5, 2), np.float32)},
    "points known in part": {"landmarks": PART_UNKNOWN},
    "blendshapes missing": {"blendshapes": np.zeros((2, 51), np.float32)},
    "a blendshape below 0": {"blendshapes": np.full((2, 52), -0.1, np.float32)},
}


def test_what_is_sound_is_taken() -> None:
    assert len(Detections(**GOOD)) == 2
    unknown = GOOD["landmarks"].copy()
    unknown[1] = np.nan
    Detections(**{**GOOD, "landmarks": unknown, "blendshapes": None})


def test_nothing_seen_is_sound() -> None:
    none = np.zeros((0, 4), np.float32)
    seen = Detections(none, none[:, 0], (), "test", np.zeros((0, 478, 3), np.float32), np.zeros((0, 52), np.float32))
    assert len(seen) == 0


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changed))}|box"):
        Detections(**{**GOOD, **changed})
