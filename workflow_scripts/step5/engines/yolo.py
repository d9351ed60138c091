"""Any detection, pose or segmentation network of ultralytics (AGPL-3.0), from a weights file that a person gives.

On the CPU it runs in OpenVINO, which is nearly twice as fast as torch there (docs/performance.md); on a GPU in torch, in
16-bit floats, many frames at once. What stands before and behind the network is ultralytics' own: `yolo predict` finds the
same boxes. Weights are loaded as data: a file that wants to run code is refused.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
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
from ultralytics.data.augment import LetterBox
from ultralytics.nn.tasks import load_checkpoint, torch_safe_load
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes, scale_coords

from workflow_scripts.step5.detections import Detections, Frame
from workflow_scripts.step5.engines import ModelPath, OutOfMemory
from workflow_scripts.step5.engines.openvino_cpu import compiled
from workflow_scripts.stepkit import PrerequisiteMissing

SIDE = 640
_LEAST_SCORE = 0.1
_COMMON = 0.7
"""Overlap from which two boxes are one thing: as `yolo track` has them, scores from where ByteTrack's second band begins."""
_GPU_BATCH = 16
_SIZES = 4
_TASKS = ("detect", "pose", "segment")


class Yolo:
    """The engine `yolo`. Labels are the weights' own; points those of a pose network, their depth 0."""

    name = "yolo"
    blendshape_names: tuple[str, ...] = ()
    side = SIDE

    def __init__(self, weights: Path, device: str) -> None:
        torch.set_num_threads(1)
        model = _loaded(weights)
        self._names: dict[int, str] = model.names
        self._is_pose = model.task == "pose"
        self._end_to_end = bool(getattr(model, "end2end", False))
        self.points = int(model.model[-1].kpt_shape[0]) if self._is_pose else 0
        self._stride = int(max(model.stride))
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
        boxed = LetterBox((SIDE, SIDE), auto=True, stride=self._stride)
        pictures = np.stack([np.asarray(boxed(image=frame)) for frame in frames])[..., ::-1].transpose(0, 3, 1, 2)
        try:
            with torch.inference_mode():
                answers = self._answers(np.ascontiguousarray(pictures))
                kept = non_max_suppression(
                    answers, _LEAST_SCORE, _COMMON, nc=len(self._names), end2end=self._end_to_end
                )
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(str(error)) from error
        return [self._told(rows, pictures.shape[2:], frame) for rows, frame in zip(kept, frames, strict=True)]

    def to_cpu(self) -> bool:
        """Go on without the GPU."""
        was_on_gpu = self.device != "cpu"
        self._model.to("cpu").float()
        self.device, self.batch = "cpu", 1
        return was_on_gpu

    def _answers(self, pictures: np.typing.NDArray[np.uint8]) -> torch.Tensor:
        """Return the network's raw answer to pictures (n, 3, height, width), red, green, blue."""
        if self.device == "cpu":
            ask = self._on(*pictures.shape[2:])
            return torch.cat([ask(picture[None]) for picture in pictures])
        answer: torch.Tensor = self._model(torch.from_numpy(pictures).to(self.device).half() / 255)
        return answer.float()

    def _compiled(self, height: int, width: int) -> Callable[[np.typing.NDArray[np.uint8]], torch.Tensor]:
        """Return the network in OpenVINO for pictures of one size."""
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
        steps.input().tensor().set_element_type(ov.Type.u8)
        steps.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
        ask = compiled(steps.build())
        return lambda picture: torch.from_numpy(next(iter(ask(picture).values())).copy())

    def _told(self, rows: torch.Tensor, shape: tuple[int, ...], frame: Frame) -> Detections:
        """Make the record of kept rows (n, 6 and more): left, top, right, bottom, score, kind, and a pose's points."""
        rows = rows.cpu().float()
        boxes = np.asarray(scale_boxes((shape[0], shape[1]), rows[:, :4].clone(), frame.shape))
        sound = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1))
        order = sound[np.lexsort((boxes[sound, 1], boxes[sound, 0]))]
        labels = tuple(self._names[int(kind)] for kind in rows[order.tolist(), 5])
        scores = np.clip(rows[order.tolist(), 4].numpy(), 0, 1)
        points = self._points(rows[order.tolist(), 6:], shape, frame) if self._is_pose else None
        return Detections(boxes[order].astype(np.float32), scores.astype(np.float32), labels, self.name, points)

    def _points(self, values: torch.Tensor, shape: tuple[int, ...], frame: Frame) -> np.typing.NDArray[np.float32]:
        """Return the points (n, points, 3) in pixels of the frame."""
        places = values.reshape(len(values), self.points, -1)[..., :2].clone()
        scaled = np.asarray(scale_coords(shape, places, frame.shape))
        return np.concatenate([scaled, np.zeros((*scaled.shape[:2], 1))], axis=2).astype(np.float32)


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
