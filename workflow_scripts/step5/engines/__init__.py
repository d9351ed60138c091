"""The tracking engines: what each is called, what it needs, how it is loaded. An engine is loaded by name, lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from workflow_scripts.step5.detections import Detections, Frame

ModelPath = Callable[[str], Path]
"""Gives, by its name, the verified file of a model of the catalogue, or what a setting names (`EngineSpec.given`)."""
JOIN = "+"
"""Between the names of engines that are to work together: `opencv_yunet+nanodet`."""


class OutOfMemory(Exception):
    """The device has no room for so many frames at once."""


class Engine(Protocol):
    """Sees things in single frames. Knows nothing of the frames before, nor of those beside it in a batch.

    `points` is how many landmarks it gives each thing, 0 for none; `blendshape_names` is empty or names the 52.
    `side` is the longer side, in pixels, beyond which a frame tells it no more: larger ones may be reduced before.
    `batch`: an engine on the CPU takes one frame at a time.
    """

    name: str
    points: int
    blendshape_names: tuple[str, ...]
    side: int

    @property
    def batch(self) -> int:
        """As many frames as it is best given at once."""
        ...

    def detect(self, frame: Frame) -> Detections:
        """Return what is seen in a frame of any size from 1 x 1 up; the frame is not altered."""
        ...

    def detect_all(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return what is seen in each of some frames of one size. Raises OutOfMemory when they are too many."""
        ...

    def to_cpu(self) -> bool:
        """Go on without the GPU; False where it is on the CPU already."""
        ...


class OneByOne:
    """What engines share that take one frame at a time, on the CPU."""

    batch = 1

    def detect(self, frame: Frame) -> Detections:
        """See `Engine`."""
        raise NotImplementedError

    def detect_all(self, frames: Sequence[Frame]) -> list[Detections]:
        """See `Engine`."""
        return [self.detect(frame) for frame in frames]

    def to_cpu(self) -> bool:
        """See `Engine`."""
        return False


@dataclass(frozen=True)
class EngineSpec:
    """An engine before it is loaded. Its module of the same name here has `load(model_path, device) -> Engine`.

    `models` are names of models.toml; `given` are settings that name a file or folder a person provides.
    """

    name: str
    about: str
    modules: tuple[str, ...]
    models: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    on_gpu: bool = False

    def load(self, model_path: ModelPath, device: str = "cpu") -> Engine:
        """Import and load the engine on `device` (cpu, cuda or cuda:N).

        Raises what `model_path` raises for a model that is missing, PrerequisiteMissing for one that cannot be used.
        """
        engine: Engine = import_module(f"{__name__}.{self.name}").load(model_path, device)
        return engine


_RUNTIME = ("cv2", "onnxruntime")
ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec(
            "mediapipe_landmarker", "faces by YuNet, with 478 points and 52 blendshapes each",
            ("cv2", "openvino", "ai_edge_litert"), ("yunet", "face_landmarker"),
        ),
        EngineSpec("opencv_yunet", "faces by YuNet, with five points each", ("cv2", "openvino"), ("yunet",)),
        EngineSpec("opencv_haar", "faces by OpenCV's own cascades, without points", ("cv2",)),
        EngineSpec(
            "nanodet", "persons and 79 other kinds of things by NanoDet", _RUNTIME, ("nanodet",), on_gpu=True,
        ),
        EngineSpec(
            "yolo", "what the ultralytics weights of STEP5_YOLO_WEIGHTS see, with their points where they have some",
            ("cv2", "torch", "ultralytics", "openvino"), given=("step5_yolo_weights",), on_gpu=True,
        ),
        EngineSpec(
            "insightface", "faces by the SCRFD and landmark models in STEP5_INSIGHTFACE_MODELS",
            _RUNTIME, given=("step5_insightface_models",), on_gpu=True,
        ),
        EngineSpec(
            "openseeface", "faces by the OpenSeeFace models in STEP5_OPENSEEFACE_MODELS, with 66 points each",
            _RUNTIME, given=("step5_openseeface_models",), on_gpu=True,
        ),
    )
}  # fmt: skip
"""By name."""
AUTOMATIC = ("mediapipe_landmarker", "opencv_yunet", "opencv_haar")
"""What `auto` chooses from: the one that tells most of faces first, the one that needs least last."""
OBJECTS = "nanodet"
"""What looks for objects where no face is."""
