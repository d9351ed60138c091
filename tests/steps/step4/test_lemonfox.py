"""Lemonfox against a real server: what is sent, what is tried again, what is never believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.steps.step4.conftest import KEY, Lemonfox, Reply
from workflow_scripts.step4.answers import MalformedAnswer, read_answer
from workflow_scripts.step4.chain import LinkFailed
from workflow_scripts.step4.lemonfox import Request, fields_of, transcribe
from workflow_scripts.step4.records import Passage, Turn

FIELDS = fields_of(
    language="english", prompt=None, speaker_labels=True, speakers=(2, None), granularities=("word", "segment")
)


def ask(server: Lemonfox, sound: Path) -> tuple[bytes, list[float]]:
    """Ask, and return the answer and the pauses that were made between attempts."""
    pauses: list[float] = []
    answer = transcribe(Request(server.address, KEY, 20.0, FIELDS), sound, pause=pauses.append)
    return answer, pauses


def test_the_request_is_the_one_of_the_documentation(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Reply(body=b'{"segments": []}')]
    assert ask(lemonfox, sound) == (b'{"segments": []}', [])
    ((headers, body),) = lemonfox.requests
    assert headers["path"] == "/v1/audio/transcriptions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    for name, value in (("response_format", "verbose_json"), ("speaker_labels", "true"), ("language", "english"),
                        ("min_speakers", "2"), ("timestamp_granularities[]", "word"),
                        ("timestamp_granularities[]", "segment")):  # fmt: skip
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in body
    assert b"max_speakers" not in body and b"prompt" not in body
    assert sound.read_bytes() in body


@pytest.mark.parametrize(
    ("replies", "pauses"),
    [
        ([Reply(500), Reply()], [1.0]),
        ([Reply(503), Reply(408), Reply(502), Reply()], [1.0, 2.0, 4.0]),
        ([Reply(429, headers={"Retry-After": "7"}), Reply()], [7.0]),
        ([Reply(body=b'{"te', cut=True), Reply()], [1.0]),
    ],
)
def test_what_may_pass_is_tried_again(
    lemonfox: Lemonfox, sound: Path, replies: list[Reply], pauses: list[float]
) -> None:
    lemonfox.replies = list(replies)
    assert ask(lemonfox, sound) == (b"{}", pauses)
    assert len(lemonfox.requests) == len(replies)


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_what_will_not_change_is_not_tried_again_and_never_shows_the_key(
    lemonfox: Lemonfox, sound: Path, status: int
) -> None:
    lemonfox.replies = [Reply(status, f"your key {KEY} is wrong".encode())]
    with pytest.raises(LinkFailed, match=f"HTTP {status}") as caught:
        ask(lemonfox, sound)
    assert len(lemonfox.requests) == 1
    assert KEY not in str(caught.value) and "***" in str(caught.value)


def test_it_gives_up_after_four_attempts_or_a_long_wait(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Reply(500)]
    with pytest.raises(LinkFailed, match="attempt 4"):
        ask(lemonfox, sound)
    lemonfox.requests.clear()
    lemonfox.replies = [Reply(429, headers={"Retry-After": "86400"})]
    with pytest.raises(LinkFailed, match="attempt 1"):
        ask(lemonfox, sound)


def test_a_server_that_is_not_there_is_a_failed_link(sound: Path) -> None:
    with pytest.raises(LinkFailed, match="connection failed"):
        transcribe(Request("http://127.0.0.1:9/v1", KEY, 5.0, FIELDS), sound, pause=lambda _: None)


def word(start: Any, end: Any, text: Any = "hi", speaker: Any = "S0") -> dict[str, Any]:
    return {"start": start, "end": end, "word": text, "speaker": speaker}


def test_an_answer_becomes_checked_records() -> None:
    answer = {
        "language": "english", "text": "Hi there", "duration": 2.0,
        "segments": [{"id": 0, "start": 0.1, "end": 1.5, "text": "Hi there", "speaker": "S1",
                      "words": [word(0.1, 0.4, "Hi", None), word(0.5, 2.4, "there", "S2")]}],
    }  # fmt: skip
    speech = read_answer(json.dumps(answer).encode(), 2000)
    assert speech.words == (Passage(100, 400, "Hi", "S1"), Passage(500, 2000, "there", "S2"))
    assert speech.turns == (Turn(100, 400, "S1"), Turn(500, 2000, "S2"))
    assert (speech.language, speech.text) == ("english", "Hi there")


def test_words_beside_the_segments_have_the_speaker_of_the_segment_they_lie_in() -> None:
    segments = [
        {"start": 1, "end": 2, "text": "b", "speaker": "S2"},
        {"start": 0, "end": 1, "text": "a", "speaker": "S1"},
    ]
    words = [word(0.1, 0.5, "a", None), word(0.9, 1.5, "b", None), word(1.6, 1.9, "c", "S3"), word(2.5, 2.9, "d", None)]
    speech = read_answer(json.dumps({"text": "", "segments": segments, "words": words}).encode(), 3000)
    assert [turn.speaker for turn in speech.turns] == ["S1", "S2", "S3", None]


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>", b"[]", b"{}", b'{"segments": {}, "text": ""}', b'{"segments": [1], "text": ""}',
        b'{"segments": [{"start": NaN, "end": 1, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": 0, "end": Infinity, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": 1, "end": 0.5, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": -1, "end": 0.5, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": "0", "end": 0.5, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": true, "end": 1, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": 0, "end": 500, "text": "x"}], "text": ""}',
        b'{"segments": [{"start": 0, "end": 1, "text": 7}], "text": ""}',
        b'{"segments": [{"start": 0, "end": 1, "text": "x", "speaker": []}], "text": ""}',
        b'{"segments": [], "text": null}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_that_does_not_hold_is_refused(answer: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_answer(answer, 2000)
