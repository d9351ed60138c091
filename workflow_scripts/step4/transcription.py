"""What is said, offline: Whisper by faster-whisper, with the time of every word.

Importing this module imports faster-whisper: only the loader of the engine does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import ctranslate2
from faster_whisper import WhisperModel

from workflow_scripts.step4.device import BEAM
from workflow_scripts.step4.records import Passage, Speech, Turn
from workflow_scripts.step4.sound import RATE, Waveform, cut

logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it tells of every stretch

STRETCH_MS = 300_000
"""Longest sound that is looked at as one: features of more would take much memory."""
APART_MS = 5_000
"""Silences of this length part stretches, and are not looked at: Whisper hears words in silence."""
MARGIN_MS = 200
"""Of sound around speech: the edges of turns are not sharp."""


class Transcriber:
    """A Whisper model: loaded once, called with one sound after another."""

    def __init__(self, folder: Path, device: str, compute_type: str, beam: int = BEAM) -> None:
        """Load a model for CTranslate2 out of a folder; nothing is looked for elsewhere. `beam` hypotheses are followed."""
        self.manner = (device, compute_type, beam)
        self._model = WhisperModel(str(folder), device=device, compute_type=compute_type, local_files_only=True)

    def __call__(
        self,
        blocks: Iterable[Waveform],
        turns: Sequence[Turn],
        duration_ms: int,
        language: str | None,
        on_progress: Callable[[float], None],
    ) -> Speech:
        """Return the transcript of a sound, mono at 16 kHz, in which somebody speaks during `turns`; it has no turns.

        `language` is a code; None: the one that the first stretch is in. `on_progress` is called with the share done.
        """
        if language not in self._model.supported_languages:
            language = None
        segments: list[Passage] = []
        words: list[Passage] = []
        spans = stretches(turns, duration_ms)
        sounds = cut(blocks, [(start * RATE // 1000, end * RATE // 1000) for start, end in spans])
        for (start, end), sound in zip(spans, sounds, strict=True):
            found, about = self._model.transcribe(
                sound, language=language, beam_size=self.manner[2], word_timestamps=True, vad_filter=True,
                condition_on_previous_text=False,
            )  # fmt: skip
            language = language or about.language
            for segment in found:
                segments += _passages([(segment.start, segment.end, segment.text)], start, end)
                words += _passages([(word.start, word.end, word.word) for word in segment.words or ()], start, end)
            on_progress(end / duration_ms)
        text = " ".join(segment.text for segment in segments)
        return Speech(segments=tuple(segments), words=tuple(words), language=language, text=text)


def transcriber_device(asked: str, mixed_precision: bool) -> tuple[str, str]:
    """Return the device, and how numbers are kept on it: CTranslate2 finds GPUs by itself, or not where torch does."""
    if asked == "cuda" and ctranslate2.get_cuda_device_count() > 0:
        return "cuda", "float16" if mixed_precision else "float32"
    return "cpu", "int8"


def _passages(told: Iterable[tuple[float, float, str]], start_ms: int, end_ms: int) -> Iterator[Passage]:
    """Place what was told of a stretch, in its seconds, in the whole sound."""
    for first, last, text in told:
        if text.strip():
            begins = min(start_ms + round(max(0.0, first) * 1000), end_ms)
            yield Passage(begins, max(begins, min(start_ms + round(last * 1000), end_ms)), text.strip(), None)


def stretches(turns: Iterable[Turn], duration_ms: int) -> list[tuple[int, int]]:
    """Return the stretches of a sound in which somebody speaks, in order, none longer than STRETCH_MS."""
    joined: list[tuple[int, int]] = []
    for turn in sorted(turns, key=lambda turn: turn.start_ms):
        start, end = max(0, turn.start_ms - MARGIN_MS), min(duration_ms, turn.end_ms + MARGIN_MS)
        if joined and start - joined[-1][1] < APART_MS and end - joined[-1][0] <= STRETCH_MS:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif not joined or end > joined[-1][1]:
            joined.append((max(start, joined[-1][1]) if joined else start, end))
    return [(first, min(first + STRETCH_MS, end)) for start, end in joined for first in range(start, end, STRETCH_MS)]
