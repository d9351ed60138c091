"""Association, against expectations worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from workflow_scripts.step5.detections import Detections
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.tracks import Track, follow, overlaps

# A frame is written as a list of boxes: (left, score) or (left, score, label); each box is 100 x 100 at the top.


def seen(*things: tuple) -> Detections:
    boxes = np.array([[thing[0], 0, thing[0] + 100, 100] for thing in things], np.float32).reshape(-1, 4)
    scores = np.array([thing[1] for thing in things], np.float32)
    labels = tuple(thing[2] if len(thing) > 2 else "face" for thing in things)
    return Detections(boxes, scores, labels, "test")


def ids(frames: list[list[tuple]], *cuts: int) -> list[list[int | None]]:
    edges = [0, *cuts, len(frames)]
    scenes = [Scene(first, end) for first, end in pairwise(edges)]
    return [list(frame.ids) for frame in follow((seen(*frame) for frame in frames), scenes)]


SURE, UNSURE, NOISE = 0.9, 0.6, 0.4
CASES = {
    "one face at rest keeps its id": ([[(0, SURE)]] * 3, (), [[1], [1], [1]]),
    "ids follow the order of appearance, then the order of the boxes": (
        [[(300, SURE)], [(0, SURE), (300, SURE), (600, SURE)], [(600, SURE), (300, SURE), (0, SURE)]], (),
        [[1], [2, 1, 3], [3, 1, 2]],
    ),
    "a find of one frame is not told, nor does it use up an id": (
        [[(0, SURE)], [(0, SURE), (500, SURE)], [(0, SURE)], [(0, SURE), (700, SURE)], [(0, SURE), (700, SURE)]], (),
        [[1], [1, None], [1], [1, 2], [1, 2]],
    ),
    "two finds of one frame make no track": ([[(0, SURE)], [], [(0, SURE)], []], (), [[None], [], [None], []]),
    # Two faces 30 pixels a frame towards each other, 0 and 210: at frame 4 they are at 120 and 90, each nearer to where the
    # other was (90 and 120) than to its own last place. Only speed tells them apart.
    "crossing faces keep their ids": (
        [[(30 * n, SURE), (210 - 30 * n, SURE)] for n in range(8)], (), [[1, 2]] * 8,
    ),
    # 10 pixels a frame, unseen in frames 3 to 9: at frame 10 it is 80 pixels from where it was last seen, an overlap of
    # 20/180 = 0.11, too little; at the same speed it is exactly where it is expected.
    "a face that moved on behind something is taken up again": (
        [[(10 * n, SURE)] if n < 3 or n > 9 else [] for n in range(12)], (), [[1]] * 3 + [[]] * 7 + [[1]] * 2,
    ),
    "a gap of 25 frames is bridged": (
        [[(0, SURE)]] * 2 + [[]] * 25 + [[(0, SURE)]] * 2, (), [[1]] * 2 + [[]] * 25 + [[1]] * 2,
    ),
    "a longer gap is not": (
        [[(0, SURE)]] * 2 + [[]] * 26 + [[(0, SURE)]] * 2, (), [[1]] * 2 + [[]] * 26 + [[2]] * 2,
    ),
    "a cut ends every track": ([[(0, SURE)]] * 4, (2,), [[1], [1], [2], [2]]),
    "a face first seen in a scene's last frame is not told": (
        [[(0, SURE)], [(0, SURE), (500, SURE)], [(500, SURE)], [(500, SURE)]], (2,), [[1], [1, None], [2], [2]],
    ),
    "a scene of one frame tells what it shows": ([[(0, SURE)]] * 4, (2, 3), [[1], [1], [2], [3]]),
    "a doubtful find continues a track": ([[(0, SURE)], [(0, SURE)], [(5, UNSURE)], [(9, SURE)]], (), [[1]] * 4),
    "a doubtful find begins none": ([[(0, UNSURE)]] * 3, (), [[None]] * 3),
    # Overlap 60/140 = 0.43: enough for a confident find (0.2), too little for a doubtful one (0.5).
    "a confident find may be further off": ([[(0, SURE)], [(0, SURE)], [(40, SURE)]], (), [[1]] * 3),
    "a doubtful one may not": ([[(0, SURE)], [(0, SURE)], [(40, UNSURE)]], (), [[1], [1], [None]]),
    "a doubtful find takes up no track lost before": (
        [[(0, SURE)], [(0, SURE)], [], [(0, UNSURE)], [(0, SURE)]], (), [[1], [1], [], [None], [1]],
    ),
    "noise is ignored": ([[(0, SURE)], [(0, SURE)], [(0, NOISE)], [(0, SURE)]], (), [[1], [1], [None], [1]]),
    "labels are never mixed": (
        [[(0, SURE, "face")], [(0, SURE, "face")], [(0, SURE, "person")], [(0, SURE, "person")]], (), [[1], [1], [2], [2]],
    ),
    # Overlaps: track 1 (at 0) with 30: 70/130 = 0.54, with 0: 1; track 2 (at 60) with 30: 0.54, with 0: 40/160 = 0.25.
    # First come first served from the left would give 30 to track 1; together 0-1 and 30-2 are best.
    "the best assignment as a whole wins": (
        [[(0, SURE), (60, SURE)]] * 2 + [[(30, SURE), (0, SURE)]], (), [[1, 2], [1, 2], [2, 1]],
    ),
    "nothing at all": ([[], [], []], (1,), [[], [], []]),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "cuts", "expected"), CASES.values(), ids=CASES)
def test_ids(frames: list, cuts: tuple[int, ...], expected: list) -> None:
    assert ids(frames, *cuts) == expected


def test_frames_come_one_late_and_no_more() -> None:
    taken = 0

    def source():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield seen((0, SURE))

    told = follow(source(), [Scene(0, 100)])
    for number in range(1, 50):
        next(told)
        assert taken == number + 1


def test_the_source_is_read_to_its_end() -> None:
    """What counts the frames must hear that there are no more."""
    ended = []

    def source():
        yield seen((0, SURE))
        ended.append(True)

    assert len(list(follow(source(), [Scene(0, 1)]))) == 1
    assert ended


def test_overlap_of_boxes() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 5, 5]], np.float32)
    assert overlaps(first, second)[0].tolist() == pytest.approx([1, 50 / 150, 0, 25 / 100])


def test_speed_is_smoothed() -> None:
    track = Track("face", np.array([0, 0, 10, 10], np.float32), 0)
    track.extend(np.array([8, 0, 18, 10], np.float32), 2)  # 4 a frame
    track.extend(np.array([10, 0, 20, 10], np.float32), 3)  # 2 a frame: half way between is 3
    assert track.speed.tolist() == [3, 0]
    assert track.predicted(5).tolist() == [16, 0, 26, 10]
