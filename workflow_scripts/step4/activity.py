"""When somebody speaks, not who: Silero's voice activity detector, which comes with faster-whisper.

Importing this module imports faster-whisper: only the engine does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from faster_whisper.vad import VadOptions, get_speech_timestamps

from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import RATE, Waveform, cut

STRETCH = 600 * RATE
"""Samples that are looked at as one; a turn across two of them is two turns that touch."""
OPTIONS = VadOptions(min_silence_duration_ms=200, speech_pad_ms=50, min_speech_duration_ms=100)


def speech_turns(blocks: Iterable[Waveform], samples: int, on_progress: Callable[[float], None]) -> list[Turn]:
    """Return the turns, all of an unknown speaker, in a sound of so many samples, mono at 16 kHz."""
    turns: list[Turn] = []
    spans = [(start, min(start + STRETCH, samples)) for start in range(0, samples, STRETCH)]
    for (start, end), sound in zip(spans, cut(blocks, spans), strict=True):
        for found in get_speech_timestamps(sound, OPTIONS, RATE):
            first, last = ((start + found[edge]) * 1000 // RATE for edge in ("start", "end"))
            turns.append(Turn(first, last, None))
        on_progress(end / samples)
    return turns
