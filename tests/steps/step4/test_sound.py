"""Sound as it comes: odd streams brought into one form, cut into spans in little memory, heard by the last link."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.steps.step4.lemonfox_server import FFMPEG
from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import RATE, Sound, cut, extract_sound


def made(target: Path, *arguments: str) -> Sound:
    """Make a file with ffmpeg, and return its sound as STEP4 hears it."""
    subprocess.run([FFMPEG, "-v", "error", "-y", *arguments, str(target)], check=True)
    return extract_sound(Path(FFMPEG), target, target.with_suffix(".flac"))


@pytest.mark.parametrize(
    ("name", "arguments", "seconds"),
    [
        ("many.wav", ("-f", "lavfi", "-i", "anullsrc=channel_layout=7.1:sample_rate=48000:duration=2"), 2),
        ("fast.wav", ("-f", "lavfi", "-i", "sine=duration=2:sample_rate=192000"), 2),
        ("empty.wav", ("-f", "lavfi", "-i", "sine=duration=1", "-af", "atrim=end_sample=0"), 0),
    ],
)
def test_odd_streams_become_one_form(tmp_path: Path, name: str, arguments: tuple[str, ...], seconds: float) -> None:
    sound = made(tmp_path / name, *arguments)
    assert sound.samples == pytest.approx(seconds * RATE, abs=64)
    assert len(sound.waveform(Path(FFMPEG))) == sound.samples


def test_drifting_timestamps_are_followed(tmp_path: Path) -> None:
    """Two beeps at 1 s and 9 s of a clock that gains 2 %: they stand where it says, to the tenth that ffmpeg allows."""
    beeps = "aevalsrc='0.5*sin(2*PI*880*t)*(between(t,1,1.2)+between(t,9,9.2))':s=48000:d=10,asetpts=PTS*1.02"
    sound = made(tmp_path / "drift.mkv", "-f", "lavfi", "-i", beeps, "-c:a", "pcm_s16le")
    loud = np.flatnonzero(abs(sound.waveform(Path(FFMPEG))) > 0.05) / RATE
    assert loud[0] == pytest.approx(1.02, abs=0.12)
    assert loud[loud > 5][0] == pytest.approx(9.18, abs=0.12)


@pytest.mark.parametrize("seed", range(20))
def test_spans_are_cut_exactly_wherever_blocks_end(seed: int) -> None:
    chance, sound = random.Random(seed), np.arange(1000, dtype=np.float32)
    blocks, at = [], 0
    while at < len(sound):
        length = chance.randint(1, 200)
        blocks.append(sound[at : at + length])
        at += length
    spans = sorted((start, start + chance.randint(0, 300)) for start in (chance.randint(0, 1100) for _ in range(12)))
    for (start, end), piece in zip(spans, cut(blocks, spans), strict=True):
        expected = sound[start:end]
        assert np.array_equal(piece, np.pad(expected, (0, end - start - len(expected))))


def test_voice_activity_is_heard_where_somebody_speaks(sample: tuple[Path, Path], tmp_path: Path) -> None:
    from tests.steps.step4.conftest import reference_turns
    from workflow_scripts.step4.activity import speech_turns

    sound = extract_sound(Path(FFMPEG), sample[0], tmp_path / "sound.flac")
    turns = speech_turns(sound.blocks(Path(FFMPEG)), sound.samples, lambda _: None)
    middles = np.arange(0, 30, 0.04) + 0.02
    said = [any(turn.start_ms <= 1000 * at < turn.end_ms for turn in turns) for at in middles]
    truth = [any(start <= at < end for start, end, _ in reference_turns(sample[1])) for at in middles]
    assert np.mean(np.array(said) == np.array(truth)) >= 0.9
    assert all(turn.speaker is None for turn in turns)


def test_stretches_cover_speech_and_are_short_enough() -> None:
    from workflow_scripts.step4.transcription import MARGIN_MS, STRETCH_MS, stretches

    turns = [Turn(1000, 2000, "A"), Turn(1500, 4000, "B"), Turn(60_000, 61_000, "A"), Turn(62_000, 900_000, None)]
    found = stretches(turns, 900_000)
    assert found[0] == (1000 - MARGIN_MS, 4000 + MARGIN_MS)
    assert all(end - start <= STRETCH_MS for start, end in found)
    assert all(any(a <= at < b for a, b in found) for turn in turns for at in range(turn.start_ms, turn.end_ms, 97))
