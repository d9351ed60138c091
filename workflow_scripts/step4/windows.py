"""Overlapping windows of a sound, in each of which up to three local speakers are told apart: into runs, and into turns.

Pure. A window's local speaker may be two people, where more than three speak in it or their voices are alike; a run, one
go of a local speaker's, is one person's. So runs are what is embedded and clustered. Frames are those of pyannote's
segmentation, about 17 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workflow_scripts.step4.records import Turn

Active = npt.NDArray[np.uint8]
"""Who of a window's local speakers speaks in each of its frames, (frames, 3), 0 or 1."""
Frames = npt.NDArray[np.bool_]
"""(frames,) of a window."""

WINDOW_S = 10.0
"""What segmentation-3.0 was trained on."""
STEP_S = 2.5
"""Between windows."""
PAUSE_S = 0.5
"""A longer pause, or one in which others speak, ends a run."""
OTHERS_SHARE = 0.3
"""Share of a pause in which others speak, above which it ends a run."""
LEAST_S = 0.3
"""Of a run, below which it is nobody's; of what is not overlapped in it, from which the rest is left out of its embedding."""
_BLOCK = 240  # windows that are put together at a time: ten minutes


@dataclass(frozen=True)
class Grid:
    """Where frames lie: `step` seconds apart, the middle of the first at `middle`."""

    step: float
    middle: float

    def first(self, window: int) -> int:
        """Return which frame of the sound is the first of a window."""
        return round(window * STEP_S / self.step)

    def milliseconds(self, frame: int) -> int:
        """Return the time of a frame's middle."""
        return round((self.middle + frame * self.step) * 1000)


def runs(active: Active, step_s: float) -> Iterator[tuple[int, Frames, Frames]]:
    """Yield the runs of a window: whose of it, the frames, and those of them that tell how it sounds (not overlapped)."""
    speaking = active.sum(axis=1)
    for speaker in range(active.shape[1]):
        spoken = np.flatnonzero(active[:, speaker])
        gaps = np.flatnonzero(np.diff(spoken) > 1)
        ends = [gap + 1 for gap in gaps if _ends_run(speaking[spoken[gap] + 1 : spoken[gap + 1]], step_s)]
        for part in np.split(spoken, ends):
            if len(part) * step_s >= LEAST_S:
                run = np.zeros(len(active), dtype=bool)
                run[part] = True
                clean = run & (speaking < 2)
                yield speaker, run, clean if clean.sum() * step_s >= LEAST_S else run


def _ends_run(pause: npt.NDArray[np.uint8], step_s: float) -> bool:
    """Tell whether a pause, by the number of others who speak in each of its frames, parts two runs."""
    return len(pause) * step_s > PAUSE_S or bool((pause > 0).mean() > OTHERS_SHARE)


def covering(window: int, windows: int) -> int:
    """Return how many of so many windows look at the middle of a window: so often its speech is counted."""
    reach = round(WINDOW_S / STEP_S) // 2
    return min(windows, window + reach + 1) - max(0, window - reach + 1)


def turns(
    counts: Sequence[npt.NDArray[np.uint8]], told: Sequence[tuple[int, Frames, int]], people: int, grid: Grid
) -> Iterator[Turn]:
    """Yield the turns, in no special order; one that is longer than a block comes in pieces that touch.

    `counts` say of each window how many speak in each frame, `told` which runs, (window, frames, who), are whose. As in
    `pyannote.audio.pipelines.utils.SpeakerDiarizationMixin`: as many speak in a frame as its windows have in the mean,
    and it is those who are active in most windows.
    """
    by_window: dict[int, list[tuple[Frames, int]]] = {}
    for window, frames, who in told:
        by_window.setdefault(window, []).append((frames, who))
    end = grid.first(len(counts) - 1) + len(counts[-1])
    for start in range(0, len(counts), _BLOCK):
        first = grid.first(start)
        last = grid.first(start + _BLOCK) if start + _BLOCK < len(counts) else end
        spoken = _spoken(counts, by_window, people, grid, first, last)
        for who in np.flatnonzero(spoken.any(axis=0)).tolist():
            for begins, ends in _stretches(spoken[:, who]):
                # The last frame of all ends in its own middle, as nothing is known of what follows.
                yield Turn(grid.milliseconds(first + begins), grid.milliseconds(min(first + ends, end - 1)), str(who))


def _spoken(
    counts: Sequence[npt.NDArray[np.uint8]],
    by_window: dict[int, list[tuple[Frames, int]]],
    people: int,
    grid: Grid,
    first: int,
    last: int,
) -> npt.NDArray[np.bool_]:
    """Return who speaks in each of the frames [first, last) of the sound, (frames, people)."""
    votes = np.zeros((last - first, people), dtype=np.uint8)
    speaking, windows = np.zeros(last - first), np.zeros(last - first)
    length = len(counts[0])
    for window, number in enumerate(counts):
        at = grid.first(window)
        if at >= last or at + length <= first:
            continue
        here, there = (
            slice(max(at, first) - first, min(at + length, last) - first),
            slice(max(0, first - at), last - at),
        )
        speaking[here] += number[there]
        windows[here] += 1
        mine = np.zeros((length, people), dtype=bool)
        for frames, who in by_window.get(window, ()):
            mine[:, who] |= frames
        votes[here] += mine[there]
    wanted = np.rint(speaking / np.maximum(windows, 1)).astype(int)
    order = np.argsort(-votes.astype(np.int16), axis=1, kind="stable")
    chosen = np.zeros_like(votes, dtype=bool)
    for rank in range(min(people, int(wanted.max(initial=0)))):
        rows = np.flatnonzero(wanted > rank)
        chosen[rows, order[rows, rank]] = True
    return chosen & (votes > 0)


def _stretches(flags: Iterable[bool] | npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(flags, dtype=bool), [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
