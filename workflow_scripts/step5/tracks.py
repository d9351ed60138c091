"""Tracks out of detections: which box of this frame is which box of the last.

Association in two bands as in ByteTrack (Zhang et al., ECCV 2022): confident detections are matched first, then doubtful
ones may continue a track, but never begin one. What is left over is looked for around where a track was last seen, as in
OC-SORT (Cao et al., CVPR 2023), in a reach that widens as in C-BIoU (Yang et al., WACV 2023), by what it looks like. Each
matching is the optimal assignment (Jonker-Volgenant). Pure and deterministic: no clock, no chance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import lap
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Detections, Floats
from workflow_scripts.step5.motion import Motion, overlaps, widened
from workflow_scripts.step5.scenes import Scene

CONFIDENT = 0.7
"""Score from which a detection may begin a track. YuNet's true faces lie above it but for single frames."""
DOUBTFUL = 0.5
"""Score under which a detection is ignored: below it YuNet's finds on real footage were all wrong."""
OVERLAP = 0.2
DOUBTFUL_OVERLAP = 0.5
"""Least intersection over union of a match in either band: ByteTrack's own values."""
LONGEST_GAP = 50
"""Frames (2 s) that a track may stay unseen and still be taken up again."""
CONFIRMING_FRAMES = 4
"""Frames a track needs to be told: a false find seldom comes so often in the same place."""
ALIKE = 0.8
"""Least likeness of what comes back after a gap: of 95 in 100 of one face's pairs of views it is above 0.91."""
_LIKENESS_WEIGHT = 1.0
"""Weight of being unlike beside that of lying apart."""
_REACH, _WIDENING, _WIDEST = 0.5, 0.1, 2.5
"""How far around a lost track it is looked for: in sizes of its box, after one frame, more for each further, at most."""
_NEAR, _UNLIKE_WEIGHT = 0.02, 4.0
"""Least overlap of such widened boxes, and the weight of being unlike beside that of lying apart: after a gap looks tell more."""
_OWN_MARGIN = 0.3
"""By how much the box that is found is widened itself, so that a small step past the reach is no wall."""
_LARGEST_CHANGE = 2.0
"""By how much width or height may change over a gap."""
_COLOUR_SMOOTHING = 0.1
"""Weight of the newest colours in a track's: they are its mean over about ten frames."""
_NEVER = 1e3
"""A cost above every limit: labels that differ are never matched."""

Matrix = NDArray[np.float64]
_Costs = Callable[[Sequence["Track"], Sequence[int]], Matrix]


class Track:
    """One thing followed: how it moves, what it looks like, and how often it was seen; `number` is its id once told."""

    def __init__(self, detections: Detections, row: int, frame: int) -> None:
        self.label = detections.labels[row]
        self.motion = Motion(detections.boxes[row], frame)
        self.colours = None if detections.looks is None else detections.looks.colours[row]
        self.seen = 1
        self.number: int | None = None

    @property
    def frame(self) -> int:
        """The frame it was last seen in."""
        return self.motion.frame

    def extend(self, detections: Detections, row: int, frame: int, hidden: bool) -> None:
        """Take a detection of a later frame as this track's; `hidden`: something lies over it, its colours are not its own."""
        self.motion.observe(detections.boxes[row], frame)
        self.seen += 1
        if self.colours is not None and detections.looks is not None and not hidden:
            mixed = self.colours + np.float32(_COLOUR_SMOOTHING) * (detections.looks.colours[row] - self.colours)
            self.colours = (mixed / np.linalg.norm(mixed)).astype(np.float32)


class Tracker:
    """Follows things through the frames of one scene."""

    def __init__(self, confirming: int = CONFIRMING_FRAMES) -> None:
        self._confirming = confirming
        self._tracks: list[Track] = []
        self._frame = -1

    def update(self, detections: Detections) -> list[Track | None]:
        """Take the next frame, and return each detection's track; None for a doubtful one that continues none."""
        self._frame += 1
        matching = _Matching(detections, self._frame)
        confident = np.flatnonzero(detections.scores >= CONFIDENT).tolist()
        doubtful = np.flatnonzero((detections.scores >= DOUBTFUL) & (detections.scores < CONFIDENT)).tolist()
        matching.match(self._tracks, confident, matching.by_place_and_looks)
        recent = [track for track in matching.left(self._tracks) if track.frame == self._frame - 1]
        matching.match(recent, doubtful, matching.by_place)
        matching.match(matching.left(self._tracks), matching.unowned(confident), matching.by_looks_within_reach)
        self._tracks = [track for track in self._tracks if self._lives_on(track)]
        for row in matching.unowned(confident):
            matching.owners[row] = begun = Track(detections, row, self._frame)
            self._tracks.append(begun)
        return matching.owners

    def _lives_on(self, track: Track) -> bool:
        """Tell whether a track may still be taken up; one that was not seen often enough may miss no frame."""
        allowed = LONGEST_GAP if track.seen >= self._confirming else 0
        return self._frame - track.frame <= allowed


class _Matching:
    """The matching of one frame: who owns each detection so far."""

    def __init__(self, detections: Detections, frame: int) -> None:
        self.owners: list[Track | None] = [None] * len(detections)
        self._detections = detections
        self._frame = frame
        self._hidden = _overlapped(detections.boxes)

    def left(self, tracks: Sequence[Track]) -> list[Track]:
        """Return the tracks that have nothing in this frame yet."""
        return [track for track in tracks if track.frame < self._frame]

    def unowned(self, rows: Sequence[int]) -> list[int]:
        """Return the detections that no track owns yet."""
        return [row for row in rows if self.owners[row] is None]

    def match(self, tracks: Sequence[Track], rows: Sequence[int], costs: _Costs) -> None:
        """Extend tracks by detections so that the costs are least in all; costs from `_NEVER` up are not paid."""
        if not tracks or not rows:
            return
        labels = np.array([self._detections.labels[row] for row in rows])
        cost = costs(tracks, rows)
        cost[np.array([track.label for track in tracks])[:, None] != labels[None]] = _NEVER
        columns, _ = lap.lapjv(cost, extend_cost=True, cost_limit=_NEVER / 2, return_cost=False)
        for track, column in zip(tracks, columns.tolist(), strict=True):
            if column >= 0:
                row = rows[column]
                self.owners[row] = track
                track.extend(self._detections, row, self._frame, bool(self._hidden[row]))

    def by_place(self, tracks: Sequence[Track], rows: Sequence[int]) -> Matrix:
        """Return how far each detection is from where each track should be now, by overlap."""
        shared = overlaps(self._expected(tracks), self._detections.boxes[list(rows)])
        return np.where(shared >= DOUBTFUL_OVERLAP, 1 - shared, _NEVER)

    def by_place_and_looks(self, tracks: Sequence[Track], rows: Sequence[int]) -> Matrix:
        """The same, and how unlike they are; what comes back after a gap must be alike."""
        shared = overlaps(self._expected(tracks), self._detections.boxes[list(rows)])
        alike = self._likeness(tracks, rows)
        lost = np.array([track.frame < self._frame - 1 for track in tracks])[:, None]
        possible = (shared >= OVERLAP) & (~lost | (alike >= ALIKE))
        return np.where(possible, 1 - shared + _LIKENESS_WEIGHT * (1 - alike), _NEVER)

    def by_looks_within_reach(self, tracks: Sequence[Track], rows: Sequence[int]) -> Matrix:
        """Return how unlike they are, where a track can have come to in the meantime."""
        boxes = self._detections.boxes[list(rows)]
        gaps = np.array([self._frame - track.frame for track in tracks])
        margins = np.minimum(_REACH + _WIDENING * (gaps - 1), _WIDEST)
        last = np.stack([track.motion.box for track in tracks])
        found = widened(boxes, _OWN_MARGIN)
        near = np.maximum(
            overlaps(widened(self._expected(tracks), margins), found), overlaps(widened(last, margins), found)
        )
        alike = self._likeness(tracks, rows)
        possible = (near > _NEAR) & (alike >= ALIKE) & (_change(last, boxes) <= _LARGEST_CHANGE)
        return np.where(possible, 1 - near + _UNLIKE_WEIGHT * (1 - alike), _NEVER)

    def _expected(self, tracks: Sequence[Track]) -> Floats:
        return np.stack([track.motion.expected(self._frame) for track in tracks])

    def _likeness(self, tracks: Sequence[Track], rows: Sequence[int]) -> Matrix:
        """Return from 0 to 1 how much alike they look; 1 where nothing is known of that."""
        looks = self._detections.looks
        known = [track.colours for track in tracks if track.colours is not None]
        if looks is None or len(known) < len(tracks):
            return np.ones((len(tracks), len(rows)))
        alike: Matrix = np.stack(known).astype(np.float64) @ looks.colours[list(rows)].astype(np.float64).T
        return alike


def _overlapped(boxes: Floats) -> NDArray[np.bool_]:
    """Tell of each box (n, 4) whether another overlaps it."""
    shared = overlaps(boxes, boxes)
    np.fill_diagonal(shared, 0)
    return np.asarray(shared.max(axis=1, initial=0) > 0.05)


def _change(first: Floats, second: Floats) -> Matrix:
    """Return by what factor, from 1 up, width or height differs most between boxes (n, 4) and (m, 4)."""
    a, b = (boxes[:, 2:] - boxes[:, :2] for boxes in (first, second))
    return np.asarray(np.exp(np.abs(np.log(a[:, None] / b[None])).max(axis=-1)), np.float64)


@dataclass(frozen=True)
class TrackedFrame:
    """A frame's detections, and for each the id of its track (from 1), or None where it is told as none."""

    detections: Detections
    ids: tuple[int | None, ...]


@dataclass(frozen=True)
class _Held:
    """A frame that waits for the next ones, which may confirm its tracks."""

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
    """Yield every frame with its tracks' ids, `CONFIRMING_FRAMES` - 1 frames late.

    Tracks end at each scene's end, and no id comes again in a later scene. Ids rise in order of first appearance. A track
    of fewer than CONFIRMING_FRAMES frames is told only in a scene that is shorter. `scenes` begin at frame 0 and leave no gap.
    """
    lengths = {scene.start: scene.end - scene.start for scene in scenes}
    numbers = count(1)
    tracker, needed = Tracker(), CONFIRMING_FRAMES
    held: deque[_Held] = deque()
    for index, detections in enumerate(frames):
        if index in lengths:
            yield from (frame.settled(numbers) for frame in held)
            needed = min(CONFIRMING_FRAMES, lengths[index])
            tracker = Tracker(needed)
            held.clear()
        held.append(_Held(detections, tracker.update(detections), needed))
        if len(held) == CONFIRMING_FRAMES:
            yield held.popleft().settled(numbers)
    yield from (frame.settled(numbers) for frame in held)
