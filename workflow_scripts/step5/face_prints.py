"""A print of a face: some numbers that are alike for pictures of one person, by SFace or by a model that InsightFace trained."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from workflow_scripts.step5.detections import Floats, Frame
from workflow_scripts.stepkit.files import sha256_of

SFACE = "sface"
PRINT = 128
"""Numbers of a print by SFace."""
_SIDE = 112


class FacePrints(Protocol):
    """Makes prints. Those of one `kind` compare, by their dot product; from `same` up they are taken for one person's."""

    kind: str
    same: float

    def of(self, portrait: Frame) -> Floats:
        """Return the print, of length 1, of an upright portrait (112, 112, 3)."""
        ...


class SFace:
    """SFace (Zhong et al., 2021) through OpenCV: the catalogue's own."""

    kind = SFACE
    same = 0.42
    """Measured on 3 people in 12 shots: one person's 0.57 and above, two people's 0.29 at most; SFace's authors take 0.363 for
    pictures of any kind."""

    def __init__(self, model: Path) -> None:
        self._network = cv2.FaceRecognizerSF.create(str(model), "")

    def of(self, portrait: Frame) -> Floats:
        """See `FacePrints`."""
        return _long_one(np.asarray(self._network.feature(portrait), np.float32).reshape(PRINT))


class ArcFace:
    """A recognition model of an InsightFace pack (Deng et al., CVPR 2019), such as w600k_r50.onnx."""

    same = 0.4
    """Between what its authors report of one person's pictures and of two people's; not measured here for want of a model."""

    def __init__(self, model: Path) -> None:
        from workflow_scripts.step5.engines.insightface import REMEDY
        from workflow_scripts.step5.engines.onnx_session import Session

        self.kind = f"arcface {sha256_of(model)[:16]}"
        self._network = Session(model, "cpu", REMEDY)

    def of(self, portrait: Frame) -> Floats:
        """See `FacePrints`."""
        blob = cv2.dnn.blobFromImage(portrait, 1 / 127.5, (_SIDE, _SIDE), (127.5, 127.5, 127.5), swapRB=True)
        return _long_one(self._network(np.asarray(blob))[0].astype(np.float32).ravel())


def _long_one(values: Floats) -> Floats:
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9), np.float32)


def recognition_model(folder: Path) -> Path | None:
    """Return the model of a folder of InsightFace's that makes prints: told by its form, as the engine's own are. Or None."""
    from workflow_scripts.step5.engines.insightface import REMEDY
    from workflow_scripts.step5.engines.onnx_session import Session

    for path in sorted(folder.glob("*.onnx")):
        session = Session(path, "cpu", REMEDY)
        shapes = [list(shape) for _, shape in (*session.inputs, *session.outputs)]
        if len(shapes) == 2 and shapes[0][1:] == [3, _SIDE, _SIDE] and len(shapes[1]) == 2:
            return path
    return None
