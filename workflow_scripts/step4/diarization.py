"""Who speaks when, offline: pyannote's segmentation and clustering, with embeddings that need no hub.

The recipe is that of `pyannote.audio.pipelines.SpeakerDiarization` (segment overlapping windows, embed each window's
speakers, cluster, put together) made of its own pieces. The class itself cannot be built without an embedding and a
calibration in pyannote's formats, which only an account at a hub gives.

Importing this module imports torch and pyannote: only the loader of the offline engine does it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pyannote.audio import Inference, Model
from pyannote.audio.pipelines.clustering import AgglomerativeClustering
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin
from pyannote.core import Annotation, SlidingWindowFeature

from workflow_scripts.step4.campplus import DIMENSION
from workflow_scripts.step4.embedding import RATE, SpeakerEmbedder
from workflow_scripts.step4.records import Turn

Waveform = npt.NDArray[np.float32]

WINDOW_S = 10.0
"""What segmentation-3.0 was trained on."""
STEP_S = 2.5
"""Between windows. Measured on sounds with known speakers: 1 s is no better and embeds 2.5 times as much."""
BATCH = 16
CLUSTERING = {"method": "average", "threshold": 0.4, "min_cluster_size": 4}
"""Cosine distance at which voices are told apart. Measured: 0.3 to 0.5 give the same right answers on two to three
real voices and on single ones, 0.6 joins two of three, 0.2 and less splits one. A voice needs four windows."""
CLEAN_SHARE = 0.04
"""Share of a window in which a speaker speaks alone, from which overlapped speech is left out of the embedding."""
SEGMENTATION_SHARE = 0.2
"""Of the whole work, on a CPU: for progress only."""
_INACTIVE = -2  # pyannote's number for a window's speaker who belongs to no cluster


class Diarizer:
    """The offline engine: loaded once, called with one waveform after another."""

    def __init__(self, segmentation: Path, embedding: Path, device: str, *, mixed_precision: bool = False) -> None:
        """Load both checkpoints (verified by the caller: pyannote's is a pickle). `device` is cpu or cuda."""
        self._device = torch.device(device)
        model = Model.from_pretrained(segmentation)
        if model is None:
            raise ValueError(f"{segmentation.name} is no checkpoint of pyannote")
        self._frames = model.receptive_field
        self._segment = Inference(
            model, duration=WINDOW_S, step=STEP_S, skip_aggregation=True, batch_size=BATCH, device=self._device
        )
        self._embedder = SpeakerEmbedder(embedding, self._device)
        self._clustering = AgglomerativeClustering(metric="cosine").instantiate(CLUSTERING)
        self._mixed_precision = mixed_precision

    def __call__(self, waveform: Waveform, on_progress: Callable[[float], None]) -> list[Turn]:
        """Return the turns in a mono waveform at 16 kHz, (samples,), with speakers numbered in no special order.

        `on_progress` is called with the share that is done, 0 to 1. Memory beside the waveform grows with the number
        of windows, 1440 an hour: 10 kB for each, and 4 n² bytes while clustering n voices of windows (two in every window
        of an hour: 33 MB).
        """
        with self._precision():
            windows = self._windows(waveform, on_progress)
            count = SpeakerDiarizationMixin.speaker_count(windows, self._frames, warm_up=(0.0, 0.0))
            if not count.data.any():
                return []
            embeddings = self._embeddings(waveform, windows, on_progress)
        with warnings.catch_warnings():
            # The mean of no voice at all, where every window is too short to embed, is NaN: that is meant.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            clusters, _, _ = self._clustering(embeddings=embeddings, segmentations=windows)
        discrete = SpeakerDiarizationMixin.to_diarization(_clustered(windows, np.asarray(clusters)), count)
        annotation = SpeakerDiarizationMixin.to_annotation(discrete)
        return _turns(annotation, round(len(waveform) * 1000 / RATE))

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device.type, enabled=self._mixed_precision)

    def _windows(self, waveform: Waveform, on_progress: Callable[[float], None]) -> SlidingWindowFeature:
        """Return who of up to three local speakers speaks, (windows, frames, 3), 0 or 1."""

        def hook(completed: int, total: int) -> None:
            on_progress(SEGMENTATION_SHARE * min(1.0, completed / total))

        sound = {"waveform": torch.from_numpy(waveform)[None], "sample_rate": RATE}
        return self._segment(sound, hook=hook)

    def _embeddings(
        self, waveform: Waveform, windows: SlidingWindowFeature, on_progress: Callable[[float], None]
    ) -> npt.NDArray[np.float32]:
        """Return an embedding for every window's speaker, (windows, 3, 192); NaN where there is too little to embed."""
        number, _, speakers = windows.data.shape
        embeddings = np.full((number, speakers, DIMENSION), np.nan, dtype=np.float32)
        for index, window in enumerate(windows.data):
            active = np.flatnonzero(window.any(axis=0)).tolist()
            if active:
                features = self._embedder.features(_chunk(waveform, index))
            for speaker in active:
                embeddings[index, speaker] = self._embedder.embed(features, _voice(window, speaker))
            on_progress(SEGMENTATION_SHARE + (1 - SEGMENTATION_SHARE) * (index + 1) / number)
        return embeddings


def _chunk(waveform: Waveform, index: int) -> torch.Tensor:
    """Return the sound of a window, filled up with silence at the end."""
    start = round(index * STEP_S * RATE)
    chunk = torch.zeros(round(WINDOW_S * RATE))
    part = torch.from_numpy(waveform[start : start + len(chunk)])
    chunk[: len(part)] = part
    return chunk


def _voice(window: npt.NDArray[np.float32], speaker: int) -> npt.NDArray[np.bool_]:
    """Return the frames, (frames,), that tell how a window's speaker sounds: alone if that is enough, else all."""
    speaks: npt.NDArray[np.bool_] = window[:, speaker] > 0
    alone = speaks & (window.sum(axis=1) < 2)
    return alone if alone.mean() >= CLEAN_SHARE else speaks


def _clustered(windows: SlidingWindowFeature, clusters: npt.NDArray[np.int_]) -> SlidingWindowFeature:
    """Turn windows of local speakers into windows of clusters, (windows, frames, clusters), NaN where one is absent.

    As `SpeakerDiarization.reconstruct` does.
    """
    clusters = np.where(windows.data.any(axis=1), clusters, _INACTIVE)
    joined = np.full((*windows.data.shape[:2], clusters.max() + 1), np.nan, dtype=np.float32)
    for index, window in enumerate(windows.data):
        for cluster in set(clusters[index]) - {_INACTIVE}:
            joined[index, :, cluster] = window[:, clusters[index] == cluster].max(axis=1)
    return SlidingWindowFeature(joined, windows.sliding_window)


def _turns(annotation: Annotation, duration_ms: int) -> list[Turn]:
    """Return the turns of an annotation, cut to the sound: the last window reaches into the silence behind it."""
    tracks = annotation.itertracks(yield_label=True)
    times = (
        (max(0, round(track.start * 1000)), min(round(track.end * 1000), duration_ms), who) for track, _, who in tracks
    )
    return [Turn(start, end, str(who)) for start, end, who in times if start < end]
