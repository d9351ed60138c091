"""Tracks out of detections: which box of this frame is which box of the last.

Association in two bands as in ByteTrack (Zhang et al., ECCV 2022): confident detections are matched first, then doubtful
ones may continue a track, but never begin one. Matching is the optimal assignment (Jonker-Volgenant) by overlap with
where each track should be if it moved on at the same speed. Pure and deterministic: no clock, no chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import lap
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Detections, Floats
from workflow_scripts.step5.scenes import Scene

CONFIDENT = 0.7
"""Score from which a detection may begin a track. YuNet's true faces lie above it but for single frames."""
DOUBTFUL = 0.5
"""Score under which a detection is ignored: below it YuNet's finds on real footage were all wrong."""
OVERLAP = 0.2
DOUBTFUL_OVERLAP = 0.5
"""Least intersection over union of a match in either band: ByteTrack's own values."""
LONGEST_GAP = 25
"""Frames (1 s) that a track may stay unseen and still be taken up again."""
CONFIRMING_FRAMES = 2
"""Frames a track needs to be told: a false find seldom comes twice in the same place."""
_SPEED_SMOOTHING = 0.5
"""Weight of the newest displacement in a track's speed: boxes tremble by a few pixels from frame to frame."""
_NEVER = 2.0
"""A cost above every limit: labels that differ are never matched."""


def overlaps(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Return the intersection over union, (n, m), of boxes (n, 4) with boxes (m, 4), left, top, right, bottom."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    both: NDArray[np.float64] = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(shared / (both - shared))


@dataclass
class Track:
    """One thing followed: its last box and frame, its speed (x, y in pixels a frame), and how often it was seen."""

    label: str
    box: Floats
    frame: int
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))
    seen: int = 1
    number: int | None = None

    def predicted(self, frame: int) -> Floats:
        """Return where the box is at `frame` if it moves on at the same speed and keeps its size."""
        return self.box + np.tile(self.speed * np.float32(frame - self.frame), 2)

    def extend(self, box: Floats, frame: int) -> None:
        """Take the box of a later frame as this track's."""
        moved = ((box - self.box).reshape(2, 2).mean(axis=0) / (frame - self.frame)).astype(np.float32)
        weight = 1.0 if self.seen == 1 else _SPEED_SMOOTHING
        self.speed = (self.speed + np.float32(weight) * (moved - self.speed)).astype(np.float32)
        self.box, self.frame, self.seen = box, frame, self.seen + 1


class Tracker:
    """Follows things through the frames of one scene."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._frame = -1

    def update(self, detections: Detections) -> list[Track | None]:
        """Take the next frame, and return each detection's track; None for a doubtful one that continues none."""
        self._frame += 1
        owners: list[Track | None] = [None] * len(detections)
        confident = np.flatnonzero(detections.scores >= CONFIDENT).tolist()
        doubtful = np.flatnonzero((detections.scores >= DOUBTFUL) & (detections.scores < CONFIDENT)).tolist()
        self._match(self._tracks, detections, confident, OVERLAP, owners)
        just_lost = [track for track in self._tracks if track.frame == self._frame - 1]
        self._match(just_lost, detections, doubtful, DOUBTFUL_OVERLAP, owners)
        self._tracks = [track for track in self._tracks if self._lives_on(track)]
        for index in confident:
            if owners[index] is None:
                owners[index] = begun = Track(detections.labels[index], detections.boxes[index], self._frame)
                self._tracks.append(begun)
        return owners

    def _lives_on(self, track: Track) -> bool:
        """Tell whether a track may still be taken up; one that nothing confirmed at once may not."""
        allowed = LONGEST_GAP if track.seen >= CONFIRMING_FRAMES else 0
        return self._frame - track.frame <= allowed

    def _match(
        self, tracks: Sequence[Track], detections: Detections, candidates: Sequence[int], least: float,
        owners: list[Track | None],
    ) -> None:  # fmt: skip
        """Extend tracks by the candidates (indices) they overlap by at least `least`, and note the owners."""
        if not tracks or not candidates:
            return
        predicted = np.stack([track.predicted(self._frame) for track in tracks])
        cost = 1.0 - overlaps(predicted, detections.boxes[list(candidates)])
        labels = np.array([detections.labels[index] for index in candidates])
        cost[np.array([track.label for track in tracks])[:, None] != labels[None]] = _NEVER
        columns, _ = lap.lapjv(cost, extend_cost=True, cost_limit=1.0 - least, return_cost=False)
        for track, column in zip(tracks, columns.tolist(), strict=True):
            if column >= 0:
                owners[candidates[column]] = track
                track.extend(detections.boxes[candidates[column]], self._frame)


@dataclass(frozen=True)
class TrackedFrame:
    """A frame's detections, and for each the id of its track (from 1), or None where it is told as none."""

    detections: Detections
    ids: tuple[int | None, ...]


@dataclass(frozen=True)
class _Held:
    """A frame that waits for the next one, which may confirm its tracks."""

    detections: Detections
    owners: Sequence[Track | None]
    needed: int

    def settled(self, numbers: Iterator[int]) -> TrackedFrame:
        return TrackedFrame(self.detections, tuple(self._id(owner, numbers) for owner in self.owners))

    def _id(self, owner: Track | None, numbers: Iterator[int]) -> int | None:
        if owner is None or owner.seen < self.needed:
            return None
        if owner.number is None:
            owner.number = next(numbers)
        return owner.number


def follow(frames: Iterable[Detections], scenes: Sequence[Scene]) -> Iterator[TrackedFrame]:
    """Yield every frame with its tracks' ids, one frame late.

    Tracks end at each scene's end, and no id comes again in a later scene. Ids rise in order of first appearance. A track
    of one frame is told only in a scene of one frame. `scenes` begin at frame 0 and leave no gap.
    """
    lengths = {scene.start: scene.end - scene.start for scene in scenes}
    numbers = count(1)
    tracker, needed = Tracker(), CONFIRMING_FRAMES
    held: list[_Held] = []
    for index, detections in enumerate(frames):
        if index in lengths:
            yield from (frame.settled(numbers) for frame in held)
            tracker, needed, held = Tracker(), min(CONFIRMING_FRAMES, lengths[index]), []
        current = _Held(detections, tracker.update(detections), needed)
        yield from (frame.settled(numbers) for frame in held)
        held = [current]
    yield from (frame.settled(numbers) for frame in held)
