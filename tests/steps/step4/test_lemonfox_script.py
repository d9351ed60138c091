"""STEP4 with Lemonfox as a person runs it: what shows of the key, of the waiting and of a step that is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.steps.step4.conftest import SCRIPT, Workplace
from tests.steps.step4.lemonfox_server import KEY, RATE, SAID, Lemonfox, Reply, Service, Silent, Upload

TONE = ("-f", "lavfi", "-i", "sine=duration=2")


def settings(server: Lemonfox, **more: str) -> dict[str, str]:
    return {"LEMONFOX_API_KEY": KEY, "LEMONFOX_BASE_URL": server.address, **more}


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def everything_in(folder: Path) -> bytes:
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def test_the_key_is_nowhere_whatever_the_server_says(workplace: Workplace, lemonfox: Lemonfox, tmp_path: Path) -> None:
    echo = Reply(429, f"{KEY} is too fast".encode(), {"Retry-After": "0", "X-Key": KEY})
    lemonfox.replies = [echo, Service(lambda _upload: {"segments": [SAID]}), Reply(403, f"Bearer {KEY}".encode())]
    workplace.add("clip", 50, *TONE)
    ended = workplace.run("--events", str(tmp_path / "events.jsonl"), **settings(lemonfox))
    assert ended.returncode == 0, ended.stderr
    assert workplace.told("clip")["text"] == "The key is ***"
    address = lemonfox.address.replace("//", "//me:a-password@")
    again = workplace.run("--force", **settings(lemonfox, LEMONFOX_BASE_URL=address))
    assert "HTTP 429" in ended.stderr and "HTTP 403" in again.stderr
    assert [KEY in headers["Authorization"] for headers, _ in lemonfox.requests] == [True, True, False]
    for kept in (ended.stdout + ended.stderr + again.stdout + again.stderr).encode(), everything_in(tmp_path):
        assert KEY.encode() not in kept and b"a-password" not in kept


def test_while_an_answer_is_waited_for_the_run_is_told(
    workplace: Workplace, lemonfox: Lemonfox, tmp_path: Path
) -> None:
    lemonfox.replies = [Silent(seconds=3.0)]
    workplace.add("clip", 50, *TONE)
    workplace.run("--events", str(tmp_path / "events.jsonl"), **settings(lemonfox))
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    told = [event["message"] for event in events if event["event"] == "progress" and "Lemonfox" in event["message"]]
    assert len([message for message in told if "part 1 of 1: waiting" in message]) >= 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_step_that_waits_for_an_answer_can_be_stopped(
    workplace: Workplace, lemonfox: Lemonfox, how: signal.Signals
) -> None:
    lemonfox.replies = [Silent()]
    workplace.add("clip", 50, *TONE)
    command = [sys.executable, str(SCRIPT), "--log_dir", str(workplace.root / "logs")]
    environment = {**workplace.variables, **settings(lemonfox)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: bool(lemonfox.requests))
            assert KEY.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            process.send_signal(how)
            assert process.wait(timeout=20) == 130
        finally:
            process.kill()
    left = [path.name for path in workplace.root.rglob("*")]
    assert not [name for name in left if name.endswith((".ogg", ".flac", "_audio_raw.json"))]


def conversation(sample: Path, target: Path) -> list[tuple[float, float, str]]:
    """Write a minute and a half of two real voices that take turns, with pauses; return who speaks when."""
    with wave.open(str(sample)) as source:
        sound = np.frombuffer(source.readframes(source.getnframes()), dtype="<i2")
    stretches = [(11.1, 14.4, "A"), (14.8, 17.9, "B"), (18.7, 21.4, "A"), (21.9, 27.7, "B")]
    pause, pieces, turns, at = np.zeros(round(0.7 * RATE), dtype="<i2"), [], [], 0.0
    for start, end, speaker in stretches * 5:
        pieces += [sound[round(start * RATE) : round(end * RATE)], pause]
        turns.append((at, at + end - start, speaker))
        at += end - start + 0.7
    with wave.open(str(target), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(np.concatenate(pieces).tobytes())
    return turns


def test_the_same_person_has_the_same_label_in_all_parts(
    workplace: Workplace, lemonfox: Lemonfox, sample: tuple[Path, Path], tmp_path: Path
) -> None:
    turns = conversation(sample[0], tmp_path / "talk.wav")
    workplace.add("talk", 2250, "-i", str(tmp_path / "talk.wav"))

    def hear(upload: Upload) -> dict[str, Any]:
        """Know who speaks, and name the speakers of every part in another order, as services do."""
        number = len(service.uploads) - 1
        begins = sum(before.seconds for before in service.uploads[:-1])
        names = dict(zip("AB" if number % 2 == 0 else "BA", ("SPEAKER_00", "SPEAKER_01"), strict=True))
        heard = [
            {"start": start - begins, "end": end - begins, "text": speaker, "speaker": names[speaker]}
            for start, end, speaker in turns
            if begins <= start and end <= begins + upload.seconds
        ]
        return {"segments": heard}

    service = Service(hear)
    lemonfox.replies = [service]
    ended = workplace.run(**settings(lemonfox, LEMONFOX_MAX_UPLOAD_MB="0.18"))
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("talk")
    assert len(service.uploads) == 2
    assert [(it["text"], it["speaker"]) for it in told["segments"]] == [
        (speaker, {"A": "SPEAKER_00", "B": "SPEAKER_01"}[speaker]) for _, _, speaker in turns
    ]
    for it, (start, end, _) in zip(told["segments"], turns, strict=True):
        assert abs(it["start_ms"] - start * 1000) <= 2 and abs(it["end_ms"] - end * 1000) <= 2
