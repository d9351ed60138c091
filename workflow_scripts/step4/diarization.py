"""Who speaks when, offline: pyannote's segmentation and clustering, with embeddings that need no hub.

The recipe is that of `pyannote.audio.pipelines.SpeakerDiarization` (segment overlapping windows, embed each window's
speakers, cluster, put together) made of its own pieces. The class itself cannot be built without an embedding and a
calibration in pyannote's formats, which only an account at a hub gives; and it holds the whole sound in memory.

Importing this module imports torch and pyannote: only the loader of the offline engine does it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pyannote.audio import Model
from pyannote.audio.pipelines.clustering import AgglomerativeClustering
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin
from pyannote.audio.utils.powerset import Powerset
from pyannote.core import Annotation, SlidingWindow, SlidingWindowFeature

from workflow_scripts.step4.campplus import DIMENSION
from workflow_scripts.step4.embedding import SpeakerEmbedder
from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import RATE, Waveform, cut

WINDOW_S = 10.0
"""What segmentation-3.0 was trained on."""
STEP_S = 2.5
"""Between windows. Measured on sounds with known speakers: 1 s is no better and embeds 2.5 times as much."""
CLUSTERING = {"method": "average", "threshold": 0.4, "min_cluster_size": 2}
"""Cosine distance at which voices are told apart, and the windows that a voice needs. Measured on a real conversation and
five composites: 0.3 to 0.6 are alike on the former, 0.7 joins its two people; two windows instead of four, as right or
better on each of the six, find people who speak little."""
MOST_CLUSTERED = 3000
"""Embeddings that are clustered; of a longer sound's they are taken evenly, and the others go to the nearest cluster."""
CLEAN_SHARE = 0.04
"""Share of a window in which a speaker speaks alone, from which overlapped speech is left out of the embedding."""
_INACTIVE = -2  # pyannote's number for a window's speaker who belongs to no cluster
_WINDOW, _STEP = round(WINDOW_S * RATE), round(STEP_S * RATE)


class Diarizer:
    """The offline engine: loaded once, called with one sound after another."""

    def __init__(self, segmentation: Path, embedder: SpeakerEmbedder, *, mixed_precision: bool = False) -> None:
        """Load the segmentation (verified by the caller: it is a pickle), to work on the embedder's device."""
        self._device = embedder.device
        model = Model.from_pretrained(segmentation)
        if model is None:
            raise ValueError(f"{segmentation.name} is no checkpoint of pyannote")
        self._frames = model.receptive_field
        self._network = model.eval().to(self._device)
        specifications: Any = model.specifications
        self._powerset = Powerset(len(specifications.classes), specifications.powerset_max_classes).to(self._device)
        self._embedder = embedder
        self._clustering = _Clustering(metric="cosine").instantiate(CLUSTERING)
        self._mixed_precision = mixed_precision

    def __call__(
        self, blocks: Iterable[Waveform], samples: int, batch: int, on_progress: Callable[[float], None]
    ) -> list[Turn]:
        """Return the turns in a sound of so many samples, mono at 16 kHz; speakers are numbered in no special order.

        `batch` windows are looked at at a time. `on_progress` is called with the share that is done, 0 to 1. Memory
        grows with the number of windows, 1440 an hour: 4 kB for each. Raises torch.OutOfMemoryError.
        """
        found: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]] = []
        spans = [(start, start + _WINDOW) for start in _starts(samples)]
        for group in _batches(cut(blocks, spans), batch):
            with self._precision():
                windows = self._segment(group)
                found += zip(windows, map(self._embeddings, group, windows), strict=True)
            on_progress(len(found) / len(spans))
        active, prints = (np.stack(part) for part in zip(*found, strict=True))
        return self._put_together(active, prints, samples)

    def _put_together(self, active: npt.NDArray[np.uint8], prints: npt.NDArray[np.float32], samples: int) -> list[Turn]:
        """Return the turns of windows, by who speaks in each (windows, frames, 3) and how they sound (windows, 3, 192)."""
        windows = SlidingWindowFeature(active, SlidingWindow(start=0.0, duration=WINDOW_S, step=STEP_S))
        count = SpeakerDiarizationMixin.speaker_count(windows, self._frames, warm_up=(0.0, 0.0))
        if not count.data.any():
            return []
        clusters = self._clusters(prints, windows)
        discrete = SpeakerDiarizationMixin.to_diarization(_clustered(windows, clusters), count)
        return _turns(SpeakerDiarizationMixin.to_annotation(discrete), round(samples * 1000 / RATE))

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device.type, enabled=self._mixed_precision)

    @torch.inference_mode()
    def _segment(self, group: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Return who of up to three local speakers speaks in each window, (windows, frames, 3), 0 or 1."""
        scores = self._network(torch.from_numpy(group)[:, None].to(self._device))
        active = self._powerset.to_multilabel(scores.float()).to(torch.uint8).cpu().numpy()
        return np.asarray(active, dtype=np.uint8)

    def _embeddings(self, chunk: Waveform, active: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return an embedding of each of a window's speakers, (3, 192); NaN where there is too little to embed."""
        embeddings = np.full((active.shape[1], DIMENSION), np.nan, dtype=np.float32)
        speaking = np.flatnonzero(active.any(axis=0)).tolist()
        if speaking:
            features = self._embedder.features(torch.from_numpy(chunk))
        for speaker in speaking:
            embeddings[speaker] = self._embedder.embed(features, _voice(active, speaker))
        return embeddings

    def _clusters(self, prints: npt.NDArray[np.float32], windows: SlidingWindowFeature) -> npt.NDArray[np.int_]:
        """Return the cluster of each window's speakers, (windows, 3)."""
        with warnings.catch_warnings():
            # The mean of no voice at all, where every window is too short to embed, is NaN: that is meant.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            clusters, _, _ = self._clustering(embeddings=prints, segmentations=windows)
        return np.asarray(clusters)


class _Clustering(AgglomerativeClustering):
    """pyannote's, in bounded memory: distances are kept of every pair, so only so many embeddings are clustered."""

    def filter_embeddings(self, *arguments: Any, **named: Any) -> Any:
        """Choose the embeddings that are clustered: pyannote's choice, thinned out evenly."""
        chosen = super().filter_embeddings(*arguments, **named)
        kept = np.linspace(0, len(chosen[0]) - 1, min(len(chosen[0]), MOST_CLUSTERED)).round().astype(int)
        return tuple(part[kept] for part in chosen)


def _starts(samples: int) -> range:
    """Return the first samples of the windows that cover a sound; the last reaches to its end or beyond."""
    return range(0, max(0, samples - _WINDOW + _STEP - 1) // _STEP * _STEP + 1, _STEP)


def _batches(windows: Iterable[Waveform], size: int) -> Iterator[npt.NDArray[np.float32]]:
    windows = iter(windows)
    while group := list(itertools.islice(windows, size)):
        yield np.stack(group)


def _voice(window: npt.NDArray[np.uint8], speaker: int) -> npt.NDArray[np.bool_]:
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
