"""What an engine sees in one frame: one validated record for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Frame = NDArray[np.uint8]
"""One picture: (height, width, 3), blue, green, red, 0 to 255."""

BLENDSHAPES = 52
_OVERHEAD = 2000
"""Bytes of a record without what its arrays hold."""


@dataclass(frozen=True)
class Looks:
    """What `n` things look like, for what is told of them later: which is which, who it is, whether it speaks.

    colours: (n, c), see `appearance`; the product of two rows is their likeness, 0 to 1.
    mouths: (n, m), grey levels 0 to 1 of the mouth, cut out alike in every frame; a row of NaN where no face is known.
    portraits: n small pictures, None where none was taken.
    """

    colours: Floats
    mouths: Floats
    portraits: tuple[Frame | None, ...]


@dataclass(frozen=True)
class Detections:
    """`n` things seen in one frame, in no promised order. Places are in pixels of the frame.

    boxes: (n, 4) left, top, right, bottom; a box may reach past the frame's edge.
    scores: (n,) from 0 to 1. labels: n words, such as `face`. source: the engine's name.
    landmarks: (n, k, 3) x, y and depth in pixels (smaller is nearer; 0 from an engine without depth), or None.
    blendshapes: (n, 52) from 0 to 1 in the order of `blendshapes.BLENDSHAPE_NAMES`, or None.
    looks: what they look like, or None; no engine tells it: `appearance.with_looks` adds it.
    sources: n names of engines where several worked together, else None.
    A row of landmarks or blendshapes is all NaN where the engine could not tell for that one.

    Raises ValueError when an array has another shape or type, or a value that cannot be.
    """

    boxes: Floats
    scores: Floats
    labels: tuple[str, ...]
    source: str
    landmarks: Floats | None = None
    blendshapes: Floats | None = None
    looks: Looks | None = None
    sources: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.labels)
        _check_shape("boxes", self.boxes, (n, 4))
        _check_shape("scores", self.scores, (n,))
        _require(bool(np.isfinite(self.boxes).all()), "boxes must be finite")
        _require(bool((self.boxes[:, :2] < self.boxes[:, 2:]).all()), "boxes must have a width and a height above 0")
        _require(bool(((self.scores >= 0) & (self.scores <= 1)).all()), "scores must be from 0 to 1")
        if self.landmarks is not None:
            _check_shape("landmarks", self.landmarks, (n, *self.landmarks.shape[1:2], 3))
            _check_rows("landmarks", self.landmarks)
        if self.blendshapes is not None:
            _check_shape("blendshapes", self.blendshapes, (n, BLENDSHAPES))
            _check_rows("blendshapes", self.blendshapes)
            known = self.blendshapes[~np.isnan(self.blendshapes)]
            _require(bool(((known >= 0) & (known <= 1)).all()), "blendshapes must be from 0 to 1")
        if self.looks is not None:
            _check_shape("colours", self.looks.colours, (n, *self.looks.colours.shape[1:]))
            _check_shape("mouths", self.looks.mouths, (n, *self.looks.mouths.shape[1:]))
            _require(len(self.looks.portraits) == n, f"portraits must be {n}")

        _require(self.sources is None or len(self.sources) == n, f"sources must be {n}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def weight(self) -> int:
        """How many bytes of memory it takes, roughly."""
        arrays: list[NDArray[Any] | None] = [self.boxes, self.scores, self.landmarks, self.blendshapes]
        if self.looks is not None:
            arrays += [self.looks.colours, self.looks.mouths, *self.looks.portraits]
        return _OVERHEAD + sum(array.nbytes for array in arrays if array is not None)

    def source_of(self, row: int) -> str:
        """Return the name of the engine that saw a thing."""
        return self.sources[row] if self.sources else self.source


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


def _check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    _require(array.dtype == np.float32, f"{name} must be float32, not {array.dtype}")
    _require(array.shape == shape, f"{name} must have the shape {shape}, not {array.shape}")


def _check_rows(name: str, array: Floats) -> None:
    """Refuse infinities, and rows that are NaN in part."""
    rows = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)
    unknown = np.isnan(rows)
    _require(not bool(np.isinf(rows).any()), f"{name} must be finite, or NaN")
    _require(bool((unknown.all(axis=1) | ~unknown.any(axis=1)).all()), f"a row of {name} is known whole or not at all")
