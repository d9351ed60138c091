"""The engines of the chain: Lemonfox, then pyannote; each as a link that answers or says why it cannot."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from config.settings import Settings
from workflow_scripts.step4 import lemonfox
from workflow_scripts.step4.answers import MalformedAnswer, read_answer
from workflow_scripts.step4.chain import Link, LinkFailed
from workflow_scripts.step4.records import Speech
from workflow_scripts.step4.sound import RATE, Sound
from workflow_scripts.stepkit import PrerequisiteMissing, Step, Task, media

if TYPE_CHECKING:
    from workflow_scripts.step4.diarization import Diarizer

LEMONFOX = "lemonfox"
PYANNOTE = "pyannote"
MODELS = ("pyannote-segmentation-3.0", "campplus")
SHORTEST_SAMPLES = RATE // 10
"""A tenth of a second: in less nobody says anything, and the network has nothing to look at."""


def links(step: Step, task: Task, sound: Sound) -> list[Link]:
    """Return the engines for one sound, in the order they are tried."""
    skip = lemonfox_skipped(step.settings)
    return [
        Link(LEMONFOX, partial(_ask_lemonfox, step.settings, sound), skip),
        Link(PYANNOTE, partial(_ask_pyannote, step, task, sound)),
    ]


def lemonfox_skipped(settings: Settings) -> str | None:
    """Return why Lemonfox is not asked at all; None when it is."""
    if not settings.step4_use_lemonfox:
        return "STEP4_USE_LEMONFOX is off"
    return None if settings.lemonfox_api_key else "LEMONFOX_API_KEY is not set"


def lemonfox_fields(settings: Settings) -> dict[str, str | list[str]]:
    """Return what Lemonfox is asked for, beside the sound."""
    return lemonfox.fields_of(
        language=settings.lemonfox_default_language,
        prompt=settings.lemonfox_default_prompt,
        speaker_labels=settings.lemonfox_speaker_labels_default,
        speakers=(settings.lemonfox_min_speakers, settings.lemonfox_max_speakers),
        granularities=settings.lemonfox_timestamp_granularities,
    )


def _ask_lemonfox(settings: Settings, sound: Sound) -> Speech:
    size = sound.path.stat().st_size / 1e6
    if size > settings.lemonfox_max_upload_mb:
        raise LinkFailed(
            f"the sound has {size:.1f} MB, more than LEMONFOX_MAX_UPLOAD_MB={settings.lemonfox_max_upload_mb:g}"
        )
    official = lemonfox.EU_ADDRESS if settings.lemonfox_eu_default else lemonfox.ADDRESS
    address, key = settings.lemonfox_base_url or official, settings.lemonfox_api_key or ""
    request = lemonfox.Request(address, key, settings.lemonfox_timeout_sec, lemonfox_fields(settings))
    try:
        return read_answer(lemonfox.transcribe(request, sound.path), sound.milliseconds)
    except MalformedAnswer as error:
        raise LinkFailed(f"its answer cannot be used: {error}") from error


def _ask_pyannote(step: Step, task: Task, sound: Sound) -> Speech:
    if sound.samples < SHORTEST_SAMPLES:
        return Speech()
    diarize = step.once(partial(_load_diarizer, step))
    seconds = sound.samples / RATE
    on_progress: Callable[[float], None] = lambda share: task.progress(share * seconds, seconds, "seconds")  # noqa: E731
    try:
        return Speech(turns=tuple(diarize(sound.waveform(media.ffmpeg_binary(step.settings)), on_progress)))
    except (RuntimeError, ValueError, MemoryError) as error:  # what torch raises, out of memory on a GPU included
        raise LinkFailed(f"{type(error).__name__}: {error}") from error


def _load_diarizer(step: Step) -> Diarizer:
    # pyannote reads these when it is imported: no telemetry, and nothing is looked for on a hub while a step runs.
    os.environ.update(PYANNOTE_METRICS_ENABLED="0", HF_HUB_OFFLINE="1")
    with warnings.catch_warnings():
        # It warns at length that torchcodec finds no FFmpeg: sound is decoded before it comes here.
        warnings.simplefilter("ignore")
        from workflow_scripts.step4.diarization import Diarizer

    segmentation, embedding = (step.model_path(name) for name in MODELS)
    device = choose_device(step.arguments.device, step.settings)
    return Diarizer(segmentation, embedding, device, mixed_precision=device == "cuda" and wants_amp(step.settings))


def choose_device(asked: str, settings: Settings) -> str:
    """Return cpu or cuda. Raises PrerequisiteMissing when cuda was asked for by name and is not there."""
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise PrerequisiteMissing(
            "no_cuda", "--device cuda was asked for, and there is no CUDA.", "Leave --device out."
        )
    if asked == "cpu" or settings.audio_disable_gpu or settings.audio_profile == "cpu_only":
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def wants_amp(settings: Settings) -> bool:
    """Tell whether mixed precision is to be used on a GPU: AUDIO_PROFILE=gpu_no_amp rules it out."""
    return settings.audio_profile != "gpu_no_amp" and (
        settings.audio_enable_amp or settings.audio_profile == "gpu_optimized"
    )
