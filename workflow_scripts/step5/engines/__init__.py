"""The tracking engines: what each is called, what it needs, how it is loaded. An engine is loaded by name, lazily."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from workflow_scripts.step5.detections import Detections, Frame

ModelPath = Callable[[str], Path]
"""Gives the verified file of a model of the catalogue by its name."""


class Engine(Protocol):
    """Sees things in single frames. Knows nothing of the frames before.

    `points` is how many landmarks it gives each thing, 0 for none; `blendshape_names` is empty or names the 52.
    """

    name: str
    points: int
    blendshape_names: tuple[str, ...]

    def detect(self, frame: Frame) -> Detections:
        """Return what is seen in a frame of any size from 1 x 1 up; the frame is not altered."""
        ...


@dataclass(frozen=True)
class EngineSpec:
    """An engine before it is loaded. Its module of the same name here has `load(model_path) -> Engine`."""

    name: str
    about: str
    modules: tuple[str, ...]
    models: tuple[str, ...]
    on_gpu: bool = False

    def load(self, model_path: ModelPath) -> Engine:
        """Import and load the engine. Raises what `model_path` raises for a model that is missing."""
        engine: Engine = import_module(f"{__name__}.{self.name}").load(model_path)
        return engine


ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec(
            "mediapipe_landmarker", "faces by YuNet, with 478 points and 52 blendshapes each",
            ("cv2", "ai_edge_litert"), ("yunet", "face_landmarker"),
        ),
        EngineSpec("opencv_yunet", "faces by YuNet, with five points each", ("cv2",), ("yunet",)),
    )
}  # fmt: skip
"""By name, the one that tells most first: `auto` takes the first that can run."""
