"""Who says which words: a transcript and speaker turns of different engines, brought together. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from workflow_scripts.step4.records import Passage, Speech, Turn

REACH_MS = 500
"""How far from a turn a word may lie and still be its speaker's: transcribers place words that far off at worst."""


def with_transcript(speech: Speech, transcript: Speech) -> Speech:
    """Return the turns of `speech` with the segments, words, language and text of `transcript`, told apart by speaker."""
    return replace(
        speech,
        segments=with_speakers(transcript.segments, speech.turns),
        words=with_speakers(transcript.words, speech.turns),
        language=transcript.language,
        text=transcript.text,
    )


def with_turns(speech: Speech, turns: Sequence[Turn]) -> Speech:
    """Return a transcript without speakers with the speakers of `turns`.

    Words that lie outside all turns stay, and are turns of an unknown speaker: that somebody spoke there is known.
    """
    words = with_speakers(speech.words, turns)
    segments = with_speakers(speech.segments, turns)
    unheard = [Turn(part.start_ms, part.end_ms, None) for part in words or segments if part.speaker is None]
    return replace(speech, turns=(*turns, *unheard), segments=segments, words=words)


def with_speakers(passages: Sequence[Passage], turns: Iterable[Turn]) -> tuple[Passage, ...]:
    """Give each passage that has no speaker the one who speaks most of its time, or the nearest within REACH_MS."""
    waiting = deque(sorted((turn for turn in turns if turn.speaker is not None), key=lambda turn: turn.start_ms))
    near: list[Turn] = []
    found: dict[int, Passage] = {}
    for index in sorted(range(len(passages)), key=lambda index: passages[index].start_ms):
        passage = passages[index]
        while waiting and waiting[0].start_ms <= passage.end_ms + REACH_MS:
            near.append(waiting.popleft())
        near = [turn for turn in near if turn.end_ms >= passage.start_ms - REACH_MS]
        found[index] = passage if passage.speaker is not None else replace(passage, speaker=_speaker(passage, near))
    return tuple(found[index] for index in range(len(passages)))


def _speaker(passage: Passage, near: Sequence[Turn]) -> str | None:
    """Return who speaks most of a passage; where nobody does, who speaks nearest to it; None when nobody is near."""
    shared = Counter[str | None]()
    for turn in near:
        shared[turn.speaker] += max(0, min(turn.end_ms, passage.end_ms) - max(turn.start_ms, passage.start_ms))
    if shared.total():
        return shared.most_common(1)[0][0]
    gaps = [(max(turn.start_ms - passage.end_ms, passage.start_ms - turn.end_ms), str(turn.speaker)) for turn in near]
    gap, nearest = min(gaps, default=(REACH_MS + 1, ""))
    return nearest if gap <= REACH_MS else None
