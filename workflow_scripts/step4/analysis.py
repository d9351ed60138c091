"""From speaker turns to what is said about each frame. Pure: turns in, turns or frames out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from workflow_scripts.step4.records import Turn

FRAME_MS = 40  # one frame of the 25 fps proxy


@dataclass(frozen=True)
class Run:
    """Frames `first` up to but not including `end` (0-based) that have the same speakers.

    `is_speech` without `speakers`: somebody speaks, and it is not known who.
    """

    first: int
    end: int
    is_speech: bool
    speakers: tuple[str, ...]


def smoothed(turns: Iterable[Turn], gap_fill_ms: int, min_on_ms: int) -> list[Turn]:
    """Join a speaker's turns that are at most `gap_fill_ms` apart, then drop those shorter than `min_on_ms`.

    The result is sorted by start, and no two turns of a speaker touch or overlap. Empty turns are dropped.
    """
    joined: list[Turn] = []
    last: dict[str | None, int] = {}
    for turn in sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms)):
        known = last.get(turn.speaker)
        if known is not None and turn.start_ms - joined[known].end_ms <= gap_fill_ms:
            joined[known] = replace(joined[known], end_ms=max(joined[known].end_ms, turn.end_ms))
        else:
            last[turn.speaker] = len(joined)
            joined.append(turn)
    return [turn for turn in joined if turn.end_ms - turn.start_ms >= max(1, min_on_ms)]


def frame_runs(turns: Iterable[Turn], total_frames: int) -> Iterator[Run]:
    """Yield runs that cover frames 0 to `total_frames` without gaps, in order.

    A speaker is active in a frame when the middle of the frame lies within one of the speaker's turns. The turns must
    be those of `smoothed`.
    """
    changes: dict[int, list[tuple[int, str | None]]] = {0: [], total_frames: []}
    for turn in turns:
        first, end = (min(_first_middle_from(time), total_frames) for time in (turn.start_ms, turn.end_ms))
        if first < end:
            changes.setdefault(first, []).append((+1, turn.speaker))
            changes.setdefault(end, []).append((-1, turn.speaker))
    active: dict[str | None, int] = {}
    boundaries = sorted(changes)
    for first, end in itertools.pairwise(boundaries):
        for step, speaker in changes[first]:
            active[speaker] = active.get(speaker, 0) + step
        present = [speaker for speaker, count in active.items() if count > 0]
        yield Run(first, end, bool(present), tuple(sorted(speaker for speaker in present if speaker is not None)))


def _first_middle_from(time_ms: int) -> int:
    """Return the first frame (0-based) whose middle is at or after `time_ms`."""
    return max(0, -((FRAME_MS // 2 - time_ms) // FRAME_MS))
