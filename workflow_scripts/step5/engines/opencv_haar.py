"""Faces by the cascades that come with OpenCV (Viola and Jones, 2001; Lienhart, 2002): the oldest way, in need of no model.

Upright faces seen from the front. OpenCV 5 has no cascades any more.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from workflow_scripts.step5.detections import Detections, Frame
from workflow_scripts.step5.engines import ModelPath, OneByOne

_CASCADE = "haarcascade_frontalface_alt2.xml"
_STEP = 1.1
_NEIGHBOURS = 3
_LEAST_SHARE = 0.06
"""Width of the smallest face, as a share of the frame's longer side."""
_LEAST_FACE = 24
_HALF = 10.0
"""A face's score is n / (n + _HALF) where n windows around it agree: of true ones on the demo's clips 25 and more."""


class Haar(OneByOne):
    """The engine `opencv_haar`. Its boxes are squares from above the brows to the chin."""

    name = "opencv_haar"
    points = 0
    blendshape_names: tuple[str, ...] = ()
    side = 640

    def __init__(self, cascade: Path) -> None:
        self._cascade = cv2.CascadeClassifier(str(cascade))

    def detect(self, frame: Frame) -> Detections:
        """Return the faces of a frame, from left to right."""
        height, width = frame.shape[:2]
        scale = min(1.0, self.side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = frame if scale == 1.0 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        least = max(_LEAST_FACE, round(max(size) * _LEAST_SHARE))
        if min(size) < least:
            return _detections(np.zeros((0, 4)), np.zeros(0))
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
        places, agreeing = self._cascade.detectMultiScale2(grey, _STEP, _NEIGHBOURS, minSize=(least, least))
        found = np.asarray(places, np.float64).reshape(-1, 4)
        per_axis = np.array([width / size[0], height / size[1]] * 2)
        return _detections(found * per_axis, np.asarray(agreeing, np.float64).reshape(-1))


def _detections(found: np.typing.NDArray[np.float64], agreeing: np.typing.NDArray[np.float64]) -> Detections:
    """Make the record of places (n, 4) left, top, width, height, and of how many windows agree on each."""
    order = np.lexsort((found[:, 1], found[:, 0]))
    found, agreeing = found[order], agreeing[order]
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1).astype(np.float32)
    scores = (agreeing / (agreeing + _HALF)).astype(np.float32)
    return Detections(boxes, scores, ("face",) * len(found), Haar.name)


def load(_model_path: ModelPath, _device: str = "cpu") -> Haar:
    """Load the engine."""
    return Haar(Path(cv2.__file__).parent / "data" / _CASCADE)
