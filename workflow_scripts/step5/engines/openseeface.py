"""Faces by OpenSeeFace (Emiliana, 2020, BSD-2-Clause) in ONNX Runtime, from its folder of models: boxes, then 66 points.

What goes in and what the outputs mean is as in OpenSeeFace's tracker.py: two maps of 56 x 56 say where a face's middle is and
how far it reaches; for each point a map of 28 x 28 says where it is, and two more how far beside that.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath, OneByOne
from workflow_scripts.step5.engines.onnx_session import Session
from workflow_scripts.step5.tracks import DOUBTFUL
from workflow_scripts.stepkit import PrerequisiteMissing

_REMEDY = "Set STEP5_OPENSEEFACE_MODELS to the folder `models` of OpenSeeFace."
_DETECTOR = "mnv3_detection_opt.onnx"
_LANDMARKERS = ("lm_model4_opt.onnx", "lm_model3_opt.onnx", "lm_model2_opt.onnx", "lm_model1_opt.onnx")
"""The best first: the slowest as well."""
_SIDE = 224
_CELLS, _CELL = 56, 4
_REACH = 112.0
_POINTS = 66
_MOST = 60
"""Faces a frame."""
_WIDER, _HIGHER = 0.1, 0.125
"""By how much the cut-out for the points is larger than the box, on each side."""
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_SHARPNESS = 16.0
_LEAST_SURE = 0.6
"""Mean certainty of the points below which there is no face: OpenSeeFace's default."""


class OpenSeeFace(OneByOne):
    """The engine `openseeface`. A face whose points are not found keeps its box alone."""

    name = "openseeface"
    points = _POINTS
    blendshape_names: tuple[str, ...] = ()
    side = 1920

    def __init__(self, detector: Session, landmarker: Session) -> None:
        self._detector, self._landmarker = detector, landmarker

    def detect(self, frame: Frame) -> Detections:
        """Return the faces of a frame, from left to right."""
        boxes, scores = self._boxes(frame)
        points = np.array([self._points(frame, box) for box in boxes], np.float32).reshape(-1, _POINTS, 3)
        return Detections(boxes, scores, ("face",) * len(boxes), self.name, points)

    def _boxes(self, frame: Frame) -> tuple[Floats, Floats]:
        height, width = frame.shape[:2]
        maps, peaks = self._detector(_blob(frame))
        middle = np.where(maps[0, 0] == peaks[0, 0], maps[0, 0], 0).ravel()
        kept = np.argsort(-middle, kind="stable")[:_MOST]
        kept = kept[middle[kept] >= DOUBTFUL]
        centres = np.stack([kept % _CELLS, kept // _CELLS], axis=1) * float(_CELL)
        reach = maps[0, 1].ravel()[kept][:, None] * _REACH
        boxes = np.concatenate([centres - reach, centres + reach], axis=1) * np.tile([width / _SIDE, height / _SIDE], 2)
        sound = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1))
        order = sound[np.lexsort((boxes[sound, 1], boxes[sound, 0]))]
        return boxes[order].astype(np.float32), np.clip(middle[kept][order], 0, 1).astype(np.float32)

    def _points(self, frame: Frame, box: Floats) -> NDArray[np.float64]:
        """Return the points (66, 3) in pixels of the frame; NaN where they are not found."""
        size = box[2:] - box[:2]
        margin = size * (_WIDER, _HIGHER)
        limits = np.array([frame.shape[1], frame.shape[0]])
        first = np.clip(np.floor(box[:2] - margin), 0, limits - 1).astype(int)
        last = np.clip(np.ceil(box[2:] + margin), first + 1, limits).astype(int)
        maps = self._landmarker(_blob(frame[first[1] : last[1], first[0] : last[0]]))[0][0]
        cells = maps.shape[-1]
        where, down, across = maps.reshape(3, _POINTS, cells * cells)
        peak = where.argmax(axis=1)
        rows = np.arange(_POINTS)
        if where[rows, peak].mean() < _LEAST_SURE:
            return np.full((_POINTS, 3), np.nan)
        beside = np.stack([_offset(across[rows, peak]), _offset(down[rows, peak])], axis=1)
        grid = np.stack([peak % cells, peak // cells], axis=1) / (cells - 1)
        places = first + (grid + beside) * (_SIDE - 1) * (last - first) / _SIDE
        return np.column_stack([places, np.zeros(_POINTS)])

    def to_cpu(self) -> bool:
        """Go on without the GPU."""
        return any([session.to_cpu() for session in (self._detector, self._landmarker)])


def _blob(picture: Frame) -> Floats:
    """Return a picture as both networks take it: (1, 3, 224, 224), red, green, blue."""
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    normal = (small.astype(np.float32) / np.float32(255) - _MEAN) / _DEVIATION
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def _offset(values: Floats) -> NDArray[np.float64]:
    """Return what a point lies beside its cell, as a share of the cut-out, from the network's 0 to 1."""
    safe = np.clip(values.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(safe / (1 - safe)) / _SHARPNESS)


def load(model_path: ModelPath, device: str = "cpu") -> OpenSeeFace:
    """Load the engine. Raises PrerequisiteMissing when the folder has not the two models."""
    folder = model_path("step5_openseeface_models")
    points = next((folder / name for name in _LANDMARKERS if (folder / name).is_file()), None)
    if points is None or not (folder / _DETECTOR).is_file():
        wanted = f"{_DETECTOR} and one of {', '.join(_LANDMARKERS)}"
        raise PrerequisiteMissing("model_missing", f"The folder {folder} has not {wanted}.", _REMEDY)
    return OpenSeeFace(Session(folder / _DETECTOR, device, _REMEDY), Session(points, device, _REMEDY))
