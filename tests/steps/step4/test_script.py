"""STEP4 as a person runs it: which engine answers, what is said of the others, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.steps.step4.conftest import KEY, REPOSITORY, Lemonfox, Reply, Workplace

TONE = ("-f", "lavfi", "-i", "sine=duration=2")
ANSWER = {
    "language": "french", "text": "Bonjour Paul", "duration": 2.0, "words": [],
    "segments": [
        {"id": 0, "start": 0.0, "end": 0.8, "text": "Bonjour", "speaker": "SPEAKER_B"},
        {"id": 1, "start": 1.2, "end": 2.0, "text": "Paul", "speaker": "SPEAKER_A"},
    ],
}  # fmt: skip


def valid(told: object) -> None:
    jsonschema.validate(told, json.loads((REPOSITORY / "docs" / "schemas" / "audio_raw.json").read_text()))


def test_lemonfox_answers_when_there_is_a_key(workplace: Workplace, lemonfox: Lemonfox) -> None:
    lemonfox.replies = [Reply(body=json.dumps(ANSWER).encode())]
    workplace.add("clip", 50, *TONE)
    ended = workplace.run(LEMONFOX_API_KEY=KEY, LEMONFOX_BASE_URL=lemonfox.address)
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    valid(told)
    assert (told["engine"], told["language"], told["text"]) == ("lemonfox", "french", "Bonjour Paul")
    assert [turn["speaker"] for turn in told["turns"]] == ["SPEAKER_00", "SPEAKER_01"]
    assert told["speakers"] == [{"label": "SPEAKER_00", "total_ms": 800}, {"label": "SPEAKER_01", "total_ms": 800}]
    labels = [tuple(entry["active_speaker_labels"]) for entry in told["frames_analysis"]]
    assert labels == [("SPEAKER_00",)] * 20 + [()] * 10 + [("SPEAKER_01",)] * 20
    assert list(told)[-1] == "frames_analysis"
    again = workplace.run(LEMONFOX_API_KEY=KEY, LEMONFOX_BASE_URL=lemonfox.address)
    assert "1 up to date" in again.stderr and len(lemonfox.requests) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(401, b"no"), "HTTP 401"),
        (Reply(body=b'{"text": "x"}'), "neither segments nor words"),
        (Reply(body=b"{"), "no JSON"),
    ],
)
def test_pyannote_answers_when_lemonfox_fails_and_the_reason_is_kept(
    workplace: Workplace, lemonfox: Lemonfox, reply: Reply, reason: str
) -> None:
    lemonfox.replies = [reply]
    workplace.add("clip", 50, *TONE)
    ended = workplace.run(LEMONFOX_API_KEY=KEY, LEMONFOX_BASE_URL=lemonfox.address)
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    valid(told)
    assert told["engine"] == "pyannote"
    assert [(link["engine"], link["outcome"]) for link in told["fallback_chain"]] == [
        ("lemonfox", "failed"),
        ("pyannote", "used"),
    ]
    assert reason in told["fallback_chain"][0]["reason"] and reason in ended.stderr
    assert KEY not in ended.stderr + ended.stdout + workplace.written()


def test_a_sound_above_the_upload_limit_is_not_sent(workplace: Workplace, lemonfox: Lemonfox) -> None:
    workplace.add("clip", 50, *TONE)
    ended = workplace.run(LEMONFOX_API_KEY=KEY, LEMONFOX_BASE_URL=lemonfox.address, LEMONFOX_MAX_UPLOAD_MB="0.001")
    assert ended.returncode == 0, ended.stderr
    assert "LEMONFOX_MAX_UPLOAD_MB" in workplace.told("clip")["fallback_chain"][0]["reason"]
    assert not lemonfox.requests


def test_offline_speech_silence_and_no_track_are_three_results(workplace: Workplace, sample: tuple[Path, Path]) -> None:
    workplace.add("speech", 750, "-i", str(sample[0]))
    workplace.add("silence", 50, "-f", "lavfi", "-i", "anullsrc=duration=2")
    workplace.add("mute", 25)
    workplace.add("blink", 1, "-f", "lavfi", "-i", "sine=duration=0.04")
    ended = workplace.run(LEMONFOX_API_KEY=KEY, STEP4_USE_LEMONFOX="off")
    assert ended.returncode == 0, ended.stderr
    told = {stem: workplace.told(stem) for stem in ("speech", "silence", "mute", "blink")}
    for document in told.values():
        valid(document)
        assert [entry["frame"] for entry in document["frames_analysis"]] == list(range(1, document["total_frames"] + 1))
    assert [speaker["label"] for speaker in told["speech"]["speakers"]] == ["SPEAKER_00", "SPEAKER_01"]
    assert told["speech"]["fallback_chain"][0] == {
        "engine": "lemonfox", "outcome": "skipped", "reason": "STEP4_USE_LEMONFOX is off",
    }  # fmt: skip
    assert (told["silence"]["audio"], told["silence"]["turns"]) == ("present", [])
    assert (told["mute"]["audio"], told["mute"]["engine"]) == ("none", None)


def test_a_damaged_model_is_exit_code_3_with_the_command_that_mends_it(workplace: Workplace, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for path in Path(workplace.variables["MODELS_DIR"]).iterdir():
        (models / path.name).write_bytes(path.read_bytes()) if path.is_file() else None
    damaged = models / "campplus_cn_en_common.pt"
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    workplace.add("clip", 50, *TONE)
    ended = workplace.run(MODELS_DIR=str(models))
    assert ended.returncode == 3
    assert "derush models fetch campplus" in ended.stderr
    assert not list(workplace.docs.glob("*_audio_raw.json"))
