"""STEP4 as a person runs it: which engine answers, what is said of the others, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import missing
from tests.steps.step4.conftest import REPOSITORY, Workplace
from tests.steps.step4.lemonfox_server import KEY, Lemonfox, Reply

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
    assert [(it["label"], it["total_ms"]) for it in told["speakers"]] == [("SPEAKER_00", 800), ("SPEAKER_01", 800)]
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
    assert [(link["engine"], link["outcome"]) for link in told["fallback_chain"][:2]] == [
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
        "engine": "lemonfox", "outcome": "skipped", "reason": "STEP4_USE_LEMONFOX is off", "gave": [],
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


def test_a_fallback_is_done_again_when_the_service_is_back(workplace: Workplace, lemonfox: Lemonfox) -> None:
    lemonfox.replies = [Reply(401, b"no")]
    workplace.add("clip", 50, *TONE)
    asked = {"LEMONFOX_API_KEY": KEY, "LEMONFOX_BASE_URL": lemonfox.address}
    workplace.run(**asked)
    assert workplace.told("clip")["made_under"] is None
    lemonfox.replies = [Reply(body=json.dumps(ANSWER).encode())]
    assert "1 done" in workplace.run(**asked).stderr
    assert workplace.told("clip")["engine"] == "lemonfox" and workplace.told("clip")["made_under"]
    assert "1 up to date" in workplace.run(**asked).stderr


def test_a_name_that_a_person_gave_is_written_without_asking_again(workplace: Workplace, lemonfox: Lemonfox) -> None:
    lemonfox.replies = [Reply(body=json.dumps(ANSWER).encode())]
    workplace.add("clip", 50, *TONE)
    asked = {"LEMONFOX_API_KEY": KEY, "LEMONFOX_BASE_URL": lemonfox.address}
    workplace.run(**asked)
    known = workplace.docs.parent / "speakers.json"
    document = json.loads(known.read_text())
    jsonschema.validate(document, json.loads((REPOSITORY / "docs" / "schemas" / "speakers.json").read_text()))
    document["speakers"][0]["name"] = "Marie Curie"
    known.write_text(json.dumps(document))
    assert "1 done" in workplace.run(**asked).stderr
    assert len(lemonfox.requests) == 1
    assert "Marie Curie: Bonjour" in (workplace.docs / "clip_speech.srt").read_text()
    assert "<v Marie Curie>Bonjour" in (workplace.docs / "clip_speech.vtt").read_text()
    assert " Marie_Curie " in (workplace.docs / "clip_speech.rttm").read_text()
    assert "1 up to date" in workplace.run(**asked).stderr


def test_an_analysis_that_was_edited_or_of_another_sound_is_not_taken_for_known(
    workplace: Workplace, lemonfox: Lemonfox
) -> None:
    lemonfox.replies = [Reply(body=json.dumps(ANSWER).encode())]
    workplace.add("clip", 50, *TONE)
    asked = {"LEMONFOX_API_KEY": KEY, "LEMONFOX_BASE_URL": lemonfox.address}
    workplace.run(**asked)
    raw = workplace.docs / "clip_audio_raw.json"
    raw.write_text(raw.read_text().replace("Bonjour Paul", "Au revoir"))
    assert "1 done" in workplace.run(**asked).stderr
    assert workplace.told("clip")["text"] == "Bonjour Paul" and len(lemonfox.requests) == 2
    workplace.add("clip", 50, "-f", "lavfi", "-i", "sine=duration=2:frequency=700")
    assert "1 done" in workplace.run(**asked).stderr
    assert len(lemonfox.requests) == 3
    assert not list((workplace.docs.parent / ".derush" / "lemonfox").iterdir()), "what is done needs no answers kept"


def test_a_transcript_without_speakers_takes_those_heard_here(
    workplace: Workplace, lemonfox: Lemonfox, sample: tuple[Path, Path]
) -> None:
    words = [{"word": "I", "start": 7.0, "end": 7.3}, {"word": "you", "start": 22.0, "end": 23.0}]
    segments = [{"id": 0, "start": 7.0, "end": 23.0, "text": "I you"}]
    answer = {"language": "english", "text": "I you", "duration": 30.0, "segments": segments, "words": words}
    lemonfox.replies = [Reply(body=json.dumps(answer).encode())]
    workplace.add("clip", 750, "-i", str(sample[0]))
    asked = {"LEMONFOX_API_KEY": KEY, "LEMONFOX_BASE_URL": lemonfox.address}
    ended = workplace.run(**asked, LEMONFOX_SPEAKER_LABELS_DEFAULT="off")
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    valid(told)
    assert (told["engine"], told["transcript_engine"], told["text"]) == ("lemonfox", "lemonfox", "I you")
    assert [link["gave"] for link in told["fallback_chain"]] == [["turns", "transcript"], ["speakers"]]
    assert all(word["speaker"] for word in told["words"]) and len(told["speakers"]) == 2


def test_offline_what_is_said_is_told_too(workplace: Workplace, sample: tuple[Path, Path]) -> None:
    if not (Path(workplace.variables["MODELS_DIR"]) / "whisper-tiny.en" / "model.bin").is_file():
        missing("whisper-tiny.en")
    workplace.add("clip", 750, "-i", str(sample[0]))
    ended = workplace.run(STEP4_TRANSCRIBE="tiny.en")
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    valid(told)
    assert (told["engine"], told["transcript_engine"], told["language"]) == ("pyannote", "whisper", "en")
    assert "originally from Chicago" in told["text"] and "New Jersey" in told["text"]
    said = {word["speaker"] for word in told["words"]}
    assert said == {"SPEAKER_00", "SPEAKER_01"}
    assert "Chicago" in (workplace.docs / "clip_speech.srt").read_text()


def test_a_whisper_that_is_asked_for_and_not_there_is_exit_code_3(workplace: Workplace, tmp_path: Path) -> None:
    workplace.add("clip", 25, *TONE)
    ended = workplace.run(STEP4_TRANSCRIBE=str(tmp_path))
    assert ended.returncode == 3 and "STEP4_TRANSCRIBE" in ended.stderr


@pytest.mark.parametrize("own", [False, True], ids=["of the catalogue", "a person's own"])
def test_a_whisper_that_rotted_is_a_failed_link_and_the_speakers_stay(
    workplace: Workplace, sample: tuple[Path, Path], tmp_path: Path, own: bool
) -> None:
    whole = Path(workplace.variables["MODELS_DIR"])
    if not (whole / "whisper-tiny.en" / "model.bin").is_file():
        missing("whisper-tiny.en")
    folder = tmp_path / "models"
    folder.mkdir()
    for path in whole.iterdir():
        if path.name != "whisper-tiny.en":
            (folder / path.name).symlink_to(path)
    rotten = folder / "whisper-tiny.en"
    rotten.mkdir()
    for path in (whole / "whisper-tiny.en").iterdir():
        (rotten / path.name).write_bytes(path.read_bytes() if path.name != "model.bin" else b"x" * path.stat().st_size)
    workplace.add("clip", 750, "-i", str(sample[0]))
    ended = workplace.run(MODELS_DIR=str(folder), STEP4_TRANSCRIBE=str(rotten) if own else "tiny.en")
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    valid(told)
    assert [(link["engine"], link["outcome"]) for link in told["fallback_chain"][1:]] == [
        ("pyannote", "used"), ("whisper", "failed"),
    ]  # fmt: skip
    assert own or "derush models fetch whisper-tiny.en" in told["fallback_chain"][-1]["reason"]
    assert len(told["speakers"]) == 2 and told["text"] is None and told["made_under"] is None


def test_a_pipeline_whose_checkpoint_is_corrupt_is_a_failed_link(workplace: Workplace, tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "segmentation.bin").write_bytes(b"x" * 4096)
    (folder / "config.yaml").write_text(
        "pipeline:\n  name: pyannote.audio.pipelines.VoiceActivityDetection\n  params:\n"
        f"    segmentation: {folder}/segmentation.bin\nparams:\n  min_duration_on: 0.0\n  min_duration_off: 0.0\n"
    )
    workplace.add("clip", 50, *TONE)
    ended = workplace.run(PYANNOTE_PIPELINE=str(folder))
    assert ended.returncode == 0, ended.stderr
    attempts = workplace.told("clip")["fallback_chain"]
    assert [(link["engine"], link["outcome"]) for link in attempts[1:3]] == [
        ("pyannote-pipeline", "failed"), ("pyannote", "used"),
    ]  # fmt: skip


def test_a_hub_that_is_not_there_is_a_failed_link(workplace: Workplace) -> None:
    workplace.add("clip", 50, *TONE)
    ended = workplace.run(
        PYANNOTE_PIPELINE="pyannote/speaker-diarization-community-1", PYANNOTE_TOKEN=KEY, HF_HOME=str(workplace.root / "hf"),
        HF_ENDPOINT="http://127.0.0.1:9",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    valid(told)
    assert [(link["engine"], link["outcome"]) for link in told["fallback_chain"][:3]] == [
        ("lemonfox", "skipped"), ("pyannote-pipeline", "failed"), ("pyannote", "used"),
    ]  # fmt: skip
    assert KEY not in ended.stderr + ended.stdout + workplace.written()


def test_a_pipeline_in_a_folder_is_asked_first(workplace: Workplace, sample: tuple[Path, Path], tmp_path: Path) -> None:
    segmentation = Path(workplace.variables["MODELS_DIR"]) / "pyannote-segmentation-3.0.bin"
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "pipeline:\n  name: pyannote.audio.pipelines.VoiceActivityDetection\n  params:\n"
        f"    segmentation: {segmentation}\nparams:\n  min_duration_on: 0.0\n  min_duration_off: 0.0\n"
    )
    workplace.add("clip", 750, "-i", str(sample[0]))
    ended = workplace.run(PYANNOTE_PIPELINE=str(folder))
    assert ended.returncode == 0, ended.stderr
    told = workplace.told("clip")
    assert told["engine"] == "pyannote-pipeline" and [it["label"] for it in told["speakers"]] == ["SPEAKER_00"]


@pytest.mark.parametrize(
    "sound",
    [
        ("-f", "lavfi", "-i", "anullsrc=channel_layout=7.1:sample_rate=48000:duration=2"),
        ("-f", "lavfi", "-i", "sine=duration=2:sample_rate=96000", "-ar", "96000"),
    ],
    ids=["8 channels", "96 kHz"],
)
def test_odd_sound_is_analysed(workplace: Workplace, sound: tuple[str, ...]) -> None:
    workplace.add("clip", 50, *sound)
    ended = workplace.run()
    assert ended.returncode == 0, ended.stderr
    assert len(workplace.told("clip")["frames_analysis"]) == 50
