"""Where to cut a sound that is too large for one upload: where nobody speaks, in parts of about the same length.

Pure: blocks of samples in, positions out. A position counts hops of 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from workflow_scripts.step4.sound import RATE, Waveform

Levels = npt.NDArray[np.float32]

HOP_MS = 10
SHORTEST_PART = 30_000 // HOP_MS
"""Hops: in less there may be no pause to cut at, and a service hears too little of each speaker."""
REACH = 60_000 // HOP_MS
"""How far, at most, a cut may lie from where even parts would have it."""
PAUSES = (100, 50, 20)
"""Hops that are to be quiet around a cut, the best first: a breath between sentences, a pause, the shortest silence that
is longer than what a closed mouth makes within a word (up to 150 ms)."""
GAP = 5
"""Hops that are to be quiet around a cut where nobody pauses at all."""
PAUSE_DB = 12.0
"""How far a pause lies below the loudest sound around it, at least."""
MARGIN_DB = 6.0
"""How far above the quietest stretch another one counts as just as quiet: what background noise varies by."""
_HOP = RATE * HOP_MS // 1000
_NOTHING = 1e-9  # -90 dB, below the last bit of 16: digital silence has a level too


def levels(blocks: Iterable[Waveform]) -> Levels:
    """Return the level of every whole hop, (hops,), in dB of full scale, of a sound at 16 kHz that comes in blocks."""
    found = [np.empty(0, dtype=np.float32)]
    rest = np.empty(0, dtype=np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // _HOP * _HOP
        found.append(10 * np.log10(np.square(rest[:whole].reshape(-1, _HOP)).mean(axis=1) + _NOTHING))
        rest = rest[whole:]
    return np.concatenate(found)


def cuts(heard: Levels, longest: int) -> list[int]:
    """Return the hops before which to cut so that no part has more than `longest` hops; none where all fits in one.

    `longest` is at least SHORTEST_PART.
    """
    found: list[int] = []
    start, reach = 0, min(REACH, longest // 8)
    while len(heard) - start > longest:
        left = len(heard) - start
        target = start + left // math.ceil(left / (longest - reach))
        start = target - reach + _quietest(heard[target - reach : target + reach], reach)
        found.append(start)
    return found


def _quietest(heard: Levels, target: int) -> int:
    """Return where to cut: the middle of a pause, the longest of those that are quiet; else between two sounds.

    Of several as good as each other it is the nearest to `target`.
    """
    pause = min(_loudest_in(heard, PAUSES[-1]).min() + MARGIN_DB, heard.max() - PAUSE_DB)
    for stretch in PAUSES:
        quiet = np.flatnonzero(_loudest_in(heard, stretch) <= pause)
        if len(quiet):
            return _nearest(quiet + stretch // 2, target)
    gaps = _loudest_in(heard, GAP)
    return _nearest(np.flatnonzero(gaps <= gaps.min() + MARGIN_DB) + GAP // 2, target)


def _nearest(places: npt.NDArray[np.intp], target: int) -> int:
    return int(places[np.abs(places - target).argmin()])


def _loudest_in(heard: Levels, stretch: int) -> Levels:
    """Return the level of the loudest hop of every stretch, by its first hop."""
    return np.lib.stride_tricks.sliding_window_view(heard, stretch).max(axis=1)
