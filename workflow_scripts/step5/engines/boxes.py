"""What detectors with a grid of anchors or centres have in common."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Floats, Frame


def shrunk(frame: Frame, side: int) -> tuple[Frame, Floats]:
    """Put a frame, its proportions kept, in the left upper corner of a black square of `side` pixels.

    Also returns the frame's pixels per pixel of the square, (2,), across and down.
    """
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = np.zeros((side, side, 3), np.uint8)
    square[: size[1], : size[0]] = cv2.resize(
        frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return square, np.array([width / size[0], height / size[1]], np.float32)


def best_of(
    boxes: Floats, scores: Floats, kinds: NDArray[np.int64], threshold: float, common: float
) -> NDArray[np.intp]:
    """Return which boxes (n, 4) to keep, from left to right: of those of a kind that overlap more than `common`, the best.

    Boxes without width or height, and those that are no numbers, are left out.
    """
    sound = np.flatnonzero(
        np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1) & np.isfinite(scores)
    )
    if not len(sound):
        return sound
    places = np.concatenate([boxes[sound, :2], boxes[sound, 2:] - boxes[sound, :2]], axis=1).astype(np.float64)
    kept = cv2.dnn.NMSBoxesBatched(places.tolist(), scores[sound].tolist(), kinds[sound].tolist(), threshold, common)
    chosen = sound[np.asarray(kept, np.intp).reshape(-1)]
    return np.asarray(chosen[np.lexsort((boxes[chosen, 1], boxes[chosen, 0]))])


def in_sight(boxes: Floats, frame: Frame) -> NDArray[np.bool_]:
    """Tell which boxes (n, 4) reach into the frame."""
    height, width = frame.shape[:2]
    return np.asarray((boxes[:, :2] < (width, height)).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
