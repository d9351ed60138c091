"""Ten scenes of two or three faces with voices that alternate, overlap, or come from nobody in sight.

Every face is the speaker of obama_speech, as he is or as somebody else; it shows frames in which he speaks while it is to
speak, and frames of his silence before the speech otherwise. Times of voices are known by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scripts.bench.tracking_truth.actors import Pictures, heads
from scripts.bench.tracking_truth.composites import Composite, Walk, wave
from scripts.bench.tracking_truth.figures import Figure, Picture, another
from workflow_scripts.step5.engines import Engine
from workflow_scripts.step5.voices import Turn

FRAMES = 300
_SILENT, _SPEAKING = slice(8, 13), (slice(52, 92), slice(108, 134), slice(144, 186))
"""Frames of obama_speech (25 fps): a fifth of a second before the first word, in which he does not draw breath, and within what
truth.json calls speech."""
_PLANS = (
    "A50-120 B130-200 A210-280",
    "A20-90 B90-160 A160-230 B230-290",
    "A30-150 B110-220",
    "A20-100 X120-200 B210-290",
    "X30-140 A160-270",
    "A20-90 B100-170 C180-280",
    "A30-130 B90-190 C200-290",
    "C20-100 X110-190 A200-290",
    "A20-80 C60-150 B160-220 A220-290",
    "X20-100 B110-200 C190-280",
)
"""Who speaks in which frames; X is nobody in sight. A third face is in the scenes that have a C."""


@dataclass(frozen=True)
class Talk:
    """A scene, its turns, and of each walk's number whose face it is."""

    scene: Composite
    turns: Sequence[Turn]
    owners: Sequence[str]

    def speakers(self, frame: int) -> set[str]:
        """Return whose voices are heard in a frame."""
        return {str(turn.voice) for turn in self.turns if turn.first <= frame < turn.end}


def talks(engine: Engine, speech: Pictures, streets: Sequence[Picture]) -> Iterator[Talk]:
    """Yield the scenes."""
    silent = heads(engine, speech[_SILENT], 1)
    spoken = [heads(engine, speech[stretch], 1) for stretch in _SPEAKING]
    for number, plan in enumerate(_PLANS):
        turns = [_turn(word) for word in plan.split()]
        names = "ABC" if any(turn.voice == "C" for turn in turns) else "AB"
        walks, owners = [], []
        for place, name in enumerate(names):
            for walk in _walks(silent, spoken[place], place, len(names), name, turns):
                walks.append(walk)
                owners.append(name)
        scene = Composite(f"talk {number}", FRAMES, walks, streets[number % len(streets)], seed=number)
        yield Talk(scene, turns, owners)


def _turn(word: str) -> Turn:
    first, end = word[1:].split("-")
    return Turn(int(first), int(end), word[0])


def _walks(silent: Figure, spoken: Figure, place: int, count: int, name: str, turns: Sequence[Turn]) -> Iterator[Walk]:
    """Yield a face's stretches of speech and of silence, on one way."""
    for _ in range(place):  # the second face is mirrored, the third is not; their skin differs a little
        silent, spoken = another(silent, 0.03), another(spoken, 0.03)
    x = 640 * (place + 0.5) / count
    way = wave((x, 170), (8, 3), 110 + 10 * place, 105, place)
    own = np.zeros(FRAMES, bool)
    for turn in turns:
        own[turn.first : turn.end] |= turn.voice == name
    edges = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), FRAMES]
    for first, end in pairwise(edges):
        yield Walk(spoken if own[first] else silent, way, first, end)
