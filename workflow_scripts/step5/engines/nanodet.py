"""NanoDet (RangiLyu, 2020, Apache-2.0): persons and 79 other kinds of things, small and quick.

The network gives for every cell of three grids 80 scores and, for each side of the box, the shares of 11 distances; the
distance is their mean, in cells (generalized focal loss, Li et al., 2020).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath, OneByOne
from workflow_scripts.step5.engines.boxes import best_of, in_sight, shrunk
from workflow_scripts.step5.engines.coco import COCO
from workflow_scripts.step5.engines.onnx_session import Session

_SIDE = 416
_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)
_DISTANCES = np.arange(11, dtype=np.float32)
_LEAST_SCORE = 0.25
_LEAST_COMMON = 0.5
_SPREAD = 0.5
"""Its scores are lower than others': 0.35 is a sure find in a still. They are raised to this power, so that tracks take
0.5 and above as sure (0.5 ** 0.5 = 0.71) and 0.25 as doubtful, as the thresholds of `tracks` have it."""


class NanoDet(OneByOne):
    """The engine `nanodet`. Scores are the network's own to the power of _SPREAD."""

    name = "nanodet"
    points = 0
    blendshape_names: tuple[str, ...] = ()
    side = _SIDE

    def __init__(self, model: Path, device: str) -> None:
        self._network = Session(model, device, "Run `derush models fetch nanodet`.")
        answers = self._network(np.zeros((1, 3, _SIDE, _SIDE), np.float32))
        cells = {answer.shape[1] for answer in answers}
        self._strides = {count: round(_SIDE / count**0.5) for count in cells}

    def detect(self, frame: Frame) -> Detections:
        """Return the things of a frame, from left to right."""
        square, per_pixel = shrunk(frame, _SIDE)
        picture = (square.astype(np.float32) - _MEAN) / _DEVIATION
        answers = {
            answer.shape[1:]: answer[0]
            for answer in self._network(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
        }
        parts = [
            _decoded(answers[count, 80], answers[count, 44], stride) for count, stride in sorted(self._strides.items())
        ]
        boxes, scores, kinds = (np.concatenate(column) for column in zip(*parts, strict=True))
        kept = best_of(boxes, scores, kinds, _LEAST_SCORE, _LEAST_COMMON)
        places = boxes[kept] * np.tile(per_pixel, 2)
        inside = in_sight(places, frame)
        kept, places = kept[inside], places[inside]
        labels = tuple(COCO[kind] for kind in kinds[kept])
        return Detections(
            places.astype(np.float32), np.clip(scores[kept], 0, 1) ** np.float32(_SPREAD), labels, self.name
        )

    def to_cpu(self) -> bool:
        """Go on without the GPU."""
        return self._network.to_cpu()


def _decoded(scores: Floats, shares: Floats, stride: int) -> tuple[Floats, Floats, np.typing.NDArray[np.int64]]:
    """Return boxes (n, 4) in pixels of the square, scores and kinds of the cells of one grid that see something."""
    kinds = scores.argmax(axis=1)
    best = scores.max(axis=1)
    kept = np.flatnonzero(best >= _LEAST_SCORE)
    weights = shares[kept].reshape(-1, 4, 11)
    weights = np.exp(weights - weights.max(axis=2, keepdims=True))
    distances = (weights * _DISTANCES).sum(axis=2) / weights.sum(axis=2) * stride
    across = _SIDE // stride
    centres = (np.stack([kept % across, kept // across], axis=1) + np.float32(0.5)) * stride
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return boxes.astype(np.float32), best[kept], kinds[kept].astype(np.int64)


def load(model_path: ModelPath, device: str = "cpu") -> NanoDet:
    """Load the engine."""
    return NanoDet(model_path("nanodet"), device)
