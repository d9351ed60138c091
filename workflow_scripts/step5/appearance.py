"""What things look like, cheaply: colours to tell apart what moves alike, the mouth, and now and then a portrait.

Colours: two bands of a box (a face: hair and face, then what is worn below; anything else: upper and lower half) are
counted by hue, or by brightness where there is no colour; two such records compare by the Bhattacharyya coefficient.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Detections, Floats, Frame, Looks

_HUES, _GREYS = 12, 6
BINS = 2 * (2 * _HUES + _GREYS)
"""Numbers of a record: per band, hues in the dark and in the light, and greys."""
_LEAST_SATURATION = 45
"""Of 255: below it a pixel counts as grey, its hue is noise."""
_ROWS, _COLUMNS = 12, 16
"""Pixels that are looked at in each band."""
_FACE_BANDS = ((-0.25, 0.75), (1.05, 1.75))
_OTHER_BANDS = ((0.05, 0.5), (0.5, 0.95))
"""Top and bottom of the bands, in heights of the box from its top."""


PORTRAIT_EVERY = 5
"""Frames from one portrait to the next: a face that is seen for a fifth of a second has one."""
PORTRAIT_SIDE = 112
"""Side in pixels of a face's portrait: what SFace takes."""
BODY_SIZE = (64, 128)
"""Width and height in pixels of the portrait of anything else."""
LEAST_FACE = 24
"""Width in pixels below which a face is too coarse for a portrait."""
_EYE = range(36, 42)  # in the order of iBUG's 68 points, of which OpenSeeFace gives 66; the other eye follows
_FIVE_POINTS: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    66: (tuple(_EYE), tuple(point + 6 for point in _EYE), (30,), (48,), (54,)),
    106: ((38,), (88,), (86,), (52,), (61,)),
    478: ((468,), (473,), (1,), (61,), (291,)),
}
"""Which of an engine's points, by their number, are the person's right eye, left eye, nose, right and left mouth corner; of
several the middle. Five: YuNet's and SCRFD's; 66: OpenSeeFace's; 106: InsightFace's 2d106det; 478: MediaPipe's."""
_UPRIGHT = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where these points are in a portrait: the template of ArcFace (Deng et al., CVPR 2019), which SFace was trained with."""
MOUTH_SIZE = (16, 10)
"""Columns and rows of `Looks.mouths`."""
_MOUTH = (36.0, 80.0, 76.0, 110.0)
"""The mouth in a portrait: left, top, right, bottom."""


def with_looks(frame: Frame, detections: Detections, number: int) -> Detections:
    """Return the detections of frame `number` (0-based) with what they look like.

    Portraits are taken in every PORTRAIT_EVERY-th frame, the frame's number deciding, whoever reads it.
    """
    takes_portrait = number % PORTRAIT_EVERY == 0
    squares = [_face_square(detections, row) for row in range(len(detections))]
    mouths = [_mouth(frame, square) for square in squares]
    portraits = (
        _portrait(frame, detections, row, square) if takes_portrait else None for row, square in enumerate(squares)
    )
    columns, rows = MOUTH_SIZE
    stacked = np.array(mouths, np.float32).reshape(len(detections), columns * rows)
    return replace(detections, looks=Looks(_colours(frame, detections), stacked, tuple(portraits)))


def _face_square(detections: Detections, row: int) -> NDArray[np.float64] | None:
    """Return what maps the frame to an upright portrait of the face, (2, 3); None where no face's points are known."""
    if detections.labels[row] != "face" or detections.landmarks is None:
        return None
    points = detections.landmarks[row]
    five = _FIVE_POINTS.get(len(points))
    if five is None or np.isnan(points).any():
        return None
    return _similarity(np.array([points[list(group), :2].mean(axis=0) for group in five], np.float64))


def _similarity(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the turn, scale and shift, (2, 3), that bring points (5, 2) nearest to the upright ones; None if they are one."""
    middle, target = points.mean(axis=0), _UPRIGHT.mean(axis=0)
    a, b = points - middle, _UPRIGHT - target
    spread = float((a**2).sum())
    if spread < 1e-6:
        return None
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, target - turn @ middle])


def _portrait(frame: Frame, detections: Detections, row: int, square: NDArray[np.float64] | None) -> Frame | None:
    """Return a picture of one thing, None for a face that is too small or whose points are not known."""
    left, top, right, bottom = detections.boxes[row]
    if square is not None:
        if right - left < LEAST_FACE:
            return None
        size = (PORTRAIT_SIDE, PORTRAIT_SIDE)
        return np.asarray(cv2.warpAffine(frame, square, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))
    if detections.labels[row] == "face" or x2 - x1 < 2 or y2 - y1 < 2:
        return None
    return np.asarray(cv2.resize(frame[y1:y2, x1:x2], BODY_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def _mouth(frame: Frame, square: NDArray[np.float64] | None) -> Floats:
    """Return the grey levels of the mouth, 0 to 1, in one row; NaN where no face is known."""
    columns, rows = MOUTH_SIZE
    if square is None:
        return np.full(columns * rows, np.nan, np.float32)
    left, top, right, bottom = _MOUTH
    scale = np.array([[columns / (right - left)], [rows / (bottom - top)]])
    matrix = square * scale
    matrix[:, 2] -= np.array([left, top]) * scale[:, 0]
    cut = cv2.warpAffine(frame, matrix, MOUTH_SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY), np.float32).ravel() / np.float32(255)


def _colours(frame: Frame, detections: Detections) -> Floats:
    """Return (n, BINS): square roots of shares, so that a product compares two. Past the edge the outermost pixels count."""
    if not len(detections):
        return np.zeros((0, BINS), np.float32)
    bands = np.array([_FACE_BANDS if label == "face" else _OTHER_BANDS for label in detections.labels])
    return _counted(_looked_at(frame, detections.boxes, bands))


def _looked_at(frame: Frame, boxes: Floats, bands: NDArray[np.float64]) -> Frame:
    """Return pixels (n * 2 * _ROWS, _COLUMNS, 3) of the bands (n, 2, 2) of boxes (n, 4), evenly spread."""
    height, width = frame.shape[:2]
    left, top, right, bottom = boxes.astype(np.float64).T
    down = bands[:, :, :1] + (bands[:, :, 1:] - bands[:, :, :1]) * (np.arange(_ROWS) + 0.5) / _ROWS  # (n, 2, rows)
    rows = top[:, None, None] + down * (bottom - top)[:, None, None]
    columns = left[:, None] + (right - left)[:, None] * (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    y = np.clip(rows, 0, height - 1).astype(np.intp).reshape(len(boxes), -1, 1)
    x = np.clip(columns, 0, width - 1).astype(np.intp)[:, None, :]
    looked_at: Frame = frame[y, x].reshape(-1, _COLUMNS, 3)
    return looked_at


def _counted(pixels: Frame) -> Floats:
    """Count the kinds of pixels of each band."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    hue, saturation, value = (hsv[..., channel].astype(np.intp) for channel in range(3))
    coloured = hue * _HUES // 180 + _HUES * (value >= 128)
    kinds = np.where(saturation >= _LEAST_SATURATION, coloured, 2 * _HUES + value * _GREYS // 256)
    per_band = 2 * _HUES + _GREYS
    kinds = kinds.reshape(-1, _ROWS * _COLUMNS)
    offsets = np.arange(len(kinds))[:, None] * per_band
    counts = np.bincount((kinds + offsets).ravel(), minlength=len(kinds) * per_band).reshape(-1, BINS)
    return np.sqrt(counts / (2 * _ROWS * _COLUMNS)).astype(np.float32)
