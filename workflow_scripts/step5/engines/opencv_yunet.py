"""YuNet (Wu et al., 2023), OpenCV's face detector: boxes of faces with five points each.

The network runs in OpenVINO, which takes half the time of OpenCV's own runtime on a CPU (docs/performance.md); what its
outputs mean, and what is done with them, is as in OpenCV's modules/objdetect/src/face_detect.cpp.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath, OneByOne
from workflow_scripts.step5.engines.openvino_cpu import Network, picture_network, read_onnx
from workflow_scripts.step5.tracks import DOUBTFUL

WORKING_SIDE = 640
"""The longer side, in pixels, to which larger frames are reduced; smaller ones stay as they are.

Measured: YuNet finds every face from 12 to 24 pixels of width up in what it is given, according to the clip. At 640 that is
4 % of the picture's width, at 400 6 %; small faces at 640 score 0.85 instead of 0.75. 960 takes 2.5 times as long for no
further face."""
_LEAST_FACE = 12
"""No face is found below this width in pixels (measured above): a frame narrower than that, as YuNet sees it, shows none.
Such frames are not given to it: on strips of one to three pixels it answers with random places, NaN and infinity."""
_LEAST_COMMON = 0.3
"""Boxes that overlap more than this (intersection over union) are one face: OpenCV's own default."""
_MOST = 5000
_POINTS = 5
_STRIDES = (8, 16, 32)
_GRID = 32
_SIZES = 4
"""Frame sizes for which a compiled network is kept."""


class YuNet(OneByOne):
    """The engine `opencv_yunet`. Points: right eye, left eye, nose, right and left corner of the mouth (the person's)."""

    name = "opencv_yunet"
    points = _POINTS
    blendshape_names: tuple[str, ...] = ()
    side = WORKING_SIDE

    def __init__(self, model: Path) -> None:
        self._model = read_onnx("yunet", model)
        self._network = lru_cache(_SIZES)(self._compiled)

    def _compiled(self, height: int, width: int) -> Network:
        return picture_network(self._model, height, width)

    def detect(self, frame: Frame) -> Detections:
        """Return the faces of a frame, from left to right."""
        height, width = frame.shape[:2]
        rows = self._rows(frame)
        rows = rows[np.isfinite(rows).all(axis=1)]
        in_sight = (rows[:, :2] < (width, height)).all(axis=1) & (rows[:, :2] + rows[:, 2:4] > 0).all(axis=1)
        rows = rows[in_sight & (rows[:, 2:4] > 0).all(axis=1)]
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        points = np.zeros((len(rows), _POINTS, 3), np.float32)
        points[:, :, :2] = rows[:, 4:14].reshape(-1, _POINTS, 2)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        scores = np.clip(rows[:, 14], 0, 1)
        return Detections(boxes, scores, ("face",) * len(rows), self.name, landmarks=points)

    def _rows(self, frame: Frame) -> Floats:
        """Return (n, 15): left, top, width, height, five points, score; in pixels of the frame."""
        height, width = frame.shape[:2]
        scale = min(1.0, WORKING_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if min(size) < _LEAST_FACE:
            return np.zeros((0, 15), np.float32)
        small = frame if scale == 1.0 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        below, beside = -size[1] % _GRID, -size[0] % _GRID
        padded = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        answers = self._network(*padded.shape[:2])(padded)
        found = _apart(np.concatenate([_decoded(answers, stride, padded.shape[1]) for stride in _STRIDES]))
        per_axis = np.array([width / size[0], height / size[1]] * 7 + [1], np.float32)
        return found * per_axis


def _decoded(answers: dict[str, Floats], stride: int, width: int) -> Floats:
    """Return the rows (n, 15) of one stride that score at least DOUBTFUL; `width` is that of the picture asked about."""
    classes, objects = (np.clip(answers[f"{kind}_{stride}"][0, :, 0], 0, 1) for kind in ("cls", "obj"))
    scores = np.sqrt(classes * objects)
    kept = np.flatnonzero(scores >= DOUBTFUL)
    cells = np.stack([kept % (width // stride), kept // (width // stride)], axis=1).astype(np.float32)
    boxes, points = answers[f"bbox_{stride}"][0, kept], answers[f"kps_{stride}"][0, kept].reshape(-1, _POINTS, 2)
    centres, sizes = (boxes[:, :2] + cells) * stride, np.exp(boxes[:, 2:]) * stride
    places = ((points + cells[:, None]) * stride).reshape(-1, 2 * _POINTS)
    rows = np.concatenate([centres - sizes / 2, sizes, places, scores[kept, None]], axis=1)
    return np.asarray(rows, np.float32)


def _apart(rows: Floats) -> Floats:
    """Keep the best row of those that are about one face."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    whole: NDArray[np.int32] = np.clip(rows[:, :4], -1e6, 1e6).astype(np.int32)
    best = cv2.dnn.NMSBoxes(whole.tolist(), rows[:, 14].tolist(), DOUBTFUL, _LEAST_COMMON, top_k=_MOST)
    return rows[np.asarray(best, np.intp).reshape(-1)]


def load(model_path: ModelPath, _device: str = "cpu") -> YuNet:
    """Load the engine."""
    return YuNet(model_path("yunet"))
