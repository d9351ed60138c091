"""A print of a face: 128 numbers that are alike for pictures of one person, by SFace (Zhong et al., 2021) through OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from workflow_scripts.step5.detections import Floats, Frame

PRINT = 128


class FacePrints:
    """SFace, loaded once."""

    def __init__(self, model: Path) -> None:
        self._network = cv2.FaceRecognizerSF.create(str(model), "")

    def of(self, portrait: Frame) -> Floats:
        """Return the print, (128,) of length 1, of an upright portrait (112, 112, 3); the dot product compares two."""
        print_ = np.asarray(self._network.feature(portrait), np.float32).reshape(PRINT)
        return np.asarray(print_ / max(float(np.linalg.norm(print_)), 1e-9), np.float32)
