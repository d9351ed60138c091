"""The engines of the chain, each as a link that answers or says why it cannot; models are loaded once a worker.

Lemonfox, a pipeline of pyannote's that a person has, the offline pipeline, voice activity alone; then Whisper for what
is said, where it is not known yet.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from config.contract import Remediable
from config.settings import Settings
from workflow_scripts.step4 import lemonfox_link, whisper_models
from workflow_scripts.step4.alignment import with_transcript, with_turns
from workflow_scripts.step4.chain import Link, LinkFailed
from workflow_scripts.step4.device import CPU, CUDA, choose_device, ladder, wants_amp, whisper_ladder, within_memory
from workflow_scripts.step4.joining import Print
from workflow_scripts.step4.languages import language_code
from workflow_scripts.step4.records import Speech, Turn
from workflow_scripts.step4.sound import RATE, SHORTEST_SAMPLES, Sound, Waveform
from workflow_scripts.stepkit import Step, Task, media

if TYPE_CHECKING:
    from workflow_scripts.step4.diarization import Diarizer
    from workflow_scripts.step4.embedding import SpeakerEmbedder
    from workflow_scripts.step4.pipeline import PretrainedDiarizer
    from workflow_scripts.step4.transcription import Transcriber

LEMONFOX = "lemonfox"
PIPELINE = "pyannote-pipeline"
PYANNOTE = "pyannote"
ACTIVITY = "voice-activity"
WHISPER = "whisper"
MODELS = ("pyannote-segmentation-3.0", "campplus")


class Engines:
    """The engines of one worker: loaded when they are first needed, and kept."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._settings = step.settings
        self._embedders: dict[str, SpeakerEmbedder] = {}
        self._diarizers: dict[str, Diarizer] = {}
        self._pipeline: PretrainedDiarizer | None = None
        self._transcriber: Transcriber | None = None
        # Their libraries read these when they are imported: no telemetry, and nothing is looked for on a hub unasked.
        os.environ.update(PYANNOTE_METRICS_ENABLED="0", HF_HUB_OFFLINE="0" if step.settings.pyannote_pipeline else "1")

    def links(self, task: Task, sound: Sound) -> list[Link]:
        """Return the engines for one sound, in the order they are asked."""
        at = _Work(self._step, task, sound)
        lemonfox = partial(lemonfox_link.ask, self._step, task, sound, self.embed)
        chain = [
            Link(LEMONFOX, lambda _known: lemonfox(), lambda _known: True, lemonfox_link.skipped(self._settings)),
            Link(PYANNOTE, at.guarded(self._diarize), _lacks_speakers),
            Link(ACTIVITY, at.guarded(_hear), lambda known: known is None),
            Link(WHISPER, at.guarded(self._transcribe), _lacks_text, whisper_models.chosen(self._settings).skip),
        ]
        if self._settings.pyannote_pipeline:
            chain.insert(1, Link(PIPELINE, at.guarded(self._ask_pipeline), _lacks_speakers))
        return chain

    def embed(self, waveform: Waveform) -> Print:
        """Return the voice print of a sound, mono at 16 kHz: of length 1, or full of NaN where it is too short."""
        import torch

        embedder = self._embedder(choose_device(self._step.arguments.device, self._settings))
        features = embedder.features(torch.from_numpy(waveform))
        return embedder.embed(features, np.ones(len(features), dtype=bool))

    def _embedder(self, device: str) -> SpeakerEmbedder:
        if device not in self._embedders:
            import torch

            from workflow_scripts.step4.embedding import SpeakerEmbedder

            self._embedders[device] = SpeakerEmbedder(self._step.model_path("campplus"), torch.device(device))
        return self._embedders[device]

    def _diarizer(self, device: str) -> Diarizer:
        if device not in self._diarizers:
            with _without_warnings():
                from workflow_scripts.step4.diarization import Diarizer
            path = self._step.model_path("pyannote-segmentation-3.0")
            mixed = device == CUDA and wants_amp(self._settings)
            self._diarizers[device] = Diarizer(path, self._embedder(device), mixed_precision=mixed)
        return self._diarizers[device]

    def _diarize(self, work: _Work, known: Speech | None) -> Speech:
        def turns(device: str, batch: int) -> list[Turn]:
            return self._diarizer(device)(work.blocks(), work.sound.samples, batch, work.progress)

        device = choose_device(self._step.arguments.device, self._settings)
        return _told_apart(known, within_memory(ladder(device), turns, work.retreated))

    def _ask_pipeline(self, work: _Work, known: Speech | None) -> Speech:
        if self._pipeline is None:
            with _without_warnings():
                from workflow_scripts.step4.pipeline import PretrainedDiarizer
            self._pipeline = PretrainedDiarizer(self._settings.pyannote_pipeline or "", self._settings.pyannote_token)
        pipeline, waveform = self._pipeline, work.waveform()
        device = choose_device(self._step.arguments.device, self._settings)
        rungs = [(device, 1), (CPU, 1)] if device == CUDA else [(CPU, 1)]
        return _told_apart(known, within_memory(rungs, lambda where, _: pipeline(waveform, where), work.retreated))

    def _transcribe(self, work: _Work, known: Speech | None) -> Speech:
        assert known is not None  # it is due only then
        from workflow_scripts.step4.transcription import transcriber_device

        folder = self._whisper()
        language = language_code(self._settings.lemonfox_default_language)

        def told(device: str, compute_type: str, beam: int) -> Speech:
            transcriber = self._transcriber_for(folder, device, compute_type, beam)
            return transcriber(work.blocks(), known.turns, work.sound.milliseconds, language, work.progress)

        asked = choose_device(self._step.arguments.device, self._settings)
        rungs = whisper_ladder(*transcriber_device(asked, wants_amp(self._settings)))
        return with_transcript(known, within_memory(rungs, told, work.retreated))

    def _whisper(self) -> Path:
        """Return the folder of the Whisper that transcribes. Raises LinkFailed: the rest of the analysis does without."""
        chosen = whisper_models.chosen(self._settings)
        if chosen.model is not None:
            try:
                return self._step.model_path(chosen.model).parent
            except Remediable as error:
                raise LinkFailed(str(error)) from error
        if chosen.folder is None:
            raise LinkFailed(chosen.skip or "there is no Whisper")
        return chosen.folder

    def _transcriber_for(self, folder: Path, device: str, compute_type: str, beam: int) -> Transcriber:
        if self._transcriber is None or self._transcriber.manner != (device, compute_type, beam):
            from workflow_scripts.step4.transcription import Transcriber

            self._transcriber = None  # before the next one is loaded: memory may be what lacks
            self._transcriber = Transcriber(folder, device, compute_type, beam)
        return self._transcriber


class _Work:
    """One sound at work: what every engine needs of it."""

    def __init__(self, step: Step, task: Task, sound: Sound) -> None:
        self.sound = sound
        self._task = task
        self._ffmpeg = media.ffmpeg_binary(step.settings)
        self._secret = step.settings.pyannote_token

    def blocks(self) -> Iterator[Waveform]:
        return self.sound.blocks(self._ffmpeg)

    def waveform(self) -> Waveform:
        return self.sound.waveform(self._ffmpeg)

    def progress(self, share: float) -> None:
        seconds = self.sound.samples / RATE
        self._task.progress(share * seconds, seconds, "seconds")

    def retreated(self, sentence: str) -> None:
        """Say, and keep, that memory did not do."""
        self._task.warning("out_of_gpu_memory", sentence)
        self._task.metrics["retreats"] = int(self._task.metrics.get("retreats", 0)) + 1

    def guarded(self, engine: Callable[[_Work, Speech | None], Speech]) -> Callable[[Speech | None], Speech]:
        """Make an engine one that fails as links do; in next to no sound it hears nothing, unasked."""

        def ask(known: Speech | None) -> Speech:
            if self.sound.samples < SHORTEST_SAMPLES:
                return known or Speech()
            try:
                return engine(self, known)
            except (LinkFailed, Remediable):
                raise
            except Exception as error:  # the libraries behind the engines raise whatever they like
                said = " ".join(str(error).split())
                if self._secret:  # before it is cut: a part of a secret is one too
                    said = said.replace(self._secret, "***")
                raise LinkFailed(f"{type(error).__name__}: {said[:300]}") from error

        return ask


def _hear(work: _Work, _known: Speech | None) -> Speech:
    from workflow_scripts.step4.activity import speech_turns

    return Speech(turns=tuple(speech_turns(work.blocks(), work.sound.samples, work.progress)))


def _lacks_speakers(known: Speech | None) -> bool:
    return known is None or bool(known.turns and not known.has_speakers)


def _lacks_text(known: Speech | None) -> bool:
    return known is not None and known.text is None and bool(known.turns)


def _told_apart(known: Speech | None, turns: list[Turn]) -> Speech:
    return with_turns(known, turns) if known is not None else Speech(turns=tuple(turns))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Import pyannote in silence: it warns at length that torchcodec finds no FFmpeg, and is given decoded sound."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def configured(settings: Settings) -> dict[str, object]:
    """Return what decides the answers, the keys themselves left out."""
    asks_lemonfox = lemonfox_link.skipped(settings) is None
    whisper = whisper_models.chosen(settings).name
    return {
        "lemonfox": lemonfox_link.fields(settings) if asks_lemonfox else None,
        "pyannote_pipeline": settings.pyannote_pipeline,
        "whisper": whisper,
        "whisper_language": language_code(settings.lemonfox_default_language) if whisper else None,
    }
