"""How a box moves on: where it should be now, from where it was seen. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Floats

_SPAN = 4
"""Observations that the speed is taken over: boxes tremble by a few pixels from frame to frame."""


class Motion:
    """The last observations of one thing: `box` (left, top, right, bottom, in pixels) is what was seen in `frame`.

    Observation-centric, as in OC-SORT (Cao et al., CVPR 2023): the speed is that between real observations, not a
    filter's guess that drifts while nothing is seen.
    """

    def __init__(self, box: Floats, frame: int) -> None:
        self._seen: deque[tuple[int, Floats]] = deque([(frame, box)], maxlen=_SPAN)

    @property
    def box(self) -> Floats:
        """The last box."""
        return self._seen[-1][1]

    @property
    def frame(self) -> int:
        """The frame of the last box."""
        return self._seen[-1][0]

    def observe(self, box: Floats, frame: int) -> None:
        """Take the box of a later frame."""
        self._seen.append((frame, box))

    def speed(self) -> Floats:
        """Return the speed of the middle, (x, y) in pixels a frame; 0 before a second observation."""
        (first, start), (last, end) = self._seen[0], self._seen[-1]
        moved = (end - start).reshape(2, 2).mean(axis=0)
        return np.asarray(moved / max(1, last - first), np.float32)

    def expected(self, frame: int) -> Floats:
        """Return where the box is at `frame` if it moves on at the same speed and keeps its size."""
        return self.box + np.tile(self.speed() * np.float32(frame - self.frame), 2)


def overlaps(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Return the intersection over union, (n, m), of boxes (n, 4) with boxes (m, 4), left, top, right, bottom."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    both: NDArray[np.float64] = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(shared / (both - shared))


def widened(boxes: Floats, margins: NDArray[np.float64] | float) -> Floats:
    """Return boxes (n, 4) larger by a margin on every side, in their own widths and heights; a margin each, or one for all."""
    sides = (boxes[:, 2:] - boxes[:, :2]) * np.reshape(margins, (-1, 1))
    return np.concatenate([boxes[:, :2] - sides, boxes[:, 2:] + sides], axis=1).astype(np.float32)
