"""YuNet (Wu et al., 2023) through OpenCV: boxes of faces with five points each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath
from workflow_scripts.step5.tracks import DOUBTFUL

WORKING_SIDE = 640
"""The longer side, in pixels, to which larger frames are reduced; smaller ones stay as they are.

Measured: YuNet finds every face from 12 to 24 pixels of width up in what it is given, according to the clip. At 640 that is
4 % of the picture's width, at 400 6 %; small faces at 640 score 0.85 instead of 0.75. 640 costs 7.5 ms a frame instead of 6,
960 19 ms for no further face, on two cores."""
_LEAST_FACE = 12
"""No face is found below this width in pixels (measured above): a frame narrower than that, as YuNet sees it, shows none.
Such frames are not given to it: on strips of one to three pixels it answers with random places, NaN and infinity."""
_LEAST_COMMON = 0.3
"""Boxes that overlap more than this (intersection over union) are one face: OpenCV's own default."""
_MOST = 5000
_POINTS = 5


class YuNet:
    """The engine `opencv_yunet`. Points: right eye, left eye, nose, right and left corner of the mouth (the person's)."""

    name = "opencv_yunet"
    points = _POINTS
    blendshape_names: tuple[str, ...] = ()

    def __init__(self, model: Path) -> None:
        self._network = cv2.FaceDetectorYN.create(str(model), "", (32, 32), DOUBTFUL, _LEAST_COMMON, _MOST)

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
        """Return YuNet's own rows (n, 15): left, top, width, height, five points, score; in pixels of the frame."""
        height, width = frame.shape[:2]
        scale = min(1.0, WORKING_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if min(size) < _LEAST_FACE:
            return np.zeros((0, 15), np.float32)
        small = frame if scale == 1.0 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        _, found = self._network.detect(small)
        if found is None:
            return np.zeros((0, 15), np.float32)  # type: ignore[unreachable]  # OpenCV's stubs forget the None
        per_axis = np.array([width / size[0], height / size[1]] * 7 + [1], np.float32)
        return np.asarray(found, np.float32) * per_axis


def load(model_path: ModelPath) -> YuNet:
    """Load the engine."""
    return YuNet(model_path("yunet"))
