"""Lemonfox against a real server: what is sent, what is tried again and what not, and how long any of it may take."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.steps.step4.lemonfox_server import KEY, Answers, Closes, Endless, Lemonfox, Refuses, Reply, Service, Silent
from workflow_scripts.step4.chain import LinkFailed
from workflow_scripts.step4.lemonfox import ATTEMPTS, LARGEST_ANSWER, Request, fields_of, transcribe

FIELDS = fields_of(
    language="english", prompt="Camille", translate=True, speaker_labels=True, speakers=(2, 3),
    granularities=("word", "segment"),
)  # fmt: skip


def ask(server: Lemonfox, sound: Path, **changes: object) -> tuple[bytes, list[float]]:
    """Ask, and return the answer and the pauses that were made between attempts."""
    pauses: list[float] = []
    request = replace(Request(server.address, KEY, 20.0, FIELDS), **changes)  # type: ignore[arg-type]
    return transcribe(request, sound, "audio/flac", lambda _sent, _passed: None, pause=pauses.append), pauses


def refusal(server: Lemonfox, sound: Path, **changes: object) -> str:
    """Ask, and return why there is no answer."""
    with pytest.raises(LinkFailed) as caught:
        ask(server, sound, **changes)
    chain: BaseException | None = caught.value
    while chain is not None and not chain.__suppress_context__:  # what a traceback in a log would show
        assert KEY not in str(chain) + repr(chain)
        chain = chain.__cause__ or chain.__context__
    return str(caught.value)


def test_the_request_is_the_one_of_the_documentation(lemonfox: Lemonfox, sound: Path) -> None:
    service = Service(lambda _upload: {"segments": []})
    lemonfox.replies = [service]
    answer, pauses = ask(lemonfox, sound)
    assert b'"task": "transcribe"' in answer and not pauses
    (upload,) = service.uploads
    assert upload.fields == {
        "response_format": ["verbose_json"], "speaker_labels": ["true"], "language": ["english"], "prompt": ["Camille"],
        "translate": ["true"], "min_speakers": ["2"], "max_speakers": ["3"],
        "timestamp_granularities[]": ["word", "segment"],
    }  # fmt: skip
    assert (upload.filename, upload.media_type, upload.seconds) == ("tone.flac", "audio/flac", 1.0)


def test_what_is_not_wanted_is_not_sent() -> None:
    wanted = fields_of(
        language=None, prompt=None, translate=False, speaker_labels=False, speakers=(2, 3), granularities=("word",)
    )
    assert wanted == {
        "response_format": "verbose_json", "speaker_labels": "false", "timestamp_granularities[]": ["word"],
    }  # fmt: skip


BUSY = Reply(503, b"busy")


@pytest.mark.parametrize(
    "replies",
    [
        [Reply(500), Reply()],
        [BUSY, Reply(408), Reply(502), Reply(429), Reply()],
        [Reply(body=b'{"te', cut=True), Reply()],
        [Reply(500, b"bro", cut=True), Reply()],
        [Closes(), Closes(), Reply()],
        [Refuses(503), Reply()],
    ],
)
def test_what_may_pass_is_tried_again_with_growing_pauses(
    lemonfox: Lemonfox, sound: Path, replies: list[Answers]
) -> None:
    lemonfox.replies = list(replies)
    answer, pauses = ask(lemonfox, sound)
    assert answer == b"{}" and len(lemonfox.requests) == len(replies)
    assert len(pauses) == len(replies) - 1
    assert all(2 * 2**number <= pause <= 2.5 * 2**number for number, pause in enumerate(pauses))


@pytest.mark.parametrize(
    ("header", "lowest", "highest"),
    [
        ("7", 7, 7),
        pytest.param(
            format_datetime(datetime.now(timezone.utc) + timedelta(seconds=200), usegmt=True), 100, 200, id="a date",
        ),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", 2, 2.5),
        ("-5", 2, 2.5),
        ("1e3", 2, 2.5),
        ("²", 2, 2.5),
        ("Wed, 99 Oct 9999999 99:99:99 GMT", 2, 2.5),
    ],
)  # fmt: skip
def test_a_server_that_says_when_to_come_back_is_obeyed(
    lemonfox: Lemonfox, sound: Path, header: str, lowest: float, highest: float
) -> None:
    lemonfox.replies = [Reply(429, headers={"Retry-After": header}), Reply()]
    _, (pause,) = ask(lemonfox, sound)
    assert lowest <= pause <= highest


@pytest.mark.parametrize("header", ["301", "86400", "9" * 400, "Fri, 21 Oct 2190 07:28:00 GMT"])
def test_a_server_that_asks_for_more_than_five_minutes_is_left(lemonfox: Lemonfox, sound: Path, header: str) -> None:
    lemonfox.replies = [Reply(429, headers={"Retry-After": header})]
    assert "asks to wait" in refusal(lemonfox, sound)
    assert len(lemonfox.requests) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413])
def test_what_will_not_change_is_not_tried_again_and_never_shows_the_key(
    lemonfox: Lemonfox, sound: Path, status: int
) -> None:
    lemonfox.replies = [Reply(status, f"your key {KEY}\n\x1b[2J is wrong".encode(), {"Location": lemonfox.address})]
    said = refusal(lemonfox, sound)
    assert f"HTTP {status}: your key *** [2J is wrong" in said
    assert len(lemonfox.requests) == 1


def test_a_large_upload_that_breaks_off_is_tried_again(lemonfox: Lemonfox, tmp_path: Path) -> None:
    large = tmp_path / "large.ogg"
    large.write_bytes(bytes(20_000_000))
    lemonfox.replies = [Closes(), Closes(), Reply()]
    answer, pauses = ask(lemonfox, large)
    assert answer == b"{}" and len(pauses) == 2
    assert large.read_bytes() in lemonfox.requests[-1][1]


@pytest.mark.parametrize(("status", "remedy"), [(401, "LEMONFOX_API_KEY"), (413, "LEMONFOX_MAX_UPLOAD_MB")])
def test_a_refusal_in_the_middle_of_the_upload_is_understood_or_tried_again(
    lemonfox: Lemonfox, tmp_path: Path, status: int, remedy: str
) -> None:
    large = tmp_path / "large.ogg"
    large.write_bytes(bytes(20_000_000))
    lemonfox.replies = [Refuses(status)]
    # A connection reset by the other side may lose the answer that came before it: then nothing is known but that.
    said = refusal(lemonfox, large)
    assert remedy in said or "connection failed" in said


def test_a_refusal_counts_whatever_becomes_of_its_text(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Reply(401, b"your key", cut=True)]
    assert "HTTP 401: your key" in refusal(lemonfox, sound)
    lemonfox.replies = [Endless(403, size=1 << 20, blocks=500)]
    assert "HTTP 403" in refusal(lemonfox, sound)
    assert len(lemonfox.requests) == 2 and lemonfox.sent < 100 << 20


def test_it_gives_up_after_some_attempts(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Reply(500, b"<html>\n<title>Oh</title>")]
    assert refusal(lemonfox, sound) == f"HTTP 500: <html> <title>Oh</title> (attempt {ATTEMPTS})"
    lemonfox.replies = [Closes()]
    assert "connection failed" in refusal(lemonfox, sound)
    assert len(lemonfox.requests) == 2 * ATTEMPTS


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/v1", "ftp://127.0.0.1/v1", "speech.lan", "http://[::1", "http://"]
)
def test_a_server_that_is_not_there_is_a_failed_link(lemonfox: Lemonfox, sound: Path, address: str) -> None:
    said = refusal(lemonfox, sound, address=address)
    assert "connection failed" in said or "LEMONFOX_BASE_URL" in said


@pytest.mark.parametrize("reply", [Silent(), Endless(every_s=0.05), Endless(500, every_s=0.05)])
def test_an_answer_that_does_not_come_or_never_ends_is_left_in_time(
    lemonfox: Lemonfox, sound: Path, reply: Answers
) -> None:
    lemonfox.replies = [reply]
    begun = time.monotonic()
    said = refusal(lemonfox, sound, timeout_s=1.0)
    assert 1.0 <= time.monotonic() - begun < 10.0
    assert "LEMONFOX_TIMEOUT_SEC=1" in said and len(lemonfox.requests) == 1


def test_it_is_told_that_an_answer_is_waited_for(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Silent(seconds=2.5)]
    told: list[tuple[int, float]] = []
    request = Request(lemonfox.address, KEY, 20.0, FIELDS)
    transcribe(request, sound, "audio/flac", lambda sent, passed: told.append((sent, passed)))
    assert told[-1][0] == sound.stat().st_size and told[-1][1] >= 1.9
    assert len(told) >= 3


def test_an_answer_of_half_a_gigabyte_is_not_kept(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Endless(size=1 << 20, blocks=500)]
    assert "larger than 64 MiB" in refusal(lemonfox, sound)
    assert lemonfox.sent < LARGEST_ANSWER + (32 << 20)


def test_what_is_asked_can_be_shown() -> None:
    assert KEY not in repr(Request("https://speech.lan/v1", KEY, 20.0, FIELDS))


def test_a_key_in_an_answer_is_taken_out(lemonfox: Lemonfox, sound: Path) -> None:
    lemonfox.replies = [Reply(body=f'{{"text": "{KEY}"}}'.encode())]
    assert ask(lemonfox, sound)[0] == b'{"text": "***"}'


@pytest.mark.parametrize("key", ["", "two words", "line\r\nX-Evil: 1", "clé"])
def test_what_cannot_be_a_key_is_not_sent(lemonfox: Lemonfox, sound: Path, key: str) -> None:
    assert "LEMONFOX_API_KEY" in refusal(lemonfox, sound, key=key)
    assert not lemonfox.requests
