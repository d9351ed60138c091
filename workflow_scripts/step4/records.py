"""What every engine of this step answers: records with exact times, in milliseconds from the first sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Turn:
    """One speaker speaks, from `start_ms` up to but not including `end_ms`; None: it is not known who."""

    start_ms: int
    end_ms: int
    speaker: str | None


@dataclass(frozen=True)
class Passage:
    """A word, or a sentence or phrase, as it was transcribed; times as in Turn."""

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None


@dataclass(frozen=True)
class Speech:
    """The whole answer of one engine about one sound; no turns means that nobody speaks.

    `language` and `text` are None, `segments` and `words` empty where the engine does not transcribe.
    """

    turns: tuple[Turn, ...] = ()
    segments: tuple[Passage, ...] = ()
    words: tuple[Passage, ...] = ()
    language: str | None = None
    text: str | None = None

    @property
    def has_speakers(self) -> bool:
        """Whether it is known of any turn who speaks."""
        return any(turn.speaker is not None for turn in self.turns)


def in_order_of_appearance(speech: Speech) -> Speech:
    """Return the same speech with its speakers called SPEAKER_00, SPEAKER_01 … in the order of their first turns.

    A speaker who has words or segments but no turn left is not a speaker any more: None.
    """
    turns = sorted(speech.turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker or ""))
    labels = dict.fromkeys(turn.speaker for turn in turns if turn.speaker is not None)
    names = {label: f"SPEAKER_{number:02d}" for number, label in enumerate(labels)}
    return renamed(replace(speech, turns=tuple(turns)), names)


def renamed(speech: Speech, names: Mapping[str, str]) -> Speech:
    """Return the same speech with its speakers called by `names`; who has none there is None."""

    def passage(it: Passage) -> Passage:
        return replace(it, speaker=names.get(it.speaker or ""))

    return replace(
        speech,
        turns=tuple(replace(turn, speaker=names.get(turn.speaker or "")) for turn in speech.turns),
        segments=tuple(map(passage, speech.segments)),
        words=tuple(map(passage, speech.words)),
    )


def speaking_times(turns: Sequence[Turn]) -> dict[str, int]:
    """Return the milliseconds each known speaker speaks, by label; a speaker's turns must not overlap each other."""
    totals: dict[str, int] = {}
    for turn in turns:
        if turn.speaker is not None:
            totals[turn.speaker] = totals.get(turn.speaker, 0) + turn.end_ms - turn.start_ms
    return dict(sorted(totals.items()))
