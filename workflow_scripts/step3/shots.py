"""From TransNetV2's two curves to shots.

Frame k is marked where the step from frame k to k+1 belongs to a transition: the single-frame curve marks its middle, the
many-hot curve all of it. A hard cut therefore marks one frame, the outgoing shot's last; a dissolve marks the frame
before its first mixed one and all mixed ones but, often, the last.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

GRADUAL_FRAMES = 3
"""Marked frames from which a transition is gradual. One blended frame, as a change of frame rate makes at a hard cut, marks two."""

LONG_FRAMES = 8
"""Marked frames from which half the threshold is enough for the single-frame curve: in long dissolves it has no peak."""


@dataclass(frozen=True)
class Transition:
    """How one shot becomes the next. Frames are 0-based; `first_frame` and `last_frame` are the first and last marked."""

    start_frame: int
    """First frame of the new shot: the one after the single-frame curve's peak."""
    confidence: float
    """The highest probability of either curve, 0 to 1."""
    first_frame: int
    last_frame: int

    @property
    def kind(self) -> str:
        """`cut` or `gradual`."""
        return "gradual" if self.last_frame - self.first_frame + 1 >= GRADUAL_FRAMES else "cut"


@dataclass(frozen=True)
class Shot:
    """The frames from `start_frame` up to, not including, `end_frame`, 0-based; the first shot has no transition in."""

    start_frame: int
    end_frame: int
    transition_in: Transition | None


def find_shots(single: Curve, many: Curve, threshold: float, min_frames: int) -> list[Shot]:
    """Return the shots of a video: they follow each other without gap or overlap from its first frame to its last.

    `single` and `many` are the probabilities (0 to 1) of the two curves, one for each frame; what exceeds `threshold`
    is marked. No shot is shorter than `min_frames` (1 or more), unless the video is.
    """
    transitions = far_enough(find_transitions(single, many, threshold), len(single), min_frames)
    starts = [0, *(transition.start_frame for transition in transitions)]
    ends = [*starts[1:], len(single)]
    return [Shot(*shot) for shot in zip(starts, ends, [None, *transitions], strict=True)]


def find_transitions(single: Curve, many: Curve, threshold: float) -> Iterator[Transition]:
    """Yield every run of marked frames in which the single-frame curve exceeds the threshold, or half of it in a long run.

    They come in order. A run that holds the first or the last frame has no shot before or after it to lead from or to, and is left out.
    """
    marked = (single > threshold) | (many > threshold)
    for begin, end in _runs(marked | (many > threshold / 2)):  # the middle of a long dissolve may be faint
        inside = np.flatnonzero(marked[begin:end])
        if not len(inside):
            continue
        first, after = begin + int(inside[0]), begin + int(inside[-1]) + 1
        peak = first + int(np.argmax(single[first:after]))
        needed = threshold / 2 if after - first >= LONG_FRAMES else threshold
        if single[peak] > needed and first > 0 and after < len(single):
            highest = max(single[peak], many[first:after].max())
            yield Transition(peak + 1, float(highest), first, after - 1)


def _runs(marked: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the half-open interval of every run of true values."""
    edges = np.flatnonzero(np.diff(marked.astype(np.int8), prepend=0, append=0))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def far_enough(transitions: Iterator[Transition], frames: int, min_frames: int) -> list[Transition]:
    """Keep the most confident transitions that leave at least `min_frames` to every shot, in order of time.

    Of two that are too close the more confident stays, of equals the earlier: non-maximum suppression.
    """
    starts = [0, frames]
    kept = []
    for transition in sorted(transitions, key=lambda found: -found.confidence):
        if _gap(starts, transition.start_frame) >= min_frames:
            insort(starts, transition.start_frame)
            kept.append(transition)
    return sorted(kept, key=lambda found: found.start_frame)


def _gap(starts: Sequence[int], frame: int) -> int:
    """Return the distance of `frame` to its nearest neighbour in `starts`, which hold one at or before and one after it."""
    place = bisect_left(starts, frame)
    return min(frame - starts[place - 1], starts[place] - frame)
