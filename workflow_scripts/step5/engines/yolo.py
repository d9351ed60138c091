"""Any detection, pose or segmentation network of ultralytics (AGPL-3.0), from a weights file that a person gives.

On the CPU it runs in OpenVINO, in bfloat16 where the processor has instructions for that, else in 32-bit floats: twice as
fast as torch there (docs/performance.md); on a GPU in torch, in 16-bit floats, many frames at once. Pictures are put to the
network as ultralytics puts them, and of boxes on one thing the best is kept by the same rule: `yolo predict` finds the same.
Weights are loaded as data: a file that wants to run code is refused.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

_OWN = {
    "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "ULTRALYTICS_SAFE_LOAD": "true", "YOLO_VERBOSE": "false",
}  # fmt: skip
os.environ.update(_OWN)  # it reads them when it is imported: nothing is installed, fetched or reported
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from ultralytics.data.augment import LetterBox
from ultralytics.nn.tasks import load_checkpoint, torch_safe_load
from ultralytics.utils.ops import scale_boxes, scale_coords

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import ModelPath, OutOfMemory
from workflow_scripts.step5.engines.boxes import best_of
from workflow_scripts.step5.engines.openvino_cpu import Network, compiled, quickest_precision
from workflow_scripts.stepkit import PrerequisiteMissing

SIDE = 640
_LEAST_SCORE = 0.1
_COMMON = 0.7
"""Overlap from which two boxes are one thing: as `yolo track` has them, scores from where ByteTrack's second band begins."""
_MOST = 300
"""Things a frame: ultralytics' own limit."""
_GPU_BATCH = 16
_SIZES = 4
_TASKS = ("detect", "pose", "segment")


class Yolo:
    """The engine `yolo`. Labels are the weights' own; points those of a pose network, their depth 0."""

    name = "yolo"
    blendshape_names: tuple[str, ...] = ()
    side = SIDE

    def __init__(self, weights: Path, device: str, precision: str | None = None) -> None:
        """Load weights; `precision` on the CPU is f32 or bf16, by default the quickest that the processor has."""
        torch.set_num_threads(1)
        self._precision = precision or quickest_precision()
        model = _loaded(weights)
        self._names: dict[int, str] = model.names
        self._is_pose = model.task == "pose"
        self._end_to_end = bool(getattr(model, "end2end", False))
        self.points = int(model.model[-1].kpt_shape[0]) if self._is_pose else 0
        self._boxed = LetterBox((SIDE, SIDE), auto=True, stride=int(max(model.stride)))
        self._model = _First(model)
        self._on = lru_cache(_SIZES)(self._compiled)
        self.device, self.batch = device, 1
        if device != "cpu":
            self._model.to(device).half()
            self.batch = _GPU_BATCH

    def detect(self, frame: Frame) -> Detections:
        """Return the things of a frame, from left to right."""
        return self.detect_all([frame])[0]

    def detect_all(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the things of each frame. Raises OutOfMemory when the GPU has no room for so many."""
        if not frames:
            return []
        pictures = np.stack([np.asarray(self._boxed(image=frame)) for frame in frames])
        try:
            with torch.inference_mode():
                answers = self._asked_cpu(pictures) if self.device == "cpu" else self._asked_gpu(pictures)
                return [
                    self._told(answer, pictures.shape[1:3], frame)
                    for answer, frame in zip(answers, frames, strict=True)
                ]
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(str(error)) from error

    def to_cpu(self) -> bool:
        """Go on without the GPU."""
        was_on_gpu = self.device != "cpu"
        self._model.to("cpu").float()
        self.device, self.batch = "cpu", 1
        return was_on_gpu

    def _asked_cpu(self, pictures: NDArray[np.uint8]) -> Iterator[Floats]:
        """Yield the network's raw answer to each of pictures (n, height, width, 3), blue, green, red; valid until the next."""
        ask = self._on(*pictures.shape[1:3])
        for picture in pictures:
            yield next(iter(ask(picture[None]).values()))[0]

    def _asked_gpu(self, pictures: NDArray[np.uint8]) -> Iterator[Floats]:
        """Yield the same of pictures that are asked about together; what scores too little is left on the GPU."""
        put = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).flip(1)
        answers: torch.Tensor = self._model(put.half() / 255)
        for answer in answers:
            if not self._end_to_end:
                answer = answer[:, answer[4 : 4 + len(self._names)].amax(0) > _LEAST_SCORE]  # noqa: PLW2901
            yield answer.float().cpu().numpy()

    def _compiled(self, height: int, width: int) -> Network:
        """Return the network in OpenVINO for pictures (1, height, width, 3), blue, green, red, of one size."""
        example = torch.zeros(1, 3, height, width)
        with torch.inference_mode():
            self._model(
                example
            )  # it notes where its cells lie the first time: that is not to be part of what is converted
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # OpenVINO traces, which torch would do otherwise by now
            model = ov.convert_model(self._model, example_input=example, input=example.shape)
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(ov.Type.f32).reverse_channels().scale(255.0)
        return compiled(steps.build(), self._precision)

    def _told(self, answer: Floats, shape: tuple[int, ...], frame: Frame) -> Detections:
        """Make the record of what a network answers about a picture of this height and width."""
        boxes, scores, kinds, more = self._kept(answer)
        places = np.asarray(scale_boxes((shape[0], shape[1]), boxes, frame.shape))
        sound = np.flatnonzero(np.isfinite(places).all(axis=1) & (places[:, :2] < places[:, 2:]).all(axis=1))
        order = sound[np.lexsort((places[sound, 1], places[sound, 0]))]
        points = None
        if self._is_pose:
            found = more[order].reshape(len(order), self.points, more.shape[1] // self.points)[..., :2]
            scaled = np.asarray(scale_coords(shape, found.copy(), frame.shape))
            points = np.concatenate([scaled, np.zeros((*scaled.shape[:2], 1))], axis=2).astype(np.float32)
        labels = tuple(self._names[int(kind)] for kind in kinds[order])
        told = np.clip(scores[order], 0, 1).astype(np.float32)
        return Detections(places[order].astype(np.float32), told, labels, self.name, points)

    def _kept(self, answer: Floats) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
        """Return boxes (n, 4) left, top, right, bottom, scores, kinds and what else is told of the things of a raw answer.

        That is (4 and kinds and more, cells), places being middles and sizes; or, from a network that chooses by itself, (cells, 6
        and more): left, top, right, bottom, score, kind.
        """
        if self._end_to_end:
            rows = answer[answer[:, 4] > _LEAST_SCORE][:_MOST]
            return rows[:, :4].copy(), rows[:, 4], rows[:, 5].astype(np.int64), rows[:, 6:]
        last = 4 + len(self._names)
        columns = np.flatnonzero(answer[4:last].max(axis=0) > _LEAST_SCORE)
        rows = answer[:, columns].T
        kinds, scores = rows[:, 4:last].argmax(axis=1), rows[:, 4:last].max(axis=1)
        boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
        kept = best_of(boxes, scores, kinds, _LEAST_SCORE, _COMMON)
        kept = kept[np.lexsort((kept, -scores[kept]))[:_MOST]]
        return boxes[kept], scores[kept], kinds[kept], rows[kept, last:]


class _First(torch.nn.Module):
    """A network that answers only with what it finds, without what it needs to be trained further."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: torch.Tensor) -> Any:
        answer = self.model(pictures)
        while isinstance(answer, (tuple, list)):
            answer = answer[0]
        return answer


def _loaded(weights: Path) -> Any:
    """Return the network of a weights file. Raises PrerequisiteMissing for what is none, or is of another task."""
    try:
        torch_safe_load(weights, safe_only=True)  # type: ignore[no-untyped-call]  # whoever imported it first
        model, _ = load_checkpoint(weights, fuse=True)  # type: ignore[no-untyped-call]
    except Exception as error:  # what an unknown file makes of the loader is anybody's guess
        raise _unusable(f"The weights {weights} cannot be used: {error!s:.200}") from error
    if model.task not in _TASKS:
        raise _unusable(f"The weights {weights} are for the task {model.task!r}; tracking takes {', '.join(_TASKS)}.")
    return model


def _unusable(sentence: str) -> PrerequisiteMissing:
    return PrerequisiteMissing(
        "model_unusable",
        sentence,
        "Name ultralytics detection, pose or segmentation weights (.pt) in STEP5_YOLO_WEIGHTS.",
    )


def load(model_path: ModelPath, device: str = "cpu") -> Yolo:
    """Load the engine."""
    return Yolo(model_path("step5_yolo_weights"), device)
