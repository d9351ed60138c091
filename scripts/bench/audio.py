"""STEP4 offline: how right it is, and how fast beside stock pyannote.audio (with the same models) and senko.

Error rates are strict: no collar, overlap counted. Speed is told on pyannote's own sample, the three taking turns, models
loaded. The composites are spliced from that sample's two speakers, a speech, and voices of espeak-ng, with exact truth,
overlaps, and noise or a chord under half of them. Words are told on sentences of espeak-ng.

    envs/audio_env/bin/python scripts/bench/audio.py [--quick]      last line: JSON

--quick: three composites, one round, no senko. senko is installed below .cache/ when it is first needed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import wave
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder
# Threads that wait do not spin, for all three alike: on a machine with other work that takes from those who have some.
os.environ.update(PYANNOTE_METRICS_ENABLED="0", HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE")
warnings.simplefilter("ignore")

import torch
from pyannote.audio.pipelines import speaker_diarization
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from config.catalog import models
from config.settings import REPOSITORY, Settings, load_settings
from scripts.bench import other_tools
from workflow_scripts.step4.analysis import smoothed
from workflow_scripts.step4.device import BATCHES
from workflow_scripts.step4.diarization import Diarizer
from workflow_scripts.step4.embedding import SpeakerEmbedder
from workflow_scripts.step4.sound import RATE, Waveform, extract_sound
from workflow_scripts.step4.whisper_models import MODELS
from workflow_scripts.stepkit.media import ffmpeg_binary

Truth = list[tuple[float, float, str]]
"""Turns: seconds from, seconds to, who."""
ROUNDS = 2
COMPOSITES = 10
RIVALS_HEAR = 3
"""Of the composites: what the others are measured on too."""
PIECE_S = 1.0
"""The shortest stretch of a real voice that composites are made of."""
PAUSE_S = 0.3
"""Pauses within a turn that are no end of it, as in the references of evaluations."""
QUIET_DB = 35.0
"""How far below the loudest tenth of a voice its pauses lie, at least."""
ESPEAK = (("en-us+m1", 20), ("en-us+klatt2", 50), ("en-us+f3", 50), ("en-us+anika", 50))
"""Voices of espeak-ng and their pitch (0 to 99) that people tell apart: 75, 103, 213 and 271 Hz as measured, three
semitones apart or more, the second out of another synthesizer. Many other variants are one voice: all of `en-gb` are."""
SENTENCES = (
    "The quick brown fox jumps over the lazy dog near the old stone bridge.",
    "She sells fresh bread and coffee every morning at the corner of the market.",
    "Our train leaves the central station at half past seven in the evening.",
    "Please remember to close the window before you go to bed tonight.",
    "He found a small wooden box under the bed with seven letters in it.",
    "The weather in the mountains can change within a few minutes.",
)


@dataclass(frozen=True)
class Clip:
    """A sound with who speaks when in it."""

    sound: Waveform
    truth: Truth

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.sound) / RATE


def sample() -> Clip:
    """Return pyannote's sample and its reference."""
    spec = find_spec("pyannote.audio")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "sample"
    with wave.open(str(folder / "sample.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) * np.float32(2**-15)
    fields = [line.split() for line in (folder / "sample.rttm").read_text().splitlines()]
    return Clip(sound, [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields])


def said(voice: str, pitch: int, sentence: str, folder: Path) -> Waveform:
    """Return a sentence spoken by a voice of espeak-ng."""
    raw = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-p", str(pitch), "-w", str(raw), sentence], check=True)
    return decoded(raw, folder)


def decoded(path: Path, folder: Path) -> Waveform:
    """Return a file's sound as STEP4 hears it."""
    ffmpeg = ffmpeg_binary(load_settings())
    return extract_sound(ffmpeg, path, folder / "sound.flac").waveform(ffmpeg)


def alone(clip: Clip) -> dict[str, list[Waveform]]:
    """Return, speaker by speaker, the stretches in which each speaks and nobody else does."""
    truth = annotated(clip.truth)
    shared = truth.get_overlap()
    return {
        who: [
            clip.sound[int(part.start * RATE) : int(part.end * RATE)]
            for part in truth.label_timeline(who).extrude(shared)
            if part.duration >= PIECE_S
        ]
        for who in truth.labels()
    }


def voices(clip: Clip, folder: Path, synthetic: Sequence[tuple[str, int]] = ESPEAK) -> list[list[Waveform]]:
    """Return, speaker by speaker, pieces in which each speaks alone: three real voices first, then synthetic ones."""
    with zipfile.ZipFile(REPOSITORY / "samples" / "demo_rushes.zip") as archive:
        speech = decoded(Path(archive.extract("demo_rushes/obama_speech.mp4", folder)), folder)
    pieces = [speech[at : at + 2 * RATE] for at in range(RATE // 2, len(speech) - 2 * RATE, 2 * RATE)]
    spoken = [[said(voice, pitch, text, folder) for text in SENTENCES] for voice, pitch in synthetic]
    return [*alone(clip).values(), pieces, *spoken]


def spoken(piece: Waveform) -> list[tuple[int, int]]:
    """Return the samples [start, end) between the pauses of a piece, by its level in hops of 10 ms."""
    hop = RATE // 100
    level = 10 * np.log10(np.square(piece[: len(piece) // hop * hop].reshape(-1, hop)).mean(axis=1) + 1e-10)
    loud = np.flatnonzero(level > np.percentile(level, 90) - QUIET_DB)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > PAUSE_S * 100) + 1)
    return [(int(part[0]) * hop, (int(part[-1]) + 1) * hop) for part in parts]


def composite(number: int, known: Sequence[Sequence[Waveform]]) -> Clip:
    """Return about a minute of two to five of the voices in turn; each fourth turn begins before the last one ended."""
    chance = np.random.default_rng(number)
    who = chance.permutation(len(known))[: 2 + number % 4]
    sound, truth, at, last, turns = np.zeros(90 * RATE, dtype=np.float32), Truth(), RATE // 2, -1, 0
    while at < 60 * RATE:
        speaker = int(chance.choice([one for one in who if one != last]))
        piece = known[speaker][int(chance.integers(len(known[speaker])))]
        piece = piece[: 6 * RATE] * (0.1 / (np.sqrt(np.mean(piece**2)) + 1e-9))
        start = max(0, at - RATE) if turns % 4 == 3 else at + int(chance.integers(0, RATE))
        sound[start : start + len(piece)] += piece
        truth += [((start + first) / RATE, (start + end) / RATE, str(speaker)) for first, end in spoken(piece)]
        at, last, turns = start + len(piece), speaker, turns + 1
    sound = sound[: at + RATE // 2]
    if number % 4 == 1:
        sound = sound + chance.normal(0, 0.005, len(sound)).astype(np.float32)
    if number % 4 == 3:
        chord = [np.sin(2 * np.pi * tone * np.arange(len(sound)) / RATE) for tone in (220, 277.2, 329.6)]
        sound = sound + 0.007 * np.sum(chord, axis=0, dtype=np.float32)
    return Clip(np.clip(sound, -1, 1).astype(np.float32), truth)


def annotated(turns: Truth) -> Annotation:
    """Return turns as pyannote's metrics take them."""
    annotation = Annotation()
    for number, (start, end, who) in enumerate(turns):
        annotation[Segment(start, end), number] = who
    return annotation


def error_rate(clips: Sequence[Clip], found: Sequence[Truth]) -> float:
    """Return the strict diarization error rate over all of the clips."""
    metric = DiarizationErrorRate()
    for clip, turns in zip(clips, found, strict=True):
        metric(annotated(clip.truth), annotated(turns), uem=Timeline([Segment(0, clip.seconds)]))
    return float(abs(metric))


class Ours:
    """STEP4's offline engine, told as STEP4 tells it: pauses filled by the setting's default."""

    def __init__(self, settings: Settings) -> None:
        files = [settings.models_dir / models()[name].file for name in ("pyannote-segmentation-3.0", "campplus")]
        self.embedder = SpeakerEmbedder(files[1], torch.device("cpu"))
        self._diarizer = Diarizer(files[0], self.embedder)
        self._gap_ms = round(settings.lemonfox_speech_gap_fill_sec * 1000)

    def __call__(self, clip: Clip) -> Truth:
        """Return who speaks when."""
        found = self._diarizer([clip.sound], len(clip.sound), BATCHES["cpu"][0], lambda _share: None)
        return [(it.start_ms / 1000, it.end_ms / 1000, str(it.speaker)) for it in smoothed(found, self._gap_ms, 0)]


class Stock:
    """pyannote.audio's own `SpeakerDiarization` with our two models: its windows, its batches, its clustering."""

    def __init__(self, settings: Settings, embedder: SpeakerEmbedder) -> None:
        module: Any = speaker_diarization
        module.PretrainedSpeakerEmbedding = lambda *_, **__: _Embedding(embedder)
        module.get_plda = lambda *_, **__: None
        segmentation = settings.models_dir / models()["pyannote-segmentation-3.0"].file
        self._pipeline = module.SpeakerDiarization(
            segmentation=str(segmentation), embedding="ours", clustering="AgglomerativeClustering",
            segmentation_batch_size=32, embedding_batch_size=32, embedding_exclude_overlap=True,
        )  # fmt: skip
        # What pyannote published for 3.1, the threshold at the one of these embeddings.
        clustering = {"method": "average", "min_cluster_size": 12, "threshold": 0.4}
        self._pipeline.instantiate({"segmentation": {"min_duration_off": 0.0}, "clustering": clustering})

    def __call__(self, clip: Clip) -> Truth:
        """Return who speaks when."""
        answer = self._pipeline({"waveform": torch.from_numpy(clip.sound)[None], "sample_rate": RATE})
        tracks = answer.speaker_diarization.itertracks(yield_label=True)
        return [(track.start, track.end, str(who)) for track, _, who in tracks]


class _Embedding:
    """CAM++ as pyannote's pipelines call embeddings."""

    sample_rate, dimension, metric, min_num_samples = RATE, 192, "cosine", 1600

    def __init__(self, embedder: SpeakerEmbedder) -> None:
        self._embedder = embedder

    def __call__(self, waveforms: torch.Tensor, masks: torch.Tensor) -> np.ndarray[Any, Any]:
        pairs = zip(waveforms[:, 0], masks.numpy() > 0.5, strict=True)
        return np.stack([self._embedder.embed(self._embedder.features(sound), mask) for sound, mask in pairs])


class Senko:
    """Senko in an environment of its own."""

    def __init__(self, folder: Path) -> None:
        environment = REPOSITORY / ".cache" / "bench-senko"
        other_tools.install(environment, other_tools.OTHERS / "senko.txt")
        program = other_tools.OTHERS / "senko_diarization.py"
        self._folder, self.seconds = folder, 0.0
        self._process = subprocess.Popen(
            [environment / "bin" / "python", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        while self._line().strip() != "ready":
            pass

    def _line(self) -> str:
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return line
        raise SystemExit("senko ended unasked")

    def __call__(self, clip: Clip) -> Truth:
        """Return who speaks when; `seconds` is how long it took, by its own clock."""
        path = self._folder / "senko.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((clip.sound * 32767).astype("<i2").tobytes())
        assert self._process.stdin
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        while not (line := self._line()).startswith("{"):
            pass
        answer = json.loads(line)
        self.seconds = answer["seconds"]
        return [(start, end, str(who)) for start, end, who in answer["turns"]]

    def end(self) -> None:
        """Close it."""
        self._process.kill()
        self._process.wait()


def word_errors(settings: Settings, folder: Path) -> float | None:
    """Return the word error rate of the best Whisper that is here, on sentences of espeak-ng; None without one."""
    from workflow_scripts.step4.records import Turn
    from workflow_scripts.step4.transcription import Transcriber

    model = next(
        (models()[name] for name in MODELS.values() if (settings.models_dir / models()[name].file).is_file()), None
    )
    if model is None:
        return None
    transcribe = Transcriber((settings.models_dir / model.file).parent, "cpu", "int8")
    wrong = total = 0
    for sentence in SENTENCES:
        sound = said(*ESPEAK[2], sentence, folder)
        length = len(sound) * 1000 // RATE
        told = transcribe([sound], [Turn(0, length, None)], length, "en", lambda _share: None)
        expected, heard = _words(sentence), _words(told.text or "")
        wrong, total = wrong + _edits(expected, heard), total + len(expected)
    return wrong / total


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _edits(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the Levenshtein distance of two sequences."""
    row = list(range(len(other) + 1))
    for number, item in enumerate(one, 1):
        before, row[0] = row[0], number
        for column, against in enumerate(other, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (item != against))
    return row[-1]


def timed(engine: Callable[[Clip], Truth], clip: Clip) -> tuple[float, Truth]:
    """Return the seconds an engine took, and its answer."""
    started = time.perf_counter()
    found = engine(clip)
    seconds = time.perf_counter() - started
    return (engine.seconds if isinstance(engine, Senko) else seconds), found


def judged(told: dict[str, float | None], settings: Settings, folder: Path, quick: bool) -> None:
    """Add the error rates, and the speeds of all engines, taking turns, on the sample, to what is `told`."""
    clip = sample()
    ours = Ours(settings)
    engines: dict[str, Callable[[Clip], Truth]] = {"ours": ours, "pyannote": Stock(settings, ours.embedder)}
    senko = None if quick else Senko(folder)
    if senko:
        engines["senko"] = senko
    times: dict[str, list[float]] = {name: [] for name in engines}
    found: dict[str, Truth] = {}
    for number in range(1 if quick else ROUNDS + 1):
        for name, engine in engines.items():
            seconds, found[name] = timed(engine, clip)
            if quick or number > 0:  # the first round warms up
                times[name].append(seconds)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, turns in found.items():
        print(f"{name:9} sample: {medians[name]:7.2f} s, error {error_rate([clip], [turns]):.3f}", flush=True)
    known = voices(clip, folder)
    clips = [composite(number, known) for number in range(RIVALS_HEAR if quick else COMPOSITES)]
    answers = [ours(one) for one in clips]
    for number, (one, turns) in enumerate(zip(clips, answers, strict=True)):
        people, heard = (len({who for _, _, who in told_of}) for told_of in (one.truth, turns))
        print(f"composite {number}: error {error_rate([one], [turns]):.3f}, {heard} of {people} people", flush=True)
    some = clips[:RIVALS_HEAR]
    print(f"ours      {len(some)} composites: error {error_rate(some, answers[:RIVALS_HEAR]):.3f}", flush=True)
    for name in () if quick else ("pyannote", "senko"):
        rate = error_rate(some, [engines[name](one) for one in some])
        print(f"{name:9} {len(some)} composites: error {rate:.3f}", flush=True)
    if senko:
        senko.end()
    told |= {
        "der_sample": error_rate([clip], [found["ours"]]),
        "der_composites": error_rate(clips, answers),
        "realtime_factor": medians["ours"] / clip.seconds,
        "over_pyannote": medians["pyannote"] / medians["ours"],
        "over_senko": medians["senko"] / medians["ours"] if senko else None,
    }


def main() -> int:
    """Measure, print a table, and the JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, no senko")
    quick = parser.parse_args().quick
    settings = load_settings()
    told: dict[str, float | None] = dict.fromkeys(
        ("der_sample", "der_composites", "wer", "realtime_factor", "over_pyannote", "over_senko")
    )
    with tempfile.TemporaryDirectory() as scratch:
        judged(told, settings, Path(scratch), quick)
        told["wer"] = word_errors(settings, Path(scratch))
    print(json.dumps({name: None if value is None else round(value, 4) for name, value in told.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
