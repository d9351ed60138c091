"""The offline engine on a real conversation, against the reference that comes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.catalog import models
from config.settings import load_settings
from tests.steps.step4.conftest import FFMPEG, reference_turns
from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import extract_sound


@pytest.fixture(scope="module")
def turns(sample: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    from workflow_scripts.step4.diarization import Diarizer

    folder = load_settings().models_dir
    files = [folder / models()[name].file for name in ("pyannote-segmentation-3.0", "campplus")]
    sound = extract_sound(Path(FFMPEG), sample[0], tmp_path_factory.mktemp("sound") / "sound.flac")
    shares: list[float] = []
    found = Diarizer(*files, "cpu")(sound.waveform(Path(FFMPEG)), shares.append)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    return found


def test_two_people_are_told_apart_with_a_bounded_error(turns: list[Turn], sample: tuple[Path, Path]) -> None:
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    reference, hypothesis = Annotation(), Annotation()
    for number, (start, end, who) in enumerate(reference_turns(sample[1])):
        reference[Segment(start, end), number] = who
    for number, turn in enumerate(turns):
        hypothesis[Segment(turn.start_ms / 1000, turn.end_ms / 1000), number] = turn.speaker
    assert len({turn.speaker for turn in turns}) == 2
    error = DiarizationErrorRate()(reference, hypothesis, uem=Timeline([Segment(0, 30)]))
    assert error <= 0.15, f"strict diarization error rate (no collar, overlap counted): {error:.3f}"


def test_no_turn_reaches_beyond_the_sound(turns: list[Turn]) -> None:
    assert all(0 <= turn.start_ms < turn.end_ms <= 30_000 for turn in turns)
