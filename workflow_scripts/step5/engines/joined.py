"""Engines that work together: several on every frame, or one for objects where the others see no face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.engines import JOIN, Engine
from workflow_scripts.step5.tracks import DOUBTFUL

FACE = "face"


class Joined:
    """Several engines on every frame. Points and blendshapes are those of the first engine that has some."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines
        self.name = JOIN.join(engine.name for engine in engines)
        self.points = next((engine.points for engine in engines if engine.points), 0)
        self.blendshape_names = next((each.blendshape_names for each in engines if each.blendshape_names), ())
        self.side = max(engine.side for engine in engines)

    @property
    def batch(self) -> int:
        """As many as the engine takes that takes most."""
        return max(engine.batch for engine in self._engines)

    def detect(self, frame: Frame) -> Detections:
        """Return what all of them see, one engine after the other."""
        return self.detect_all([frame])[0]

    def detect_all(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return what all of them see in each frame."""
        seen = zip(*(engine.detect_all(frames) for engine in self._engines), strict=True)
        return [together(parts, self.name, self.points) for parts in seen]

    def to_cpu(self) -> bool:
        """Take all of them off the GPU."""
        return any([engine.to_cpu() for engine in self._engines])


class ObjectsWhereNoFace(Joined):
    """The first engine, and the second on frames where the first sees no face, not even a doubtful one."""

    def __init__(self, faces: Engine, objects: Engine) -> None:
        super().__init__([faces, objects])

    def detect_all(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the faces of each frame, or its objects."""
        faces, objects = self._engines
        found = faces.detect_all(frames)
        without = [index for index, seen in enumerate(found) if not has_face(seen)]
        instead = dict(zip(without, objects.detect_all([frames[index] for index in without]), strict=True))
        return [
            together([seen, instead[index]] if index in instead else [seen], self.name, self.points)
            for index, seen in enumerate(found)
        ]


def has_face(seen: Detections) -> bool:
    """Tell whether there is a face among what was seen that could be one."""
    return any(label == FACE and score >= DOUBTFUL for label, score in zip(seen.labels, seen.scores, strict=True))


def together(parts: Sequence[Detections], name: str, points: int) -> Detections:
    """Return several engines' detections of one frame as one record; what one engine does not tell is NaN in its rows."""
    counts = [len(part) for part in parts]
    shapes = any(part.blendshapes is not None for part in parts)
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        tuple(label for part in parts for label in part.labels),
        name,
        _stacked([part.landmarks for part in parts], counts, (points, 3)) if points else None,
        _stacked([part.blendshapes for part in parts], counts, (52,)) if shapes else None,
        sources=tuple(part.source for part in parts for _ in part.labels),
    )


def _stacked(rows: Sequence[Floats | None], counts: Sequence[int], shape: tuple[int, ...]) -> Floats:
    """Stack rows of one shape; NaN for those that are unknown or of another shape."""
    return np.concatenate([
        np.full((count, *shape), np.nan, np.float32) if known is None or known.shape[1:] != shape else known
        for known, count in zip(rows, counts, strict=True)
    ])  # fmt: skip
