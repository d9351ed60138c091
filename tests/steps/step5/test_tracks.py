"""Association, against expectations worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.steps.step5.conftest import REPOSITORY
from workflow_scripts.step5.detections import Detections, Looks
from workflow_scripts.step5.motion import Motion, overlaps, widened
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.tracks import follow

# A frame is written as a list of boxes: (left, score), (left, score, label) or (left, score, label, colour); each box is
# 100 x 100 at the top. A colour is a number: 0 is that of all, and unlike every other.

SURE, UNSURE, NOISE = 0.9, 0.6, 0.4


def seen(*things: tuple) -> Detections:
    boxes = np.array([[thing[0], 0, thing[0] + 100, 100] for thing in things], np.float32).reshape(-1, 4)
    scores = np.array([thing[1] for thing in things], np.float32)
    labels = tuple(thing[2] if len(thing) > 2 else "face" for thing in things)
    colours = np.eye(4, dtype=np.float32)[[thing[3] if len(thing) > 3 else 0 for thing in things]]
    looks = Looks(colours, np.zeros((len(things), 0), np.float32), (None,) * len(things))
    return Detections(boxes, scores, labels, "test", looks=looks)


def ids(frames: list[list[tuple]], *cuts: int) -> list[list[int | None]]:
    edges = [0, *cuts, len(frames)]
    scenes = [Scene(first, end) for first, end in pairwise(edges)]
    return [list(frame.ids) for frame in follow((seen(*frame) for frame in frames), scenes)]


def at(left: float, colour: int = 0, score: float = SURE) -> tuple:
    return (left, score, "face", colour)


REST = [[at(0)]] * 4  # a face at rest for as long as it takes to be told
TOLD = [[1]] * 4
CASES = {
    "one face at rest keeps its id": (REST, (), TOLD),
    "ids follow the order of appearance, then the order of the boxes": (
        [[at(300)]] + [[at(0), at(300), at(600)]] * 2 + [[at(600), at(300), at(0)]] * 2, (),
        [[1], [2, 1, 3], [2, 1, 3], [3, 1, 2], [3, 1, 2]],
    ),
    "a find of three frames is not told, nor does it use up an id": (
        [[at(0)], *[[at(0), at(500)]] * 3, [at(0)], *[[at(0), at(800)]] * 4], (),
        [[1], *[[1, None]] * 3, [1], *[[1, 2]] * 4],
    ),
    "four finds with a hole between them make no track": (
        [[at(0)]] * 2 + [[]] + [[at(0)]] * 2, (), [[None], [None], [], [None], [None]],
    ),
    # Two faces 30 pixels a frame towards each other, 0 and 210: at frame 4 they are at 120 and 90, each nearer to where the
    # other was (90 and 120) than to its own last place. Only speed tells them apart.
    "crossing faces keep their ids": ([[at(30 * n), at(210 - 30 * n)] for n in range(8)], (), [[1, 2]] * 8),
    # Both at rest, on top of each other but for ten pixels; then each is a hair nearer to where the other was.
    "where places do not tell, looks do": (
        [[at(0, 1), at(10, 2)]] * 4 + [[at(6, 1), at(4, 2)]] * 2, (), [[1, 2]] * 6,
    ),
    # 10 pixels a frame, unseen in frames 4 to 13: at frame 14 it is 110 pixels from where it was last seen.
    "a face that moved on behind something is taken up again": (
        [[at(10 * n)] if n < 4 or n > 13 else [] for n in range(16)], (), [*TOLD, *[[]] * 10, [1], [1]],
    ),
    "a face that turned back behind something is, too": (
        [[at(10 * n)] for n in range(4)] + [[]] * 10 + [[at(0)]] * 4, (), [*TOLD, *[[]] * 10, *[[1]] * 4],
    ),
    "what comes out from behind something but looks different is another": (
        REST + [[]] * 3 + [[at(0, 3)]] * 4, (), [*TOLD, *[[]] * 3, *[[2]] * 4],
    ),
    # Each comes out where the other is awaited; looks tell that they turned back.
    "two that turn back behind something do not change places": (
        [[at(20 * n, 1), at(400 - 20 * n, 2)] for n in range(6)] + [[]] * 8
        + [[at(100 - 20 * n, 1), at(300 + 20 * n, 2)] for n in range(4)], (),
        [*[[1, 2]] * 6, *[[]] * 8, *[[1, 2]] * 4],
    ),
    "a gap of 50 frames is bridged": (REST + [[]] * 50 + REST, (), TOLD + [[]] * 50 + TOLD),
    "a longer gap is not": (REST + [[]] * 51 + REST, (), TOLD + [[]] * 51 + [[2]] * 4),
    "a cut ends every track": (REST * 2, (4,), [*TOLD, *[[2]] * 4]),
    "a face first seen in a scene's last frames is not told": (
        [[at(0)], *[[at(0), at(500)]] * 3, *[[at(500)]] * 4], (4,), [[1], *[[1, None]] * 3, *[[2]] * 4],
    ),
    "a scene of fewer frames tells what all of them show": (
        REST + [[at(0)]] * 2 + [[at(0)]] + REST, (4, 6, 7), [*TOLD, [2], [2], [3], *[[4]] * 4],
    ),
    "a doubtful find continues a track": ([*REST, [at(5, 0, UNSURE)], [at(9)]], (), [*TOLD, [1], [1]]),
    "a doubtful find begins none": ([[at(0, 0, UNSURE)]] * 5, (), [[None]] * 5),
    # Overlap 60/140 = 0.43: enough for a confident find (0.2), too little for a doubtful one (0.5).
    "a confident find may be further off": ([*REST, [at(40)]], (), [*TOLD, [1]]),
    "a doubtful one may not": ([*REST, [at(40, 0, UNSURE)]], (), [*TOLD, [None]]),
    "a doubtful find takes up no track lost before": (
        [*REST, [], [at(0, 0, UNSURE)], [at(0)]], (), [*TOLD, [], [None], [1]],
    ),
    "noise is ignored": ([*REST, [at(0, 0, NOISE)], [at(0)]], (), [*TOLD, [None], [1]]),
    "labels are never mixed": (
        [*REST, *[[(0, SURE, "person")]] * 4], (), [*TOLD, *[[2]] * 4],
    ),
    # Overlaps: track 1 (at 0) with 30: 70/130 = 0.54, with 0: 1; track 2 (at 60) with 30: 0.54, with 0: 40/160 = 0.25.
    # First come first served from the left would give 30 to track 1; together 0-1 and 30-2 are best.
    "the best assignment as a whole wins": (
        [[at(0), at(60)]] * 4 + [[at(30), at(0)]], (), [*[[1, 2]] * 4, [2, 1]],
    ),
    # 120 pixels a frame, more than its own width: the second box does not overlap the first.
    "a face faster than its width is followed": ([[at(120 * n)] for n in range(5)], (), [[1]] * 5),
    "nothing at all": ([[], [], []], (1,), [[], [], []]),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "cuts", "expected"), CASES.values(), ids=CASES)
def test_ids(frames: list, cuts: tuple[int, ...], expected: list) -> None:
    assert ids(frames, *cuts) == expected


def test_what_nobody_looked_at_is_followed_by_place() -> None:
    frames = [replace(seen(at(10 * n)), looks=None) for n in range(6)]
    assert [list(frame.ids) for frame in follow(frames, [Scene(0, 6)])] == [[1]] * 6


def test_frames_come_three_late_and_no_more() -> None:
    taken = 0

    def source():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield seen(at(0))

    told = follow(source(), [Scene(0, 100)])
    for number in range(1, 50):
        next(told)
        assert taken == number + 3


def test_the_source_is_read_to_its_end() -> None:
    """What counts the frames must hear that there are no more."""
    ended = []

    def source():
        yield seen(at(0))
        ended.append(True)

    assert len(list(follow(source(), [Scene(0, 1)]))) == 1
    assert ended


def test_overlap_of_boxes() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 5, 5]], np.float32)
    assert overlaps(first, second)[0].tolist() == pytest.approx([1, 50 / 150, 0, 25 / 100])


def test_widened_boxes() -> None:
    boxes = np.array([[10, 10, 20, 30], [0, 0, 10, 10]], np.float32)
    assert widened(boxes, np.array([0.5, 1.0])).tolist() == [[5, 0, 25, 40], [-10, -10, 20, 20]]


def test_speed_is_that_of_the_last_four_observations() -> None:
    motion = Motion(np.array([100, 0, 110, 10], np.float32), 0)
    assert motion.expected(5).tolist() == [100, 0, 110, 10]
    for frame, left in ((1, 0), (2, 4), (3, 10), (5, 16)):  # the first is forgotten; from 0 to 16 in four frames
        motion.observe(np.array([left, 0, left + 10, 10], np.float32), frame)
    assert motion.speed().tolist() == [4, 0]
    assert motion.expected(7).tolist() == [24, 0, 34, 10]


def test_the_labels_of_vtest_are_as_people_walk() -> None:
    """What the bench compares with: boxes within the picture, and nobody goes further than 50 pixels in 0.4 s."""
    known: dict[int, tuple[int, np.ndarray]] = {}
    labelled = json.loads((REPOSITORY / "tests/steps/step5/vtest_truth.json").read_text())["frames"]
    assert [frame["frame"] for frame in labelled] == list(range(0, 80, 4))
    for frame in labelled:
        for person in frame["persons"]:
            left, top, right, bottom = person["box"]
            assert 0 <= left < right <= 768
            assert 0 <= top < bottom <= 576
            middle = np.array([(left + right) / 2, (top + bottom) / 2])
            before, place = known.get(person["id"], (frame["frame"], middle))
            assert np.abs(middle - place).max() <= 50 * (frame["frame"] - before) / 4
            known[person["id"]] = (frame["frame"], middle)
    assert sorted(known) == [1, 2, 3, 4, 5, 6]
