"""What is said as subtitles: cues by one set of rules, SubRip (SRT) and WebVTT. Pure: records in, text out.

Written by hand: libraries of the kind stop at 99 hours without a word, and know no voice tags.
Rules: Netflix Timed Text Style Guide (42 characters a line, two lines, 5/6 s to 7 s on screen).
"""

from __future__ import annotations

import html
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

LINE = 42
"""Characters of a line, of which a cue has two."""
LONGEST_MS = 7000
SHORTEST_MS = 833
"""A cue that nothing follows closely stays this long."""
PAUSE_MS = 800
"""A pause between two words from which a new cue begins."""
SENTENCE_ENDS = ".?!…。？！؟۔"
WORTH = 20
"""Characters from which a cue ends with its sentence: shorter sentences share one."""
_RIGHT_TO_LEFT = "\u200f"


class Said(Protocol):
    """A word or a passage, in milliseconds; `speaker` is None or empty where nobody knows."""

    @property
    def start_ms(self) -> int:
        """When it begins."""

    @property
    def end_ms(self) -> int:
        """When it is over."""

    @property
    def text(self) -> str:
        """What is said."""

    @property
    def speaker(self) -> str | None:
        """Who says it."""


@dataclass(frozen=True)
class Word:
    """One word, as Said."""

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None


@dataclass(frozen=True)
class Cue:
    """One subtitle; `lines` are one or two."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None


def cues(words: Iterable[Said], segments: Iterable[Said]) -> list[Cue]:
    """Return what is said as cues in order of their beginning; the times of words are used if given.

    Cues of one speaker follow one another; those of speakers who speak at the same time overlap, as their speech does.
    """
    parts = [_whole(word) for word in words] or [part for segment in segments for part in _spread(segment)]
    spoken = sorted((part for part in parts if part.text), key=lambda part: part.start_ms)
    found = [
        _cue(group) for speaker in dict.fromkeys(part.speaker for part in spoken) for group in _groups(spoken, speaker)
    ]
    return list(_timed(sorted(found, key=lambda cue: (cue.start_ms, cue.end_ms))))


def _whole(said: Said) -> Word:
    return Word(said.start_ms, said.end_ms, " ".join(said.text.split()), said.speaker or None)


def _spread(segment: Said) -> Iterator[Word]:
    """Give each word of a segment its share of the segment's time, by its letters."""
    words = segment.text.split()
    total = sum(map(len, words))
    length, done = segment.end_ms - segment.start_ms, 0
    for word in words:
        start, done = segment.start_ms + length * done // total, done + len(word)
        yield Word(start, segment.start_ms + length * done // total, word, segment.speaker or None)


def _groups(spoken: Sequence[Word], speaker: str | None) -> Iterator[list[Word]]:
    """Part a speaker's words into cues: where others speak between, at pauses and sentences' ends, before it gets long."""
    others = [word for word in spoken if word.speaker != speaker]
    starts = [word.start_ms for word in others]
    group: list[Word] = []
    for word in (word for word in spoken if word.speaker == speaker):
        if group:
            next_other = bisect_left(starts, group[-1].end_ms)
            between = next_other < len(others) and others[next_other].end_ms <= word.start_ms
            if between or _ends_before(group, word):
                yield group
                group = []
        group.append(word)
    if group:
        yield group


def _ends_before(group: Sequence[Word], word: Word) -> bool:
    first, last = group[0], group[-1]
    text = " ".join(part.text for part in group)
    return (
        word.start_ms - last.end_ms >= PAUSE_MS
        or word.end_ms - first.start_ms > LONGEST_MS
        or (last.text[-1] in SENTENCE_ENDS and len(text) >= WORTH)
        or _lines(f"{text} {word.text}") is None
    )


def _cue(group: Sequence[Word]) -> Cue:
    text = " ".join(word.text for word in group)
    end = max(word.end_ms for word in group)
    # A word of more than a line, alone in its cue, is left as it is.
    return Cue(group[0].start_ms, end, _lines(text) or (text,), group[0].speaker)


def _lines(text: str) -> tuple[str, ...] | None:
    """Break a text into one or two lines of nearly the same length; None when it does not fit."""
    if len(text) <= LINE:
        return (text,)
    breaks = [index for index, letter in enumerate(text) if letter == " "]
    fitting = [(text[:index], text[index + 1 :]) for index in breaks if index <= LINE and len(text) - index - 1 <= LINE]
    return min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1])), default=None)


def _timed(ordered: Sequence[Cue]) -> Iterator[Cue]:
    """Let cues stay long enough to be read, if nothing follows, and end before the same speaker's next one begins."""
    own: dict[str | None, int] = {}  # when the speaker's next cue begins
    timed: list[Cue] = []
    for cue, later in reversed([*pairwise([*ordered, None])]):
        assert cue is not None
        following = later.start_ms if later else cue.start_ms + SHORTEST_MS
        end = max(cue.end_ms, min(cue.start_ms + SHORTEST_MS, following))
        if cue.speaker in own:
            end = min(end, own[cue.speaker])
        timed.append(replace(cue, end_ms=max(end, cue.start_ms + 1)))
        own[cue.speaker] = cue.start_ms
    return reversed(timed)


def srt(found: Iterable[Cue], names: Mapping[str, str]) -> Iterator[str]:
    """Yield cues as SubRip. A speaker's name stands before the first cue of each of their turns."""
    before: str | None = None
    for number, cue in enumerate(found, 1):
        name = _name(cue, names) if cue.speaker != before else None
        text = "\n".join(line.replace("-->", "->") for line in cue.lines)
        # What a name in other letters stands before keeps the direction it is read in.
        told = f"{_RIGHT_TO_LEFT if _is_right_to_left(text) else ''}{name}: {text}" if name else text
        yield f"{number}\n{clock(cue.start_ms, ',')} --> {clock(cue.end_ms, ',')}\n{told}\n\n"
        before = cue.speaker


def vtt(found: Iterable[Cue], names: Mapping[str, str]) -> Iterator[str]:
    """Yield cues as WebVTT; each says in a voice tag who speaks."""
    yield "WEBVTT\n\n"
    for cue in found:
        name = _name(cue, names)
        voice = f"<v {html.escape(name, quote=False)}>" if name else ""
        text = html.escape("\n".join(cue.lines), quote=False)
        yield f"{clock(cue.start_ms, '.')} --> {clock(cue.end_ms, '.')}\n{voice}{text}\n\n"


def clock(time_ms: int, point: str) -> str:
    """Return a time as hours (two digits, more where it takes more), minutes, seconds and thousandths."""
    minutes, rest = divmod(time_ms, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _name(cue: Cue, names: Mapping[str, str]) -> str | None:
    return None if cue.speaker is None else names.get(cue.speaker, cue.speaker)


def _is_right_to_left(text: str) -> bool:
    """Tell whether the first letter that has a direction is read from the right (Unicode's first strong character)."""
    return next((sort != "L" for sort in map(unicodedata.bidirectional, text) if sort in ("L", "R", "AL")), False)
