"""Answers about the parts of one sound, put together again: times, text, language, and who is who.

A service names the speakers of each part anew. They are matched by their voices: a voice print is a vector of length 1
(`embedding.py`), and two voices are alike by the cosine of the angle between them. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from workflow_scripts.step4.records import Passage, Speech, Turn

Voice = tuple[int, str]
"""A speaker of one part: the part's number, and the label there."""
Print = npt.NDArray[np.float32]
"""A voice print: a vector of length 1."""

ALIKE = 0.6
"""Cosine from which two voices are one. Measured on half minutes of real voices: 0.80 to 0.88 between two stretches of
one voice, 0.32 to 0.50 between two people on the telephone."""


def joined(answers: Sequence[tuple[int, Speech]], names: Mapping[Voice, str]) -> Speech:
    """Return one speech from those of the parts, each with the milliseconds at which its part begins.

    `names` says what each part's speakers are called in the whole. The language is that of most of the text.
    """
    moved = [_moved(speech, start, number, names) for number, (start, speech) in enumerate(answers)]
    texts = [speech.text.strip() for speech in moved if speech.text]
    languages = Counter[str]()
    for speech in moved:
        if speech.language is not None:
            languages[speech.language] += len(speech.text or "")
    return Speech(
        turns=tuple(turn for speech in moved for turn in speech.turns),
        segments=tuple(segment for speech in moved for segment in speech.segments),
        words=tuple(word for speech in moved for word in speech.words),
        language=languages.most_common(1)[0][0] if languages else None,
        text=" ".join(text for text in texts if text),
    )


def _moved(speech: Speech, start_ms: int, number: int, names: Mapping[Voice, str]) -> Speech:
    def turn(it: Turn) -> Turn:
        return replace(it, start_ms=it.start_ms + start_ms, end_ms=it.end_ms + start_ms, speaker=name(it.speaker))

    def passage(it: Passage) -> Passage:
        return replace(it, start_ms=it.start_ms + start_ms, end_ms=it.end_ms + start_ms, speaker=name(it.speaker))

    def name(label: str | None) -> str | None:
        return None if label is None else names[number, label]

    return replace(
        speech,
        turns=tuple(map(turn, speech.turns)),
        segments=tuple(map(passage, speech.segments)),
        words=tuple(map(passage, speech.words)),
    )


def voices(answers: Sequence[Speech]) -> list[Voice]:
    """Return every speaker of every part that is named anywhere, in order of the parts."""
    labels = (
        (number, label)
        for number, speech in enumerate(answers)
        for said in (speech.turns, speech.segments, speech.words)
        for label in (it.speaker for it in said)
    )
    return list(dict.fromkeys((number, label) for number, label in labels if label is not None))


def matched(prints: Mapping[Voice, Print | None], most: int | None) -> dict[Voice, str]:
    """Return a name for each voice, the same for voices that are alike; a voice without a print has one of its own.

    The closest are joined first, groups by the mean over their pairs, while they are at least ALIKE, or there are more
    than `most` voices. Two voices of one part are never joined: the service heard both and told them apart.
    """
    groups: list[list[Voice]] = [[voice] for voice in prints]
    known = {voice: vector for voice, vector in prints.items() if vector is not None}
    while pair := _closest(groups, known):
        likeness, first, second = pair
        if likeness < ALIKE and not (most is not None and len(groups) > most):
            break
        groups[first] += groups.pop(second)
    return {voice: f"SPEAKER_{number:02d}" for number, group in enumerate(groups) for voice in group}


def _closest(groups: Sequence[Sequence[Voice]], known: Mapping[Voice, Print]) -> tuple[float, int, int] | None:
    """Return how alike the two most alike groups are that may be joined, and which they are."""
    pairs = [
        (float(np.mean([known[one] @ other for one in first for other in map(known.__getitem__, second)])), number, later)
        for number, first in enumerate(groups)
        for later, second in enumerate(groups[number + 1 :], number + 1)
        if known.keys() >= {*first, *second} and not {part for part, _ in first} & {part for part, _ in second}
    ]  # fmt: skip
    return max(pairs, default=None)
