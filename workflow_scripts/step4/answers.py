"""Reading Lemonfox's answer as what it is: text from outside that may hold anything.

Every field that is used is checked; what does not hold raises MalformedAnswer with a sentence that names the field.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workflow_scripts.step4.records import Passage, Speech, Turn

OVERRUN_MS = 1000
"""How far a time may lie beyond the sound's end, and is cut to it: services round up to their own windows."""
LONGEST_LABEL = 100


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


def read_answer(text: bytes, duration_ms: int) -> Speech:
    """Turn the body of a `verbose_json` answer about a sound of `duration_ms` into checked records.

    Turns come from the words where there are any, else from the segments; a word without a speaker has its segment's.
    Speakers keep the labels of the service. Raises MalformedAnswer.
    """
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"the answer is no JSON ({type(error).__name__})") from error
    place = _Place("", duration_ms)
    if not isinstance(answer, dict):
        raise place.wrong("is not an object")
    segments, nested = _segments(answer, place)
    words = nested or _placed(_objects(answer, "words", place), segments)
    if "segments" not in answer and "words" not in answer:
        raise place.wrong("has neither segments nor words")
    return Speech(
        turns=tuple(Turn(part.start_ms, part.end_ms, part.speaker) for part in words or segments),
        segments=segments,
        words=words,
        language=_text(answer, "language", place) if answer.get("language") is not None else None,
        text=_text(answer, "text", place),
    )


def _segments(answer: dict[str, Any], place: _Place) -> tuple[tuple[Passage, ...], tuple[Passage, ...]]:
    """Return the segments, and the words that stand inside them."""
    segments: list[Passage] = []
    words: list[Passage] = []
    for record, here in _objects(answer, "segments", place):
        segment = _passage(record, here, "text", None)
        segments.append(segment)
        words += [_passage(word, at, "word", segment.speaker) for word, at in _objects(record, "words", here)]
    return tuple(segments), tuple(words)


def _placed(records: Iterator[tuple[dict[str, Any], _Place]], segments: Sequence[Passage]) -> tuple[Passage, ...]:
    """Return words that stand beside the segments; one without a speaker has that of the segment around its middle."""
    segments = sorted(segments, key=lambda segment: segment.start_ms)
    starts = [segment.start_ms for segment in segments]
    words = []
    for record, place in records:
        word = _passage(record, place, "word", None)
        middle = (word.start_ms + word.end_ms) // 2
        around = bisect_right(starts, middle) - 1
        if word.speaker is None and around >= 0 and middle < segments[around].end_ms:
            word = replace(word, speaker=segments[around].speaker)
        words.append(word)
    return tuple(words)


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


def _passage(record: dict[str, Any], place: _Place, text_key: str, default_speaker: str | None) -> Passage:
    start, end = _milliseconds(record, "start", place), _milliseconds(record, "end", place)
    if end < start:
        raise place.wrong("ends before it starts")
    return Passage(start, end, _text(record, text_key, place), _speaker(record, place) or default_speaker)


def _milliseconds(record: dict[str, Any], key: str, place: _Place) -> int:
    """Return a time given in seconds, to the nearest millisecond, cut to the sound's end."""
    here = place.within(key)
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise here.wrong("is not a number of seconds")
    if not 0 <= value * 1000 <= here.duration_ms + OVERRUN_MS:  # false for NaN and the infinities
        raise here.wrong(f"is not within the sound's {here.duration_ms / 1000:.3f} s")
    return min(round(value * 1000), here.duration_ms)


def _text(record: dict[str, Any], key: str, place: _Place) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise place.within(key).wrong("is not a text")
    return value


def _speaker(record: dict[str, Any], place: _Place) -> str | None:
    """Return the label of a speaker; absent, null and empty are None."""
    value = record.get("speaker")
    if value is None or value == "":
        return None
    if not isinstance(value, (str, int)) or isinstance(value, bool) or len(str(value)) > LONGEST_LABEL:
        raise place.within("speaker").wrong("is not a label")
    return str(value)
