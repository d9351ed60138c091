"""The offline engine on a real conversation, against the reference that comes with it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from config.catalog import models
from config.settings import load_settings
from tests.steps.step4.conftest import FFMPEG, reference_turns
from workflow_scripts.step4.analysis import frame_runs, smoothed
from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import extract_sound

if TYPE_CHECKING:
    from workflow_scripts.step4.diarization import Diarizer


def diarizer() -> Diarizer:
    import torch

    from workflow_scripts.step4.diarization import Diarizer
    from workflow_scripts.step4.embedding import SpeakerEmbedder

    folder = load_settings().models_dir
    segmentation, embedding = (folder / models()[name].file for name in ("pyannote-segmentation-3.0", "campplus"))
    return Diarizer(segmentation, SpeakerEmbedder(embedding, torch.device("cpu")))


@pytest.fixture(scope="module")
def turns(sample: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    sound = extract_sound(Path(FFMPEG), sample[0], tmp_path_factory.mktemp("sound") / "sound.flac")
    shares: list[float] = []
    found = diarizer()(sound.blocks(Path(FFMPEG)), sound.samples, 8, shares.append)
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
    assert error <= 0.10, f"strict diarization error rate (no collar, overlap counted): {error:.3f}"


def test_speech_is_said_of_the_frames_in_which_somebody_speaks(turns: list[Turn], sample: tuple[Path, Path]) -> None:
    middles = [(frame + 0.5) / 25 for frame in range(750)]
    spoken = [any(start <= middle < end for start, end, _ in reference_turns(sample[1])) for middle in middles]
    said = [run.is_speech for run in frame_runs(smoothed(turns, 150, 0), 750) for _ in range(run.first, run.end)]
    assert sum(one == other for one, other in zip(spoken, said, strict=True)) / 750 >= 0.97


def test_no_turn_reaches_beyond_the_sound(turns: list[Turn]) -> None:
    assert all(0 <= turn.start_ms < turn.end_ms <= 30_000 for turn in turns)


def test_features_are_exact_under_mixed_precision() -> None:
    import torch

    from workflow_scripts.step4.embedding import SpeakerEmbedder

    embedder = SpeakerEmbedder(load_settings().models_dir / models()["campplus"].file, torch.device("cpu"))
    loud = torch.sin(torch.arange(16_000) * 0.3)
    exact = embedder.features(loud)
    with torch.autocast("cpu"):
        mixed = embedder.features(loud)
    assert mixed.dtype == torch.float32 and torch.equal(exact, mixed)


def test_sound_that_begins_late_keeps_the_times_of_the_video(tmp_path: Path) -> None:
    late = tmp_path / "late.mp4"
    picture = ["-f", "lavfi", "-i", "color=black:size=32x32:rate=25:duration=4"]
    tone = ["-itsoffset", "1.5", "-f", "lavfi", "-i", "sine=duration=2"]
    subprocess.run(
        [FFMPEG, "-v", "error", *picture, *tone, "-pix_fmt", "yuv420p", "-c:a", "aac", str(late)], check=True
    )
    waveform = extract_sound(Path(FFMPEG), late, tmp_path / "late.flac").waveform(Path(FFMPEG))
    loud = np.flatnonzero(abs(waveform) > 0.05) / 16_000
    assert loud[0] == pytest.approx(1.5, abs=0.03) and loud[-1] == pytest.approx(3.5, abs=0.03)


def test_when_memory_runs_out_smaller_batches_then_the_cpu_go_on(sample: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    from workflow_scripts.step4.device import within_memory

    sound = extract_sound(Path(FFMPEG), sample[0], tmp_path / "sound.flac")
    batches: list[int] = []

    def too_large(_network: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        batches.append(len(given[0]))
        if len(given[0]) > 2:
            raise torch.OutOfMemoryError("too much")

    engine, said = diarizer(), list[str]()
    engine._network.register_forward_pre_hook(too_large)

    def work(_device: str, batch: int) -> list[Turn]:
        return engine(sound.blocks(Path(FFMPEG)), sound.samples, batch, lambda _: None)

    found = within_memory([("cpu", 6), ("cpu", 3), ("cpu", 2)], work, said.append)
    assert {turn.speaker for turn in found} and batches[:3] == [6, 3, 2] and len(said) == 2
    with pytest.raises(torch.OutOfMemoryError):
        within_memory([("cpu", 6), ("cpu", 3)], work, said.append)
