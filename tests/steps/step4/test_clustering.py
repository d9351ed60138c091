"""Which prints are one person's, and what is made of runs in overlapping windows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from tests.steps.step4.conftest import REPOSITORY
from workflow_scripts.step4 import clustering
from workflow_scripts.step4.analysis import smoothed
from workflow_scripts.step4.clustering import nearest, people
from workflow_scripts.step4.windows import Grid, covering, runs, turns

GRID = Grid(0.016875, 0.031)
FRAMES = 589
Vectors = npt.NDArray[np.float32]


def voices(count: int, each: int, spread: float, seed: int = 0) -> tuple[Vectors, npt.NDArray[np.intp]]:
    """Return prints of so many people, mixed, and whose each is; of one person they are 1 - spread**2 alike."""
    chance = np.random.default_rng(seed)
    centres = np.linalg.qr(chance.standard_normal((192, count)))[0].T
    who = chance.permutation(np.repeat(np.arange(count), each))
    aside = chance.standard_normal((len(who), 192))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    found = np.sqrt(1 - spread**2) * centres[who] + spread * aside
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), who


def same_parting(one: npt.NDArray[np.intp], other: npt.NDArray[np.intp]) -> bool:
    return (
        len(set(zip(one.tolist(), other.tolist(), strict=True))) == len(set(one.tolist())) == len(set(other.tolist()))
    )


@pytest.mark.parametrize("stretch", [7, 50, 5000])
def test_people_are_found_in_stretches_as_they_are_in_the_whole(stretch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "STRETCH", stretch)
    prints, who = voices(6, 40, 0.5)
    known = people(prints, np.full(len(prints), 2.0))
    assert len(known) == 6 and same_parting(nearest(prints, known), who)


def test_groups_are_joined_as_average_linkage_joins() -> None:
    prints, _ = voices(5, 12, 0.72, seed=3)
    tree = linkage(prints, method="average", metric="cosine")
    wanted = fcluster(tree, clustering.THRESHOLD, criterion="distance") - 1
    assert 1 < wanted.max() < len(prints) - 1
    assert same_parting(clustering._joined(prints, np.arange(len(prints))), wanted)


def test_who_speaks_next_to_nothing_is_one_of_the_others() -> None:
    prints, who = voices(3, 10, 0.3)
    seconds = np.where(who == 2, 0.1, 3.0)
    assert len(people(prints, seconds)) == 2
    assert len(people(prints[:1], np.array([0.2]))) == 1
    assert len(people(prints, np.full(len(prints), 0.2))) == 3, "in six seconds two are much"


def test_the_one_who_speaks_most_comes_first() -> None:
    prints, who = voices(3, 10, 0.3)
    known = people(prints, np.array([3.0, 9.0, 5.0])[who])
    order = nearest(prints, known)
    assert {(int(one), int(other)) for one, other in zip(who, order, strict=True)} == {(1, 0), (2, 1), (0, 2)}


def active(*spans: tuple[int, float, float]) -> npt.NDArray[np.uint8]:
    """Return a window in which local speakers speak from and to so many seconds."""
    window = np.zeros((FRAMES, 3), dtype=np.uint8)
    for speaker, start, end in spans:
        window[round(start / GRID.step) : round(end / GRID.step), speaker] = 1
    return window


def spans_of(window: npt.NDArray[np.uint8]) -> list[tuple[int, float, float]]:
    found = []
    for speaker, frames, _ in runs(window, GRID.step):
        (at,) = np.nonzero(frames)
        found.append((speaker, round(at[0] * GRID.step, 1), round((at[-1] + 1) * GRID.step, 1)))
    return found


def test_a_run_ends_at_a_pause_and_where_others_speak() -> None:
    window = active((0, 1, 2), (0, 2.3, 3), (0, 4, 5), (0, 5.4, 6), (1, 5, 5.4), (2, 7, 7.2))
    assert spans_of(window) == [(0, 1.0, 3.0), (0, 4.0, 5.0), (0, 5.4, 6.0), (1, 5.0, 5.4)]


def test_a_run_is_known_by_what_nobody_speaks_into_where_there_is_enough_of_it() -> None:
    (_, _, clean), (_, whole, other) = runs(active((0, 1, 4), (1, 3, 4.1)), GRID.step)
    assert clean.sum() * GRID.step == pytest.approx(2, abs=0.03)
    assert np.array_equal(other, whole)


def told(*windows: npt.NDArray[np.uint8]) -> list[tuple[int, int, str | None]]:
    """Put windows together whose local speakers are the people of their numbers."""
    counts = [window.sum(axis=1).astype(np.uint8) for window in windows]
    whose = [(n, frames, who) for n, window in enumerate(windows) for who, frames, _ in runs(window, GRID.step)]
    found = smoothed(turns(counts, whose, 3, GRID), 0, 0)
    return [(turn.start_ms, turn.end_ms, turn.speaker) for turn in found]


def test_windows_agree_on_who_speaks() -> None:
    ((start, end, who),) = told(active((1, 3, 8)), active((1, 0.5, 5.5)), active((1, 0, 3)))
    assert who == "1" and abs(start - 3031) <= 20 and abs(end - 8031) <= 20


def test_what_most_windows_hear_is_told() -> None:
    alone = told(active((0, 6, 9)), active((1, 3.5, 6.5)), active((1, 1, 4)))
    assert {who for _, _, who in alone} == {"1"}
    assert {who for _, _, who in told(active((0, 6, 9), (1, 6, 9)), active((0, 3.5, 6.5), (1, 3.5, 6.5)))} == {"0", "1"}


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_blocks_do_not_show(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(5)
    windows = [
        active(*((k, a, a + chance.uniform(0.5, 4)) for k in range(3) for a in chance.uniform(0, 9, 2)))
        for _ in range(9)
    ]
    whole = told(*windows)
    monkeypatch.setattr("workflow_scripts.step4.windows._BLOCK", block)
    assert told(*windows) == whole and len(whole) > 5


def test_each_window_is_counted_as_often_as_its_middle_is_looked_at() -> None:
    assert [covering(window, 9) for window in range(9)] == [3, 4, 4, 4, 4, 4, 4, 3, 2]
    assert covering(0, 1) == 1 and covering(0, 2) == covering(1, 2) == 2


SIX_HOURS = """
import resource, sys
import numpy as np
from workflow_scripts.step4 import diarization
from workflow_scripts.step4.windows import Grid
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
chance, grid, windows, people = np.random.default_rng(1), Grid(0.016875, 0.031), 6 * 1440, 40
centres = np.linalg.qr(chance.standard_normal((192, people)))[0].T
found, counts = [], []
for window in range(windows):
    frames = np.zeros((3, 589), dtype=bool)
    for slot, start in enumerate((0, 200, 400)):
        frames[slot, start : start + 150] = True
        who = (window // 4 + slot) % people
        # every tenth voice is noise that is like nobody
        voice = chance.standard_normal(192) if chance.random() < 0.1 else 3 * centres[who] + 0.1 * chance.standard_normal(192)
        voice = (voice / np.linalg.norm(voice)).astype(np.float32)
        first = grid.first(window) + start
        found.append(diarization._Run(window, slot, frames[slot], frames[slot], (first, first + 150), voice))
    counts.append(frames.sum(axis=0).astype(np.uint8))
turns = diarization._turns(counts, found, grid, 6 * 3_600_000)
print(len({turn.speaker for turn in turns}), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_six_hours_of_forty_people_are_put_together_in_little_memory() -> None:
    command = [sys.executable, "-c", SIX_HOURS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=250)
    heard, kilobytes = map(int, done.stdout.split())
    assert heard == 40
    assert kilobytes < 400_000, f"{kilobytes / 1e6:.2f} GB beyond the libraries"
