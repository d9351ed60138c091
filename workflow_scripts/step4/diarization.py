"""Who speaks when, offline: pyannote's segmentation with embeddings that need no hub, and clustering of our own.

The recipe is that of `pyannote.audio.pipelines.SpeakerDiarization` (segment overlapping windows, embed, cluster, put
together), changed in three ways: what is embedded is a run (`windows.py`), not all that a window's local speaker says;
a run is embedded once, in the window that sees most of it; and nothing of it holds the whole sound in memory.

Importing this module imports torch and pyannote: only the loader of the offline engine does it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pyannote.audio import Model
from pyannote.audio.utils.powerset import Powerset

from workflow_scripts.step4.analysis import smoothed
from workflow_scripts.step4.clustering import nearest, people
from workflow_scripts.step4.embedding import SpeakerEmbedder
from workflow_scripts.step4.records import Turn
from workflow_scripts.step4.sound import RATE, Waveform, cut
from workflow_scripts.step4.windows import STEP_S, WINDOW_S, Active, Frames, Grid, covering, runs, turns

SEEN = 0.6
"""Share of their time together that two runs of different windows have in common, from which they are the same.
Measured on composites: 0.6 and 0.7 embed 43 and 52 % of what all runs have, and find people as well; 0.5 loses some."""
EDGE_S = 0.1
"""How near the end of a window a run is cut by it."""
SURE_S = 1.5
"""Of a run, from which its voice is clustered; those of shorter ones are only compared with the people found."""
KINSHIP = 0.3
"""How much the other runs of the same local speaker count beside a run itself when it is said whose it is: a short run's
voice tells little. 0.15 to 0.6 are alike."""
_WINDOW, _STEP = round(WINDOW_S * RATE), round(STEP_S * RATE)


@dataclass(eq=False)
class _Run:
    """A run of a window's local speaker: its frames of the window, and (first, last + 1) in the whole sound.

    `clean` are the frames that tell how it sounds; that is `voice`, full of NaN where it is too little, or the voice of
    its `twin`: the same run in another window.
    """

    window: int
    speaker: int
    frames: Frames
    clean: Frames
    span: tuple[int, int]
    voice: npt.NDArray[np.float32] | None = None
    is_heard: bool = False
    twin: _Run | None = None

    def heard(self) -> npt.NDArray[np.float32]:
        """Return how it sounds, once every window was looked at."""
        run = self
        while run.twin is not None:
            run = run.twin
        assert run.voice is not None
        return run.voice


@dataclass(eq=False)
class _Window:
    """A window of sound, with its runs, and its features once they are needed."""

    chunk: Waveform
    runs: list[_Run]
    features: torch.Tensor | None = None


class Diarizer:
    """The offline engine: loaded once, called with one sound after another."""

    def __init__(self, segmentation: Path, embedder: SpeakerEmbedder, *, mixed_precision: bool = False) -> None:
        """Load the segmentation (verified by the caller: it is a pickle), to work on the embedder's device."""
        self._device = embedder.device
        model = Model.from_pretrained(segmentation)
        if model is None:
            raise ValueError(f"{segmentation.name} is no checkpoint of pyannote")
        field = model.receptive_field
        self._grid = Grid(field.step, field.start + field.duration / 2)
        self._network = model.eval().to(self._device)
        specifications: Any = model.specifications
        self._powerset = Powerset(len(specifications.classes), specifications.powerset_max_classes).to(self._device)
        self._embedder = embedder
        self._mixed_precision = mixed_precision
        # Short runs gain nothing from many threads each: on two of one core they took half as long again as on one.
        self._pool = ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,))
        self._asked: list[tuple[_Run, Future[npt.NDArray[np.float32]]]] = []

    def __call__(
        self, blocks: Iterable[Waveform], samples: int, batch: int, on_progress: Callable[[float], None]
    ) -> list[Turn]:
        """Return the turns in a sound of so many samples, mono at 16 kHz; speakers are numbered in no special order.

        `batch` windows are looked at at a time. `on_progress` is called with the share that is done, 0 to 1. Memory
        grows with the number of windows, 1440 an hour: 6 kB for each. Raises torch.OutOfMemoryError.
        """
        self._asked.clear()  # of an attempt that failed
        counts: list[npt.NDArray[np.uint8]] = []
        found: list[_Run] = []
        before = _Window(np.zeros(0, dtype=np.float32), [])
        spans = [(start, start + _WINDOW) for start in _starts(samples)]
        for group in _batches(cut(blocks, spans), batch):
            with self._precision():
                for chunk, active in zip(group, self._segment(group), strict=True):
                    window = _Window(chunk, self._runs(active, len(counts)))
                    counts.append(active.sum(axis=1, dtype=np.uint8))
                    self._listen(window, before, is_last=len(counts) == len(spans))
                    found += window.runs
                    before = window
            self._collect()
            on_progress(len(counts) / len(spans))
        return _turns(counts, found, self._grid, round(samples * 1000 / RATE))

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device.type, enabled=self._mixed_precision)

    @torch.inference_mode()
    def _segment(self, group: npt.NDArray[np.float32]) -> Active:
        """Return who of up to three local speakers speaks in each window, (windows, frames, 3), 0 or 1."""
        scores = self._network(torch.from_numpy(group)[:, None].to(self._device))
        active = self._powerset.to_multilabel(scores.float()).to(torch.uint8).cpu().numpy()
        return np.asarray(active, dtype=np.uint8)

    def _runs(self, active: Active, window: int) -> list[_Run]:
        """Return the runs of a window, not listened to yet."""
        at = self._grid.first(window)
        found = []
        for speaker, frames, clean in runs(active, self._grid.step):
            spoken = np.flatnonzero(frames)
            span = (at + int(spoken[0]), at + int(spoken[-1]) + 1)
            found.append(_Run(window, speaker, frames, clean, span))
        return found

    def _listen(self, here: _Window, before: _Window, *, is_last: bool) -> None:
        """Embed the runs of a window that were not seen in the one before it, nor will be seen whole in the next."""
        for run in here.runs:
            known = max(
                (it for it in before.runs if it.is_heard or it.twin),
                key=lambda it: _shared(it.span, run.span),
                default=None,
            )
            if known is not None and _shared(known.span, run.span) >= SEEN:
                run.twin, run.span = known, known.span
            elif is_last or not self._goes_on(run):
                self._embed(here, run)
        for run in before.runs:
            if not run.is_heard and run.twin is None:  # it went on here
                other = max(
                    (it for it in here.runs if it.twin is not run),
                    key=lambda it: _shared(it.span, run.span),
                    default=None,
                )
                if other is not None and _inside(run.span, other.span) >= SEEN:
                    run.twin = other
                else:
                    self._embed(before, run)

    def _goes_on(self, run: _Run) -> bool:
        """Tell whether a run reaches to the end of its window, and the next one sees it from its beginning."""
        (spoken,) = np.nonzero(run.frames)
        return bool((len(run.frames) - spoken[-1]) * self._grid.step < EDGE_S and spoken[0] * self._grid.step >= STEP_S)

    def _embed(self, window: _Window, run: _Run) -> None:
        if window.features is None:
            window.features = self._embedder.features(torch.from_numpy(window.chunk))
        run.is_heard = True
        if self._device.type == "cpu":
            self._asked.append((run, self._pool.submit(self._embedder.embed, window.features, run.clean)))
        else:
            run.voice = self._embedder.embed(window.features, run.clean)

    def _collect(self) -> None:
        """Wait for the voices that were asked for: so no more features are kept than those of a batch of windows."""
        asked, self._asked = self._asked, []
        for run, answer in asked:
            run.voice = answer.result()


def _turns(counts: list[npt.NDArray[np.uint8]], found: list[_Run], grid: Grid, duration_ms: int) -> list[Turn]:
    """Return the turns of all runs, cut to the sound: the last window reaches into the silence behind it."""
    heard = [run for run in found if not np.isnan(run.heard()).any()]
    # Where all of it is too short to tell anybody apart, it is one somebody.
    whose = _whose(heard, len(counts), grid.step) if heard else np.zeros(len(found), dtype=np.intp)
    told = [(run.window, run.frames, int(who)) for run, who in zip(heard or found, whose, strict=True)]
    placed = turns(counts, told, int(whose.max(initial=0)) + 1, grid)
    cut_off = (Turn(max(0, it.start_ms), min(it.end_ms, duration_ms), it.speaker) for it in placed)
    return smoothed(cut_off, 0, 0)


def _whose(heard: list[_Run], windows: int, step_s: float) -> npt.NDArray[np.intp]:
    """Return the number of the person each run is of."""
    voices = np.stack([run.heard() for run in heard])
    seconds = np.array([run.frames.sum() * step_s for run in heard])
    sure = seconds >= min(SURE_S, seconds.max())
    shares = seconds / [covering(run.window, windows) for run in heard]
    local = np.unique([(run.window, run.speaker) for run in heard], axis=0, return_inverse=True)[1].ravel()
    said = voices * seconds[:, None].astype(np.float32)
    together = np.zeros((local.max() + 1, voices.shape[1]), dtype=np.float32)
    np.add.at(together, local, said)
    evidence = np.asarray((1 - KINSHIP) * said + KINSHIP * together[local], dtype=np.float32)
    return nearest(evidence, people(voices[sure], shares[sure]))


def _shared(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the time that two spans share, as a part of what they span together; 0 or less where they do not meet."""
    return (min(one[1], other[1]) - max(one[0], other[0])) / (max(one[1], other[1]) - min(one[0], other[0]))


def _inside(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the time that two spans share, as a part of the first."""
    return (min(one[1], other[1]) - max(one[0], other[0])) / (one[1] - one[0])


def _starts(samples: int) -> range:
    """Return the first samples of the windows that cover a sound; the last reaches to its end or beyond."""
    return range(0, max(0, samples - _WINDOW + _STEP - 1) // _STEP * _STEP + 1, _STEP)


def _batches(windows: Iterable[Waveform], size: int) -> Iterator[npt.NDArray[np.float32]]:
    windows = iter(windows)
    while group := list(itertools.islice(windows, size)):
        yield np.stack(group)
