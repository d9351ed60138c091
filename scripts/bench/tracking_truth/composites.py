"""Scenes with exact truth: faces and persons cut out of clips, moved over a street; who is where is known by construction.

A scene is 640 x 360. Every figure goes its way whether the others hide it or not; where less than `LEAST_VISIBLE` of its
box can be seen, the truth holds no box. The same seeds give the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.bench.tracking_truth.figures import Figure, Picture

WIDTH, HEIGHT = 640, 360
LEAST_VISIBLE = 0.3
"""Share of its box that must be seen for a figure to count as there."""
PER_KIND = 5


Way = Callable[[int], tuple[float, float, float]]
"""Middle of the box (x, y) and its height, in pixels, at a frame."""


@dataclass(frozen=True)
class Walk:
    """A figure on its way; of two that overlap the later one in a scene's list is in front."""

    figure: Figure
    way: Way
    first: int = 0
    end: int = 10**6


@dataclass(frozen=True)
class Composite:
    """A scene: its figures from the back to the front, the posts (left, right) before them all, and where it is cut."""

    name: str
    frames: int
    walks: Sequence[Walk]
    background: Picture
    posts: Sequence[tuple[int, int]] = ()
    cuts: Sequence[int] = ()
    shake: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    seed: int = 0

    def shots(self) -> list[tuple[int, int]]:
        """Return the shots as (first frame, end)."""
        edges = [0, *self.cuts, self.frames]
        return list(pairwise(edges))

    def play(self) -> Iterator[tuple[Picture, list[tuple[int, str, list[float]]]]]:
        """Yield each frame and its truth: figure's number, label, box (left, top, right, bottom) within the picture."""
        grains = np.random.default_rng(self.seed).normal(0, 3, (4, HEIGHT, WIDTH, 1)).astype(np.float32)
        for index in range(self.frames):
            offset = self.shake[index] if len(self.shake) else np.zeros(2)
            yield self._draw(index, offset, grains[index % len(grains)])

    def _draw(
        self, index: int, offset: NDArray[np.float64], grain: NDArray[np.float32]
    ) -> tuple[Picture, list[tuple[int, str, list[float]]]]:
        move = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
        picture = cv2.warpAffine(self.background, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT).astype(
            np.float32
        )
        owner = np.full((HEIGHT, WIDTH), -1, np.int16)
        boxes = {}
        for number, walk in enumerate(self.walks):
            if walk.first <= index < walk.end:
                boxes[number] = _paste(picture, owner, walk, index, offset, number)
        for left, right in self.posts:
            shift = round(float(offset[0]))
            picture[:, max(0, left + shift) : right + shift] = (60, 70, 75)
            owner[:, max(0, left + shift) : right + shift] = -2
        picture += grain
        truth = [
            (number, self.walks[number].figure.label, box)
            for number, box in boxes.items()
            if _visible(owner, number, box) >= LEAST_VISIBLE
        ]
        return np.clip(picture, 0, 255).astype(np.uint8), [
            (number, label, _inside(box)) for number, label, box in truth
        ]


def _paste(
    picture: NDArray[np.float32],
    owner: NDArray[np.int16],
    walk: Walk,
    index: int,
    offset: NDArray[np.float64],
    number: int,
) -> list[float]:
    """Draw a figure, note whose each pixel is now, and return its box."""
    cut, box = walk.figure.at(index)
    x, y, height = walk.way(index)
    scale = height / (box[3] - box[1])
    place = np.array([x, y]) + offset - scale * (box[:2] + box[2:]) / 2
    left, top = (max(0, int(np.floor(value))) for value in place)
    right = min(WIDTH, int(np.ceil(place[0] + scale * cut.shape[1])))
    bottom = min(HEIGHT, int(np.ceil(place[1] + scale * cut.shape[0])))
    if left < right and top < bottom:
        matrix = np.array([[scale, 0, place[0] - left], [0, scale, place[1] - top]])
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        warped = cv2.warpAffine(cut, matrix, (right - left, bottom - top), flags=flags)
        opacity = warped[..., 3:].astype(np.float32) / 255
        under = picture[top:bottom, left:right]
        under += opacity * (warped[..., :3] - under)
        owner[top:bottom, left:right][opacity[..., 0] > 0.5] = number
    return [*(place + scale * box[:2]), *(place + scale * box[2:])]


def _inside(box: Sequence[float]) -> list[float]:
    limits = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    return [min(max(float(value), 0.0), float(limit)) for value, limit in zip(box, limits, strict=True)]


def _visible(owner: NDArray[np.int16], number: int, box: Sequence[float]) -> float:
    """Return how much of a box is not hidden by others, posts or the picture's edge."""
    left, top, right, bottom = (round(value) for value in _inside(box))
    whole = (box[2] - box[0]) * (box[3] - box[1])
    held = owner[top:bottom, left:right]
    hidden = np.count_nonzero((held > number) | (held == -2))
    return float((held.size - hidden) / whole)


# The kinds of scenes. Each is a function of the figures, the background and a random generator.

Kind = Callable[[Sequence[Figure], np.random.Generator], Any]


def line(start: tuple[float, float], speed: tuple[float, float], height: float, growth: float = 0.0) -> Way:
    """Move straight on, `speed` in pixels a frame, growing by a share a frame."""
    return lambda frame: (start[0] + speed[0] * frame, start[1] + speed[1] * frame, height * (1 + growth) ** frame)


def wave(
    middle: tuple[float, float], swing: tuple[float, float], period: float, height: float, phase: float = 0.0
) -> Way:
    """Swing about a place; `period` in frames."""

    def way(frame: int) -> tuple[float, float, float]:
        angle = 2 * np.pi * frame / period + phase
        return middle[0] + swing[0] * float(np.sin(angle)), middle[1] + swing[1] * float(np.sin(2 * angle)), height

    return way


def bounce(start: float, turn: int, speed: float, y: float, height: float) -> Way:
    """Go on at `speed`, and back from frame `turn` on."""
    return lambda frame: (start + speed * (frame if frame < turn else 2 * turn - frame), y, height)


def _drifting(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    places = (120, 320, 520)
    walks = [
        Walk(
            figure,
            wave(
                (x, 170),
                (chance.uniform(15, 40), chance.uniform(5, 20)),
                chance.uniform(60, 120),
                chance.uniform(60, 110),
                x,
            ),
        )
        for figure, x in zip(figures, places, strict=False)
    ]
    return {"walks": walks}


def _crossing(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    height, speed = chance.uniform(70, 100), chance.uniform(4, 7)
    walks = [
        Walk(figures[0], line((60, 175), (speed, 0), height)),
        Walk(figures[1], line((580, 180 + chance.uniform(-15, 15)), (-speed * chance.uniform(0.8, 1.1), 0), height)),
    ]
    return {"walks": walks}


def _behind_posts(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    height = chance.uniform(55, 80)
    wide = int(chance.uniform(90, 130))
    walks = [
        Walk(figures[0], line((40, 150), (chance.uniform(5, 7), 0), height)),
        Walk(figures[1], line((640, 230), (-chance.uniform(5, 7), 0), height)),
    ]
    return {"walks": walks, "posts": [(270, 270 + wide)]}


def _turning_back(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    """Two go behind a post at one height, and each comes out again on its own side."""
    height, speed = chance.uniform(60, 80), chance.uniform(5, 6)
    turn = int(chance.uniform(42, 46))
    walks = [
        Walk(figures[0], bounce(75, turn, speed, 170, height)),
        Walk(figures[1], bounce(565, turn, -speed, 172, height)),
    ]
    return {"walks": walks, "posts": [(235, 405)]}


def _resized(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    grows = chance.uniform(0.012, 0.02)
    walks = [
        Walk(figures[0], line((190, 180), (-0.5, 0), 35, grows)),
        Walk(figures[1], line((470, 180), (0.5, 0), 150, -grows)),
    ]
    shake = chance.normal(0, 1, (90, 2)).cumsum(axis=0) * 1.5
    return {"walks": walks, "shake": shake}


def _cut(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    """The next shot shows another face where the last one was."""
    cuts = [25, 50, 70]
    edges = [0, *cuts, 90]
    walks = [
        Walk(figure, wave((320 + chance.uniform(-20, 20), 175), (20, 8), 70, 100), first, end)
        for figure, (first, end) in zip(figures, pairwise(edges), strict=False)
    ]
    return {"walks": walks, "cuts": cuts}


def _crowd(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    walks = [
        Walk(
            figure,
            wave(
                (chance.uniform(100, 540), chance.uniform(80, 280)),
                (chance.uniform(40, 140), chance.uniform(10, 40)),
                chance.uniform(80, 160),
                chance.uniform(38, 60),
                chance.uniform(0, 6),
            ),
        )
        for figure in figures[:6]
    ]
    return {"walks": walks}


def _fast(figures: Sequence[Figure], chance: np.random.Generator) -> Any:
    """Faces that move by more than half their width a frame, one of them a stretch behind the other."""
    height, period = chance.uniform(45, 60), chance.uniform(26, 34)
    walks = [
        Walk(figures[0], wave((320, 120), (190, 10), period * 1.3, height)),
        Walk(figures[1], wave((320, 250), (150, 12), period, height, 2.0)),
    ]
    return {"walks": walks}


KINDS: dict[str, Kind] = {
    "drifting": _drifting, "crossing": _crossing, "behind posts": _behind_posts, "turning back": _turning_back,
    "resized": _resized, "cut": _cut, "crowd": _crowd, "fast": _fast,
}  # fmt: skip


FRAMES = 90
_PERSON_KINDS = ("crossing", "behind posts", "turning back", "crowd")


def composites(
    faces: Sequence[Figure],
    streets: Sequence[Picture],
    persons: Sequence[Figure],
    places: Sequence[Picture],
    per_kind: int = PER_KIND,
) -> Iterator[Composite]:
    """Yield `per_kind` scenes of each of eight kinds, FRAMES frames each; what is in them and where is drawn by fixed seeds.

    Where there are persons they take the place of faces in two of five of the scenes that suit them.
    """
    for place, (name, kind) in enumerate(KINDS.items()):
        of_persons = 2 * per_kind // 5 if persons and name in _PERSON_KINDS else 0
        for number in range(per_kind):
            chance = np.random.default_rng(1000 * place + number)
            figures, grounds = (persons, places) if number >= per_kind - of_persons else (faces, streets)
            shown = [figures[index] for index in chance.permutation(len(figures))]
            background = grounds[int(chance.integers(len(grounds)))]
            yield Composite(f"{name} {number}", FRAMES, background=background, seed=number, **kind(shown, chance))
