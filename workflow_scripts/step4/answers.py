"""Reading Lemonfox's answer as what it is: text from outside that may hold anything.

Every field that is used is checked; what does not hold raises MalformedAnswer with a sentence that names the field.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workflow_scripts.step4.records import Passage, Speech, Turn

OVERRUN_MS = 30_000
"""How far a time may lie beyond the sound's end, and is cut to it: Whisper hears windows of 30 s, filled up with
silence, and now and then writes something there. What lies beyond the end altogether is dropped."""
LONGEST_LABEL = 100
SHORTEST_SHARE, LEEWAY_MS = 0.9, 2000
"""An answer about less than this share of the sound, and that many milliseconds, is about half of it."""


class MalformedAnswer(ValueError):
    """The answer is not what the service's documentation promises."""


@dataclass(frozen=True)
class _Place:
    """Where in the answer a value stands, for messages, and how long the sound is."""

    name: str
    duration_ms: int

    def within(self, name: str) -> _Place:
        return replace(self, name=f"{self.name}.{name}" if self.name else name)

    def wrong(self, what: str) -> MalformedAnswer:
        return MalformedAnswer(f"{self.name or 'the answer'} {what}")


@dataclass(frozen=True)
class _Word:
    """A word, and the number of the segment it belongs to, if it is in one."""

    passage: Passage
    segment: int | None


def read_answer(text: bytes, duration_ms: int) -> Speech:
    """Turn the body of a `verbose_json` answer about a sound of `duration_ms` into checked records, in order of time.

    Turns come from the words, and from the segments that have none; a word without a speaker has its segment's.
    Speakers keep the labels of the service. Raises MalformedAnswer.
    """
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"the answer is no JSON ({type(error).__name__})") from error
    place = _Place("", duration_ms)
    if not isinstance(answer, dict):
        raise place.wrong("is not an object")
    if "segments" not in answer and "words" not in answer:
        raise place.wrong("has neither segments nor words")
    _check_duration(answer, place)
    segments, nested = _segments(answer, place)
    words = nested or _placed(answer, segments, place)
    spoken = {word.segment for word in words if word.passage.start_ms < word.passage.end_ms}
    wordless = (segment for number, segment in enumerate(segments) if number not in spoken)
    return Speech(
        turns=tuple(
            Turn(it.start_ms, it.end_ms, it.speaker) for it in _heard(*wordless, *(it.passage for it in words))
        ),
        segments=_heard(*segments),
        words=_heard(*(word.passage for word in words)),
        language=None if answer.get("language") is None else _text(answer, "language", place) or None,
        text=_text(answer, "text", place),
    )


def _heard(*passages: Passage) -> tuple[Passage, ...]:
    return tuple(sorted(passages, key=lambda it: (it.start_ms, it.end_ms)))


def _check_duration(answer: dict[str, Any], place: _Place) -> None:
    """Refuse an answer that says it is about much less sound than was sent; other values of this field are left alone."""
    told = answer.get("duration")
    if isinstance(told, (float, int)) and 0 <= told * 1000 < place.duration_ms * SHORTEST_SHARE - LEEWAY_MS:
        raise place.wrong(f"is about {told:.1f} s of sound, and {place.duration_ms / 1000:.1f} s were sent")


def _segments(answer: dict[str, Any], place: _Place) -> tuple[list[Passage], list[_Word]]:
    """Return the segments, and the words that stand inside them."""
    segments: list[Passage] = []
    words: list[_Word] = []
    for record, here in _objects(answer, "segments", place):
        segment = _passage(record, here, "text", None)
        if segment is not None:
            within = _words(_objects(record, "words", here), segment.start_ms, segment.speaker)
            words += [_Word(word, len(segments)) for word in within]
            segments.append(segment)
    return segments, words


def _placed(answer: dict[str, Any], segments: Sequence[Passage], place: _Place) -> list[_Word]:
    """Return words that stand beside the segments; one without a speaker has that of the segment around its middle."""
    order = sorted(range(len(segments)), key=lambda number: segments[number].start_ms)
    starts = [segments[number].start_ms for number in order]
    words: list[_Word] = []
    for word in _words(_objects(answer, "words", place), 0, None):
        middle = (word.start_ms + word.end_ms) // 2
        around = bisect_right(starts, middle) - 1
        if around >= 0 and middle <= segments[order[around]].end_ms:
            speaker = word.speaker or segments[order[around]].speaker
            words.append(_Word(replace(word, speaker=speaker), order[around]))
        else:
            words.append(_Word(word, None))
    return words


def _words(records: Iterable[tuple[dict[str, Any], _Place]], start_ms: int, speaker: str | None) -> Iterator[Passage]:
    """Yield words; one that has no times (numerals: aligners know letters) stands where the one before it ends."""
    end_ms = start_ms
    for record, here in records:
        if record.get("start") is None and record.get("end") is None:
            yield Passage(end_ms, end_ms, _text(record, "word", here), _speaker(record, here) or speaker)
        elif word := _passage(record, here, "word", speaker):
            end_ms = word.end_ms
            yield word


def _objects(owner: dict[str, Any], key: str, place: _Place) -> Iterator[tuple[dict[str, Any], _Place]]:
    """Yield the objects of a list that may be absent or null, each with its place."""
    place = place.within(key)
    values = owner.get(key)
    if values is None:
        return
    if not isinstance(values, list):
        raise place.wrong("is not a list")
    for number, value in enumerate(values):
        here = replace(place, name=f"{place.name}[{number}]")
        if not isinstance(value, dict):
            raise here.wrong("is not an object")
        yield value, here


def _passage(record: dict[str, Any], place: _Place, text_key: str, default_speaker: str | None) -> Passage | None:
    """Return what a record says, cut to the sound; None when that lies beyond its end."""
    start, end = _milliseconds(record, "start", place), _milliseconds(record, "end", place)
    if end < start:
        raise place.wrong("ends before it starts")
    text, speaker = _text(record, text_key, place), _speaker(record, place) or default_speaker
    if start >= place.duration_ms:
        return None
    return Passage(start, min(end, place.duration_ms), text, speaker)


def _milliseconds(record: dict[str, Any], key: str, place: _Place) -> int:
    """Return a time given in seconds, to the nearest millisecond."""
    here = place.within(key)
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise here.wrong("is not a number of seconds")
    if not 0 <= value * 1000 <= here.duration_ms + OVERRUN_MS:  # false for NaN and the infinities
        raise here.wrong(f"is not within the sound's {here.duration_ms / 1000:.3f} s")
    return round(value * 1000)


def _text(record: dict[str, Any], key: str, place: _Place) -> str:
    """Return a text as one line that any file can hold: no line breaks, no control characters, no half characters."""
    value = record.get(key)
    if not isinstance(value, str):
        raise place.within(key).wrong("is not a text")
    whole = value.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(" " if char < " " or char == "\x7f" else char for char in whole).split())


def _speaker(record: dict[str, Any], place: _Place) -> str | None:
    """Return the label of a speaker; absent, null and empty are None."""
    value = record.get("speaker")
    if value is None or value == "":
        return None
    if not isinstance(value, (str, int)) or isinstance(value, bool) or len(str(value)) > LONGEST_LABEL:
        raise place.within("speaker").wrong("is not a label")
    return str(value)
