"""A transcript as subtitles: SubRip (SRT) and WebVTT, with the names of the speakers. Pure: records in, text out.

Written by hand: libraries of the kind stop at 99 hours, and know no voice tags.
Rules: Netflix Timed Text Style Guide (42 characters a line, two lines, 5/6 s to 7 s on screen).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from workflow_scripts.step4.records import Passage

LINE = 42
"""Characters of a line, of which a cue has two."""
LONGEST_MS = 7000
SHORTEST_MS = 833
"""A cue that nothing follows closely stays this long."""
PAUSE_MS = 800
"""A pause between two words from which a new cue begins."""
SENTENCE_ENDS = ".?!…。？！"
WORTH = 20
"""Characters from which a cue ends with its sentence: shorter sentences share one."""


@dataclass(frozen=True)
class Cue:
    """One subtitle; `lines` are one or two."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None


def cues(words: Sequence[Passage], segments: Sequence[Passage]) -> list[Cue]:
    """Return a transcript as cues that follow one another without overlapping; the times of words are used if given."""
    parts = words or [part for segment in segments for part in _spread(segment)]
    cleaned = (replace(part, text=" ".join(part.text.split())) for part in parts)
    spoken = sorted((part for part in cleaned if part.text), key=lambda part: part.start_ms)
    found = [_cue(group) for group in _groups(spoken)]
    return [_timed(cue, later) for cue, later in pairwise([*found, None]) if cue is not None]


def _spread(segment: Passage) -> Iterator[Passage]:
    """Give each word of a segment its share of the segment's time, by its letters."""
    words = segment.text.split()
    total = sum(map(len, words))
    length, done = segment.end_ms - segment.start_ms, 0
    for word in words:
        start, done = segment.start_ms + length * done // total, done + len(word)
        yield Passage(start, segment.start_ms + length * done // total, word, segment.speaker)


def _groups(words: Iterable[Passage]) -> Iterator[list[Passage]]:
    """Part words into cues: at another speaker, a pause, a sentence's end, and before a cue gets too long."""
    group: list[Passage] = []
    for word in words:
        if group and _ends_before(group, word):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _ends_before(group: Sequence[Passage], word: Passage) -> bool:
    first, last = group[0], group[-1]
    text = " ".join(part.text for part in group)
    return (
        word.speaker != first.speaker
        or word.start_ms - last.end_ms >= PAUSE_MS
        or word.end_ms - first.start_ms > LONGEST_MS
        or (last.text[-1] in SENTENCE_ENDS and len(text) >= WORTH)
        or _lines(f"{text} {word.text}") is None
    )


def _cue(group: Sequence[Passage]) -> Cue:
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


def _timed(cue: Cue, later: Cue | None) -> Cue:
    """Let a cue stay long enough to be read, and end before the next one begins."""
    end = max(cue.end_ms, cue.start_ms + SHORTEST_MS)
    if later is not None:
        end = min(end, max(later.start_ms, cue.start_ms + 1))
    return replace(cue, end_ms=end)


def srt(cues: Iterable[Cue], names: Mapping[str, str]) -> str:
    """Return cues as SubRip. A speaker's name stands before the first cue of each of their turns."""

    def told(cue: Cue, begins: bool) -> str:
        name = _name(cue, names) if begins else None
        return "\n".join((f"{name}: {cue.lines[0]}" if name else cue.lines[0], *cue.lines[1:]))

    return _written(cues, lambda number, cue, begins: f"{number}\n{_span(cue, ',')}\n{told(cue, begins)}\n")


def vtt(cues: Iterable[Cue], names: Mapping[str, str]) -> str:
    """Return cues as WebVTT; each says in a voice tag who speaks."""

    def told(_number: int, cue: Cue, _begins: bool) -> str:
        text = html.escape("\n".join(cue.lines), quote=False)
        name = _name(cue, names)
        voice = f"<v {html.escape(name, quote=False)}>" if name else ""
        return f"{_span(cue, '.')}\n{voice}{text}\n"

    return "WEBVTT\n\n" + _written(cues, told)


def _written(cues: Iterable[Cue], told: Callable[[int, Cue, bool], str]) -> str:
    blocks, before = [], None
    for number, cue in enumerate(cues, 1):
        blocks.append(told(number, cue, cue.speaker != before))
        before = cue.speaker
    return "\n".join(blocks)


def _name(cue: Cue, names: Mapping[str, str]) -> str | None:
    return None if cue.speaker is None else names.get(cue.speaker, cue.speaker)


def _span(cue: Cue, separator: str) -> str:
    return f"{_clock(cue.start_ms, separator)} --> {_clock(cue.end_ms, separator)}"


def _clock(time_ms: int, separator: str) -> str:
    """Return a time as hours (two digits, more where it takes more), minutes, seconds and thousandths."""
    seconds, thousandths = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{thousandths:03d}"
