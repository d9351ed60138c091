"""What a service answers is text from outside: used where it holds, refused by name where it does not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from workflow_scripts.step4.answers import MalformedAnswer, read_answer
from workflow_scripts.step4.records import Passage, Speech, Turn


def word(start: Any, end: Any, text: Any = "hi", speaker: Any = "S0") -> dict[str, Any]:
    return {"start": start, "end": end, "word": text, "speaker": speaker}


def read(duration_ms: int = 2000, **answer: Any) -> Speech:
    return read_answer(json.dumps({"text": "", **answer}).encode(), duration_ms)


def test_an_answer_becomes_checked_records() -> None:
    segment = {
        "id": 0, "start": 0.1, "end": 1.5, "text": " Hi there", "speaker": "S1",
        "words": [word(0.1, 0.4, "Hi", None), word(0.5, 2.4, "there", "S2")],
    }  # fmt: skip
    speech = read(language="english", text="Hi there", duration=2.0, segments=[segment])
    assert speech.words == (Passage(100, 400, "Hi", "S1"), Passage(500, 2000, "there", "S2"))
    assert speech.turns == (Turn(100, 400, "S1"), Turn(500, 2000, "S2"))
    assert speech.segments == (Passage(100, 1500, "Hi there", "S1"),)
    assert (speech.language, speech.text) == ("english", "Hi there")


def test_words_beside_the_segments_have_the_speaker_of_the_segment_they_lie_in() -> None:
    segments = [
        {"start": 1, "end": 2, "text": "b", "speaker": "S2"},
        {"start": 0, "end": 1, "text": "a", "speaker": "S1"},
    ]
    words = [word(0.1, 0.5, "a", None), word(0.9, 1.5, "b", None), word(1.6, 1.9, "c", "S3"), word(2.5, 2.9, "d", None)]
    speech = read(3000, segments=segments, words=words)
    assert [turn.speaker for turn in speech.turns] == ["S1", "S2", "S3", None]
    assert [segment.text for segment in speech.segments] == ["a", "b"]


@pytest.mark.parametrize("nested", [True, False])
def test_a_segment_without_words_is_a_turn_of_its_own(nested: bool) -> None:
    words = [word(0, 0.5, "a")]
    first = {"start": 0, "end": 0.6, "text": "a", "speaker": "S1", "words": words if nested else None}
    second = {"start": 1, "end": 1.5, "text": "b", "speaker": "S2"}
    speech = read(segments=[first, second], words=None if nested else words)
    assert speech.turns == (Turn(0, 500, "S0"), Turn(1000, 1500, "S2"))


def test_a_word_that_could_not_be_timed_keeps_its_place_and_its_segment_its_turn() -> None:
    words = [word(0.1, 0.4, "in"), {"word": "2014"}, word(0.9, 1.2, "it")]
    lone = {"start": 1.5, "end": 1.8, "text": "7", "speaker": "S1", "words": [{"word": "7"}]}
    speech = read(segments=[{"start": 0, "end": 1.2, "text": "in 2014 it", "speaker": "S0", "words": words}, lone])
    assert [(it.text, it.start_ms, it.end_ms) for it in speech.words] == [
        ("in", 100, 400), ("2014", 400, 400), ("it", 900, 1200), ("7", 1500, 1500),
    ]  # fmt: skip
    assert Turn(1500, 1800, "S1") in speech.turns


def test_what_lies_beyond_the_end_is_cut_or_dropped() -> None:
    segments = [{"start": 1.5, "end": 30, "text": "a"}, {"start": 2.0, "end": 4.0, "text": "Thanks for watching!"}]
    speech = read(segments=segments)
    assert speech.segments == (Passage(1500, 2000, "a", None),)


def test_texts_are_lines_that_any_file_can_hold() -> None:
    hostile = "a\r\n\r\n00:00 --> 99:00\x00\x1b\ud800 \u2028b"
    ((segment,), text) = read(segments=[{"start": 0, "end": 1, "text": hostile}]).segments, hostile
    assert segment.text == "a 00:00 --> 99:00 ? b" and segment.text != text


def test_thousands_of_segments_and_words_are_read_in_no_time() -> None:
    count = 50_000
    segments = [{"start": n, "end": n + 1, "text": "x", "speaker": f"S{n % 4}"} for n in reversed(range(count))]
    words = [word(n + 0.2, n + 0.8, "x", None) for n in range(count)]
    answer = json.dumps({"text": "", "segments": segments, "words": words}).encode()
    begun = time.process_time()
    speech = read_answer(answer, count * 1000)
    assert time.process_time() - begun < 10
    assert [turn.speaker for turn in speech.turns[:5]] == ["S0", "S1", "S2", "S3", "S0"]


def segment(**changes: Any) -> bytes:
    return json.dumps({"text": "", "segments": [{"start": 0, "end": 1, "text": "x", **changes}]}).encode()


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (b"", "no JSON"), (b"<!DOCTYPE html><html>", "no JSON"), (b"[" * 100_000, "no JSON"),
        (b'{"text": "', "no JSON"), ('{"text": "é"}'.encode("latin-1"), "no JSON"), (b'{"text": %s}' % (b"9" * 5000), ""),
        (b"[]", "not an object"), (b"{}", "neither segments nor words"), (b'{"text": "x"}', "neither"),
        (b'{"segments": {}, "text": ""}', "segments is not a list"),
        (b'{"segments": [1], "text": ""}', "segments[0] is not an object"),
        (b'{"segments": [], "text": null}', "text is not a text"),
        (b'{"segments": [], "text": "", "language": 7}', "language is not a text"),
        (b'{"segments": [], "words": [{"start": 0, "word": "x"}], "text": ""}', "words[0].end"),
        (segment(start=float("nan")), "segments[0].start"), (segment(end=float("inf")), "segments[0].end"),
        (segment(end=1e308), "end"), (segment(end=10**400), "end"), (segment(start=1, end=0.5), "ends before it starts"),
        (segment(start=-1), "not within"), (segment(start="0"), "not a number"), (segment(start=True), "not a number"),
        (segment(end=500), "not within"), (segment(end=None), "not a number"), (segment(text=7), "text is not a text"),
        (segment(speaker=[]), "not a label"), (segment(speaker="x" * 101), "not a label"),
        (segment(words=3), "segments[0].words is not a list"),
        (b'{"segments": [], "text": "", "duration": 29.0}', "about 29.0 s of sound, and 60.0 s were sent"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_hold_is_refused_by_name(answer: bytes, names: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        read_answer(answer, 60_000)
    assert names in str(caught.value)
