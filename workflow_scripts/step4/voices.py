"""The voices of a sound that was sent in parts: a stretch of each speaker of each part, read in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from workflow_scripts.step4.analysis import smoothed
from workflow_scripts.step4.joining import Voice
from workflow_scripts.step4.records import Speech
from workflow_scripts.step4.sound import RATE, Waveform, cut

Span = tuple[int, int]
"""Milliseconds of the whole sound, the end not included."""

ENOUGH_MS = 30_000
"""Of one voice: more says no more about it."""
LEAST_MS = 1500
"""Of one voice: less says too little to tell it from others."""
PAUSE_MS = 300
"""Words of one speaker that are at most this far apart are one stretch."""


def spans(answers: Sequence[tuple[int, Speech]]) -> dict[Voice, list[Span]]:
    """Return where each speaker of each part is to be heard, longest stretches first taken; none where it is too little.

    `answers` are the parts' speech, each with the milliseconds at which its part begins.
    """
    found: dict[Voice, list[Span]] = {}
    for number, (start, speech) in enumerate(answers):
        turns = smoothed((turn for turn in speech.turns if turn.speaker is not None), PAUSE_MS, 0)
        for turn in sorted(turns, key=lambda turn: turn.start_ms - turn.end_ms):
            chosen = found.setdefault((number, str(turn.speaker)), [])
            room = ENOUGH_MS - _length(chosen)
            if room > 0:
                chosen.append((start + turn.start_ms, start + min(turn.end_ms, turn.start_ms + room)))
    return {voice: chosen for voice, chosen in found.items() if _length(chosen) >= LEAST_MS}


def _length(chosen: Iterable[Span]) -> int:
    return sum(end - start for start, end in chosen)


def heard(blocks: Iterable[Waveform], wanted: Mapping[Voice, Iterable[Span]]) -> dict[Voice, Waveform]:
    """Return the stretches of each voice, one after the other, (samples,), out of a sound that comes in blocks."""
    places = sorted(
        (start * RATE // 1000, end * RATE // 1000, voice) for voice, found in wanted.items() for start, end in found
    )
    pieces: dict[Voice, list[Waveform]] = {}
    for piece, (_, _, voice) in zip(cut(blocks, [(start, end) for start, end, _ in places]), places, strict=True):
        pieces.setdefault(voice, []).append(piece)
    return {voice: np.concatenate(its) for voice, its in pieces.items()}
