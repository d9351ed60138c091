"""What measure.py hands to the trackers that ours is compared with, and which track is whose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.bench.tracking_truth.figures import Figure, Picture

Cast = tuple[list[Figure], list[Picture], list[Figure], list[Picture]]
"""Faces, streets, persons, places."""
_LEAST_OVERLAP = 0.3


def packed(cast: Cast) -> dict[str, Any]:
    """Return a cast as arrays."""
    faces, streets, persons, places = cast
    arrays: dict[str, Any] = {}
    for name, figures in (("face", faces), ("person", persons)):
        for number, figure in enumerate(figures):
            arrays[f"{name} {number} pictures"], arrays[f"{name} {number} boxes"] = figure.pictures, figure.boxes
    for name, pictures in (("street", streets), ("place", places)):
        arrays |= {f"{name} {number}": picture for number, picture in enumerate(pictures)}
    return arrays


def unpacked(arrays: Mapping[str, Any]) -> Cast:
    """Return the cast of such arrays."""

    def figures(name: str) -> list[Figure]:
        count = sum(key.startswith(name) for key in arrays) // 2
        return [Figure(name, arrays[f"{name} {n} pictures"], arrays[f"{name} {n} boxes"]) for n in range(count)]

    def pictures(name: str) -> list[Picture]:
        return [arrays[f"{name} {n}"] for n in range(sum(key.startswith(name) for key in arrays))]

    return figures("face"), pictures("street"), figures("person"), pictures("place")


def overlap(first: Any, second: Any) -> Any:
    """Return the intersection over union, (n, m), of boxes (n, 4) and (m, 4), left, top, right, bottom."""
    a, b = np.reshape(first, (-1, 1, 4)), np.reshape(second, (1, -1, 4))
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = sides.prod(axis=-1)
    return shared / ((a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared)


def matched(truth: Sequence[tuple[int, str, list[float]]], frame: Any) -> Iterator[tuple[int, int | None]]:
    """Yield each walk that is in sight with the track of the box that is best on it; None where there is none."""
    shared = overlap([box for _, _, box in truth], frame.detections.boxes)
    for (walk, _, _), row in zip(truth, shared, strict=True):
        best = int(row.argmax()) if len(row) else -1
        yield walk, frame.ids[best] if best >= 0 and row[best] >= _LEAST_OVERLAP else None
