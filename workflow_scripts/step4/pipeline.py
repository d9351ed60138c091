"""A pipeline of pyannote's own that a person has: community-1 or 3.1, out of a local folder or from the hub.

Importing this module imports torch and pyannote: only the loader of the engine does it.
"""

from __future__ import annotations

from typing import Any

import torch
from pyannote.audio import Pipeline

from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import RATE, Waveform


class PretrainedDiarizer:
    """A diarization pipeline: loaded once, called with one sound after another."""

    def __init__(self, source: str, token: str | None) -> None:
        """Load it from a folder with a `config.yaml`, or by its name from the hub, with a token where it is gated."""
        pipeline = Pipeline.from_pretrained(source, token=token)
        if pipeline is None:
            raise ValueError(f"{source} cannot be had: is its licence accepted, and the token right?")
        self._pipeline = pipeline

    def __call__(self, waveform: Waveform, device: str) -> list[Turn]:
        """Return the turns in a mono waveform at 16 kHz, (samples,). Raises torch.OutOfMemoryError."""
        self._pipeline.to(torch.device(device))
        answer: Any = self._pipeline({"waveform": torch.from_numpy(waveform)[None], "sample_rate": RATE})
        annotation = getattr(answer, "speaker_diarization", answer)  # before version 4 it was the answer itself
        duration_ms = round(len(waveform) * 1000 / RATE)
        return [
            Turn(max(0, round(track.start * 1000)), min(round(track.end * 1000), duration_ms), str(who))
            for track, _, who in annotation.itertracks(yield_label=True)
            if round(track.start * 1000) < duration_ms
        ]
