"""Faces by InsightFace's models in ONNX Runtime, from a folder that a person gives: SCRFD (Guo et al., 2021) for the boxes,
and a network of 106 points where the folder has one.

InsightFace's model packs (`buffalo_l` and so on) are for research that is not commercial: whoever gives the folder answers
for the licence. Which file is what is told by its outputs, not by its name; those of other tasks are passed over.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath, OneByOne
from workflow_scripts.step5.engines.boxes import best_of, in_sight, shrunk
from workflow_scripts.step5.engines.onnx_session import Session
from workflow_scripts.step5.tracks import DOUBTFUL
from workflow_scripts.stepkit import PrerequisiteMissing

REMEDY = "Set STEP5_INSIGHTFACE_MODELS to a folder with an SCRFD model, such as det_10g.onnx of the pack buffalo_l."
_SIDE = 640
"""Of the square that an SCRFD without a size of its own is given; InsightFace's default."""
_LAYOUTS = {6: ((8, 16, 32), 2), 9: ((8, 16, 32), 2), 10: ((8, 16, 32, 64, 128), 1), 15: ((8, 16, 32, 64, 128), 1)}
"""By how many outputs an SCRFD has: the strides of its grids and its anchors a cell. 9 and 15 tell five points as well."""
_COMMON = 0.4
_FIVE = 5
_POINTS = 106
_MARGIN = 1.5
"""Side of the square that the points are looked for in, in longer sides of the box."""


class InsightFace(OneByOne):
    """The engine `insightface`. Points: SCRFD's five (as YuNet's), or the 106 of the landmark model."""

    name = "insightface"
    blendshape_names: tuple[str, ...] = ()

    def __init__(self, detector: Session, landmarker: Session | None) -> None:
        self._detector, self._landmarker = detector, landmarker
        self._strides, self._anchors = _LAYOUTS[len(detector.outputs)]
        side = detector.inputs[0][1][2]
        self.side = side if isinstance(side, int) else _SIDE
        self._tells_five = len(detector.outputs) in (9, 15)
        self.points = _POINTS if landmarker else _FIVE if self._tells_five else 0

    def detect(self, frame: Frame) -> Detections:
        """Return the faces of a frame, from left to right."""
        square, per_pixel = shrunk(frame, self.side)
        blob = cv2.dnn.blobFromImage(square, 1 / 128, mean=(127.5, 127.5, 127.5), swapRB=True)
        answers = self._detector(np.asarray(blob))
        grids = len(self._strides)
        parts = [self._decoded(answers[place::grids], stride) for place, stride in enumerate(self._strides)]
        boxes, scores, points = (np.concatenate(column) for column in zip(*parts, strict=True))
        kept = best_of(boxes, scores, np.zeros(len(boxes), np.int64), DOUBTFUL, _COMMON)
        places = boxes[kept] * np.tile(per_pixel, 2)
        inside = in_sight(places, frame)
        kept, places = kept[inside], places[inside].astype(np.float32)
        scores = np.clip(scores[kept], 0, 1).astype(np.float32)
        landmarks = self._landmarks(frame, places, points[kept] * per_pixel) if self.points else None
        return Detections(places, scores, ("face",) * len(kept), self.name, landmarks)

    def _decoded(self, answers: list[Floats], stride: int) -> tuple[Floats, Floats, Floats]:
        """Return boxes (n, 4), scores and points (n, 5, 2), in pixels of the square, of the anchors of a grid that see a face."""
        told = [
            answer.reshape(-1, answer.shape[-1]) for answer in answers
        ]  # some models have a dimension for the batch
        scores = told[0][:, 0]
        kept = np.flatnonzero(scores >= DOUBTFUL)
        cells = kept // self._anchors
        across = self.side // stride
        centres = np.stack([cells % across, cells // across], axis=1).astype(np.float32) * stride
        reach = told[1][kept] * stride
        boxes = np.concatenate([centres - reach[:, :2], centres + reach[:, 2:]], axis=1)
        points = np.zeros((len(kept), _FIVE, 2), np.float32)
        if self._tells_five:
            points = centres[:, None] + told[2][kept].reshape(-1, _FIVE, 2) * stride
        return boxes, scores[kept], points

    def _landmarks(self, frame: Frame, boxes: Floats, five: Floats) -> Floats:
        """Return points (n, points, 3) in pixels of the frame."""
        if self._landmarker is None:
            return np.concatenate([five, np.zeros((*five.shape[:2], 1))], axis=2).astype(np.float32)
        return np.array([_points(self._landmarker, frame, box) for box in boxes], np.float32).reshape(-1, _POINTS, 3)

    def to_cpu(self) -> bool:
        """Go on without the GPU."""
        return any([session.to_cpu() for session in (self._detector, self._landmarker) if session])


def _points(landmarker: Session, frame: Frame, box: Floats) -> NDArray[np.float64]:
    """Return the 106 points of the face in a box; their depth is not told: 0."""
    side = landmarker.inputs[0][1][2]
    scale = side / (float((box[2:] - box[:2]).max()) * _MARGIN)
    shift = side / 2 - (box[:2] + box[2:]) / 2 * scale
    cut = cv2.warpAffine(frame, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (side, side))
    answer = landmarker(np.asarray(cv2.dnn.blobFromImage(cut, swapRB=True)))[0].reshape(-1, 2)[-_POINTS:]
    places = ((answer + 1) * (side // 2) - shift) / scale
    return np.column_stack([places, np.zeros(_POINTS)])


def load(model_path: ModelPath, device: str = "cpu") -> InsightFace:
    """Load the engine. Raises PrerequisiteMissing when the folder has no SCRFD."""
    folder = model_path("step5_insightface_models")
    sessions = [Session(path, device, REMEDY) for path in sorted(folder.glob("*.onnx"))]
    detector = next((session for session in sessions if len(session.outputs) in _LAYOUTS), None)
    if detector is None:
        raise PrerequisiteMissing("model_missing", f"No SCRFD model among the .onnx files of {folder}.", REMEDY)
    landmarker = next((one for one in sessions if list(one.outputs[0][1])[-1:] == [2 * _POINTS]), None)
    return InsightFace(detector, landmarker)
