"""MediaPipe's face landmarker on the faces that YuNet finds: 478 points and 52 blendshapes each, through LiteRT."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from workflow_scripts.step5.blendshapes import BLENDSHAPE_NAMES
from workflow_scripts.step5.detections import BLENDSHAPES, Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath, OneByOne
from workflow_scripts.step5.engines.opencv_yunet import YuNet
from workflow_scripts.step5.face_mesh import BLENDSHAPE_POINTS, FaceSquare
from workflow_scripts.stepkit import PrerequisiteMissing

POINTS = 478
_LEAST_PRESENCE = 0.0
"""The network's own word, as a logit, on whether it was shown a face; 0 is a probability of 0.5, MediaPipe's default."""


class _Network:
    """One network of the task file: an array in, its outputs out."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, values: Floats) -> list[Floats]:
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class FaceLandmarker(OneByOne):
    """The engine `mediapipe_landmarker`. A face that the mesh does not recognise keeps its box alone."""

    name = "mediapipe_landmarker"
    points = POINTS
    blendshape_names = BLENDSHAPE_NAMES
    side = 1920

    def __init__(self, faces: YuNet, task: Path) -> None:
        self._faces = faces
        try:
            with zipfile.ZipFile(task) as parts:
                self._mesh = _Network(parts.read("face_landmarks_detector.tflite"))
                self._blendshapes = _Network(parts.read("face_blendshapes.tflite"))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            sentence = f"The model face_landmarker ({task}) cannot be read: {error}"
            raise PrerequisiteMissing(
                "model_unusable", sentence, "Run `derush models fetch face_landmarker`."
            ) from error

    def detect(self, frame: Frame) -> Detections:
        """Return the faces of a frame, from left to right."""
        faces = self._faces.detect(frame)
        assert faces.landmarks is not None
        landmarks = np.full((len(faces), POINTS, 3), np.nan, np.float32)
        blendshapes = np.full((len(faces), BLENDSHAPES), np.nan, np.float32)
        for row, (box, eyes) in enumerate(zip(faces.boxes, faces.landmarks[:, :2, :2], strict=True)):
            points = self._points(frame, FaceSquare.around(box, eyes))
            if points is not None:
                landmarks[row] = points
                blendshapes[row] = self._expression(points)
        return replace(faces, source=self.name, landmarks=landmarks, blendshapes=blendshapes)

    def _points(self, frame: Frame, square: FaceSquare) -> Floats | None:
        """Return the 478 points in pixels of the frame; None when the network sees no face in the square."""
        points, presence, _ = self._mesh(square.cut(frame))
        return square.to_frame(points.reshape(POINTS, 3)) if presence.item() > _LEAST_PRESENCE else None

    def _expression(self, points: Floats) -> Floats:
        """Return the 52 blendshapes of a face's points."""
        values = self._blendshapes(np.ascontiguousarray(points[None, BLENDSHAPE_POINTS, :2]))[0]
        return np.clip(values.reshape(BLENDSHAPES), 0, 1)


def load(model_path: ModelPath, _device: str = "cpu") -> FaceLandmarker:
    """Load the engine."""
    return FaceLandmarker(YuNet(model_path("yunet")), model_path("face_landmarker"))
