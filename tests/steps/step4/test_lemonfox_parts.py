"""Sound that is too large for one upload: where it is cut, what is sent, and that the answers make one again.

The words here are tones, each of a height of its own, and the service of these tests tells them by ear: a word that is
cut, lost, said twice or moved is heard as such.
"""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from config.settings import read_settings
from tests.steps.step4.lemonfox_server import FFMPEG, KEY, RATE, Lemonfox, Reply, Service, Upload, Waveform
from workflow_scripts.step4 import lemonfox_link, voices
from workflow_scripts.step4.chain import LinkFailed
from workflow_scripts.step4.joining import joined, matched
from workflow_scripts.step4.paid import Paid
from workflow_scripts.step4.records import Passage, Speech, Turn
from workflow_scripts.step4.sound import Sound
from workflow_scripts.step4.splitting import SHORTEST_PART, cuts, levels
from workflow_scripts.step4.upload import prepare
from workflow_scripts.stepkit import PrerequisiteMissing
from workflow_scripts.stepkit.projects import Project, Video

LOWEST_HZ, APART_HZ, HEIGHTS = 300, 25, 100
WORD_S, GAP_S, PAUSE_S = 0.25, 0.08, 0.6
Word = tuple[int, float]
"""Which tone, and from which second on."""


def spoken(seconds: float, seed: int) -> tuple[Waveform, list[Word]]:
    """Sentences of 5 to 30 tones in noise, with pauses between them, and when each tone is to be heard."""
    chance = np.random.default_rng(seed)
    sound = chance.normal(0, 0.0005, round(seconds * RATE)).astype(np.float32)
    words: list[Word] = []
    at = 0.3
    while at + 31 * (WORD_S + GAP_S) < seconds:
        for _ in range(chance.integers(5, 30)):
            start, count = round(at * RATE), round(WORD_S * RATE)
            times = np.arange(count) / RATE
            tone = np.sin(2 * np.pi * (LOWEST_HZ + APART_HZ * (len(words) % HEIGHTS)) * times)
            sound[start : start + count] += (0.3 * tone).astype(np.float32)
            words.append((len(words) % HEIGHTS, at))
            at += WORD_S + GAP_S
        at += PAUSE_S
    return sound, words


def by_ear(upload: Upload) -> dict[str, Any]:
    """What is heard in an upload: a segment of one word for each tone, who says it by whether it is high or low."""
    hop = RATE // 200
    loud = np.abs(upload.waveform[: len(upload.waveform) // hop * hop]).reshape(-1, hop).max(axis=1) > 0.1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int))) * hop
    # A gap of less than 50 ms is the codec's: it was made for voices, and stumbles over a tone.
    kept = np.concatenate([[True], np.repeat(edges[2::2] - edges[1:-1:2] > RATE // 20, 2), [True]])
    segments = []
    for first, last in edges[kept].reshape(-1, 2):
        spectrum = np.abs(np.fft.rfft(upload.waveform[first:last], RATE))
        height = round((int(spectrum.argmax()) - LOWEST_HZ) / APART_HZ)
        word = {
            "word": str(height),
            "start": float(first / RATE),
            "end": float(last / RATE),
            "speaker": f"S{height // 50}",
        }
        segments.append({**word, "text": str(height), "words": [word]})
    return {"segments": segments}


def written(path: Path, waveform: Waveform) -> Sound:
    command = [FFMPEG, "-v", "error", "-y", "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0", str(path)]
    subprocess.run(command, input=waveform.tobytes(), check=True)
    return Sound(path, len(waveform))


class Bystander:
    """Stands for the task: keeps what it is told."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.metrics = scratch, dict[str, Any]()
        self.video = Video(Project(scratch / "P"), "talk")
        self.warnings: list[str] = []
        self.messages: list[str] = []

    def warning(self, code: str, message: str) -> None:
        self.warnings.append(f"{code}: {message}")

    def progress(self, done: float, total: float, unit: str, message: str) -> None:
        assert 0 <= done <= total and unit == "seconds"
        self.messages.append(message)


def ask(server: Lemonfox, folder: Path, sound: Sound, embed: Any, **variables: str) -> tuple[Speech, Bystander]:
    task = Bystander(folder)
    values = {"LEMONFOX_API_KEY": KEY, "LEMONFOX_BASE_URL": server.address, "FFMPEG_BINARY": FFMPEG, **variables}
    step = SimpleNamespace(settings=read_settings(values))
    return lemonfox_link.ask(step, task, sound, embed), task  # type: ignore[arg-type]


def no_model(_waveform: Waveform) -> Waveform:
    raise PrerequisiteMissing("model_missing", "There is no campplus.", "Run `derush models fetch campplus`.")


def test_every_word_of_a_sound_in_parts_is_heard_once_and_at_its_time(lemonfox: Lemonfox, tmp_path: Path) -> None:
    waveform, words = spoken(190, seed=4)
    sound = written(tmp_path / "sound.flac", waveform)
    service = Service(by_ear)
    lemonfox.replies = [service]
    speech, task = ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.12", LEMONFOX_MIN_SPEAKERS="2")
    assert task.metrics["uploads"] == len(service.uploads) >= 5
    assert [it.text for it in speech.words] == [str(height) for height, _ in words]
    assert speech.text == " ".join(str(height) for height, _ in words)
    for heard, (_, start) in zip(speech.words, words, strict=True):
        assert abs(heard.start_ms - start * 1000) <= 15 and abs(heard.end_ms - (start + WORD_S) * 1000) <= 15
    for upload, (_, body) in zip(service.uploads, lemonfox.requests, strict=True):
        assert (upload.filename[-4:], upload.media_type) == (".ogg", "audio/ogg")
        assert b"OpusHead" in body and len(body) < 0.12e6 + 2000
        assert "min_speakers" not in upload.fields
    assert sum(len(upload.waveform) for upload in service.uploads) == pytest.approx(sound.samples, abs=10)
    assert any("sending" in message or "waiting" in message for message in task.messages)


def test_without_the_model_speakers_of_each_part_are_kept_apart_and_a_warning_says_so(
    lemonfox: Lemonfox, tmp_path: Path
) -> None:
    sound = written(tmp_path / "sound.flac", spoken(80, seed=5)[0])
    lemonfox.replies = [Service(by_ear)]
    speech, task = ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.2")
    assert task.metrics["uploads"] == 2
    assert {turn.speaker for turn in speech.turns} == {"SPEAKER_00", "SPEAKER_01", "SPEAKER_02", "SPEAKER_03"}
    (warning,) = task.warnings
    assert "speakers_not_matched" in warning and "derush models fetch campplus" in warning


def test_speakers_are_found_again_in_the_other_parts_by_their_voices(lemonfox: Lemonfox, tmp_path: Path) -> None:
    sound = written(tmp_path / "sound.flac", spoken(190, seed=6)[0])

    def hear(upload: Upload) -> dict[str, Any]:
        """As services do: labels say nothing beyond a part."""
        told, turned = by_ear(upload), len(service.uploads) % 2
        for segment in told["segments"]:
            for it in (segment, *segment["words"]):
                it["speaker"] = f"SPEAKER_{(int(it['speaker'][1]) + turned) % 2:02d}"
        return told

    def embed(waveform: Waveform) -> Waveform:
        """How high and how low a voice is."""
        loud = np.abs(np.fft.rfft(waveform))
        edge = round((LOWEST_HZ + 49.5 * APART_HZ) / RATE * len(waveform))
        vector = np.array([loud[:edge].sum(), loud[edge:].sum()], dtype=np.float32)
        return vector / np.linalg.norm(vector)

    service = Service(hear)
    lemonfox.replies = [service]
    speech, task = ask(lemonfox, tmp_path, sound, embed, LEMONFOX_MAX_UPLOAD_MB="0.16")
    assert task.metrics["uploads"] >= 4 and not task.warnings
    names = {(int(word.text) // 50, word.speaker) for word in speech.words}
    assert len(names) == 2 and len({name for _, name in names}) == 2


def test_what_fits_is_sent_once_with_all_that_is_asked(lemonfox: Lemonfox, tmp_path: Path) -> None:
    waveform, words = spoken(60, seed=7)
    service = Service(by_ear)
    lemonfox.replies = [service]
    sound = written(tmp_path / "sound.flac", waveform)
    speech, _ = ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MIN_SPEAKERS="2", LEMONFOX_MAX_SPEAKERS="3")
    assert len(speech.words) == len(words)
    (upload,) = service.uploads
    assert upload.fields["min_speakers"] == ["2"] and upload.fields["max_speakers"] == ["3"]


def test_a_part_that_fails_fails_the_whole(lemonfox: Lemonfox, tmp_path: Path) -> None:
    sound = written(tmp_path / "sound.flac", spoken(80, seed=8)[0])
    lemonfox.replies = [Service(by_ear), Reply(400, b"no")]
    with pytest.raises(LinkFailed, match="HTTP 400"):
        ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.2")
    lemonfox.replies = [Reply(body=b"<html>")]
    with pytest.raises(LinkFailed, match="cannot be used: the answer is no JSON"):
        ask(lemonfox, tmp_path, sound, no_model)


def test_answers_that_were_paid_for_are_not_asked_for_again(lemonfox: Lemonfox, tmp_path: Path) -> None:
    sound = written(tmp_path / "sound.flac", spoken(120, seed=8)[0])
    service = Service(by_ear)
    lemonfox.replies = [service, service, Reply(400, b"no")]
    with pytest.raises(LinkFailed, match="HTTP 400"):
        ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.16")
    assert len(service.uploads) == 2
    kept = Paid(tmp_path / "P" / ".derush" / "lemonfox" / "talk")
    assert len(list(kept.folder.iterdir())) == 2
    next(kept.folder.iterdir()).write_bytes(b"{")  # spoilt since: that one is asked for again
    lemonfox.replies = [service]
    speech, task = ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.16")
    assert task.metrics["uploads"] == 3 and len(service.uploads) == 4 and speech.words
    ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.16")
    assert len(service.uploads) == 4
    ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.16", LEMONFOX_DEFAULT_PROMPT="Camille")
    assert len(service.uploads) == 7, "another question is another answer"
    kept.forget()
    assert not kept.folder.exists()


def test_a_limit_that_holds_next_to_nothing_is_said_to(lemonfox: Lemonfox, tmp_path: Path) -> None:
    sound = written(tmp_path / "sound.flac", spoken(40, seed=9)[0])
    with pytest.raises(LinkFailed, match=r"LEMONFOX_MAX_UPLOAD_MB=0\.05: raise it"):
        ask(lemonfox, tmp_path, sound, no_model, LEMONFOX_MAX_UPLOAD_MB="0.05")


@pytest.mark.parametrize("samples", [0, 1, 1599])
def test_a_sound_of_next_to_no_samples_is_not_sent(lemonfox: Lemonfox, tmp_path: Path, samples: int) -> None:
    speech, _ = ask(lemonfox, tmp_path, Sound(tmp_path / "none.flac", samples), no_model)
    assert speech == Speech() and not lemonfox.requests


@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
def test_parts_keep_to_the_limit_and_are_no_sample_too_long_or_short(tmp_path: Path, kind: str) -> None:
    count = 100 * RATE + 777
    waveforms = {
        "noise": np.random.default_rng(1).normal(0, 0.3, count),
        "tone": np.sin(np.arange(count) * 0.3),
        "silence": np.zeros(count),
    }
    sound = written(tmp_path / "sound.flac", waveforms[kind].clip(-1, 1).astype(np.float32))
    parts = prepare(Path(FFMPEG), sound, tmp_path, 0.13)
    assert parts[0].start_ms == 0 and parts[-1].start_ms * 16 + parts[-1].samples == sound.samples
    assert all(one.start_ms * 16 + one.samples == two.start_ms * 16 for one, two in pairwise(parts))
    assert all(part.path.stat().st_size <= 0.13e6 for part in parts)


def test_the_bitrate_is_the_best_that_fits(tmp_path: Path) -> None:
    sound = written(tmp_path / "sound.flac", spoken(60, seed=3)[0])
    sizes = []
    for limit in (100, 0.3, 0.2):
        (part,) = prepare(Path(FFMPEG), sound, tmp_path, limit)
        sizes.append(part.path.stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_cut_is_in_the_longest_pause_near_even_parts_never_in_a_word_and_else_in_a_gap() -> None:
    def cut_of(**quiet: tuple[int, int, float]) -> int:
        heard = np.full(8000, -20.0, dtype=np.float32)
        for first, end, level in quiet.values():
            heard[first:end] = level
        (cut,) = cuts(heard, 5000)
        return cut

    breath, pause, closed_mouth = (4400, 4520, -57.0), (3700, 3720, -60.0), (4000, 4015, -90.0)
    assert 4450 <= cut_of(breath=breath, pause=pause, closed_mouth=closed_mouth) <= 4470
    assert cut_of(pause=pause, closed_mouth=closed_mouth) == 3710
    assert 4000 < cut_of(closed_mouth=closed_mouth) < 4015
    assert cut_of(far=(1000, 2000, -90.0)) == 4000
    assert cut_of(silence=(0, 8000, -90.0)) == 4000


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_never_longer_than_they_may_be_and_seldom_short(seed: int) -> None:
    chance = np.random.default_rng(seed)
    heard = chance.normal(-30, 10, int(chance.integers(1, 400_000))).astype(np.float32)
    for longest in (SHORTEST_PART, 7777, 50_000, 399_999):
        lengths = np.diff([0, *cuts(heard, longest), len(heard)])
        assert lengths.max() <= longest and lengths.sum() == len(heard)
        assert len(lengths) == 1 or lengths.min() >= longest / 4


def test_levels_do_not_depend_on_how_the_samples_come() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_123).astype("<f4")
    whole = levels([samples])
    assert len(whole) == 100 and whole.mean() == pytest.approx(-20, abs=0.5)
    assert np.array_equal(whole, levels([samples[:7], samples[7:9001], samples[:0], samples[9001:]]))
    assert len(levels([])) == 0


def test_answers_are_joined_with_the_language_of_most_of_the_text() -> None:
    first = Speech((Turn(0, 5, "A"), Turn(6, 7, None)), (Passage(0, 5, "Oui", "A"),), (), "french", "Oui")
    second = Speech((Turn(1, 2, "A"),), (), (Passage(1, 2, "Yes", "B"),), "english", " Yes indeed ")
    names = {(0, "A"): "X", (1, "A"): "Y", (1, "B"): "X"}
    assert joined([(0, first), (1000, second), (2000, Speech())], names) == Speech(
        (Turn(0, 5, "X"), Turn(6, 7, None), Turn(1001, 1002, "Y")), (Passage(0, 5, "Oui", "X"),),
        (Passage(1001, 1002, "Yes", "X"),), "english", "Oui Yes indeed",
    )  # fmt: skip


def at(degrees: float) -> Waveform:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], dtype=np.float32)


def test_voices_that_are_alike_are_one_but_never_two_of_one_part() -> None:
    prints = {(0, "A"): at(0), (0, "B"): at(40), (1, "A"): at(35), (1, "B"): at(5), (2, "A"): at(110), (2, "B"): None}
    names = matched(prints, None)
    assert names[0, "A"] == names[1, "B"] and names[0, "B"] == names[1, "A"]
    assert len(set(names.values())) == 4
    assert matched({(0, "A"): at(0), (0, "B"): at(0)}, 1) == {(0, "A"): "SPEAKER_00", (0, "B"): "SPEAKER_01"}


def test_there_are_no_more_speakers_than_a_person_says() -> None:
    prints = {(0, "A"): at(0), (1, "A"): at(80), (2, "A"): at(170)}
    assert len(set(matched(prints, None).values())) == 3
    names = matched(prints, 2)
    assert names[0, "A"] == names[1, "A"] != names[2, "A"]


def test_a_voice_is_taken_from_its_longest_stretches_up_to_half_a_minute() -> None:
    turns = (
        Turn(0, 400, "A"), Turn(600, 1000, "A"),  # one stretch: the pause between is short
        Turn(2000, 3000, "A"), Turn(5000, 5100, "B"), Turn(10_000, 60_000, "C"), Turn(0, 9000, None),
    )  # fmt: skip
    assert voices.spans([(100_000, Speech(turns)), (200_000, Speech())]) == {
        (0, "A"): [(100_000, 101_000), (102_000, 103_000)],
        (0, "C"): [(110_000, 140_000)],
    }


def test_stretches_are_read_out_of_a_stream_in_one_pass() -> None:
    samples = np.arange(RATE * 3, dtype="<f4")
    blocks = [samples[start : start + 1000] for start in range(0, len(samples), 1000)]
    wanted = {(0, "A"): [(2000, 2500), (10, 20)], (1, "A"): [(0, 3000)]}
    found = voices.heard(blocks, wanted)
    assert np.array_equal(found[0, "A"], np.concatenate([samples[160:320], samples[32_000:40_000]]))
    assert np.array_equal(found[1, "A"], samples)
