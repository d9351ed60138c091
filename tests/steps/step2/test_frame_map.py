"""The frame map by itself: its compact form, its two directions, its edges."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from workflow_scripts.step2.stamps import missing_from
from workflow_scripts.stepkit.frame_map import (
    FrameMap,
    from_runs,
    proxy_frame_count,
    simplest_between,
    to_runs,
)

F = Fraction


@pytest.mark.parametrize(
    ("pts", "runs"),
    [
        ([7], [(1, 7, 0, 1)]),
        ([0, 1001, 2002, 3003], [(4, 0, 1001, 1)]),
        ([10, 52, 94, 135, 177], [(5, 10, 167, 4)]),  # 10 + 41.75k, rounded half up
        ([0, 40, 80, 1000, 1040], [(3, 0, 40, 1), (2, 1000, 40, 1)]),
        ([5, 5, 5], [(3, 5, 0, 1)]),
        ([-3, -2, -1], [(3, -3, 1, 1)]),
    ],
)
def test_time_stamps_are_written_as_few_runs(pts, runs):
    assert list(from_runs(runs)) == pts  # the expectation by itself
    assert to_runs(pts) == runs


def test_any_time_stamps_come_back_from_their_runs():
    chance = random.Random(5)
    for _ in range(300):
        steps = [chance.choice((chance.randrange(1, 60), 41, 42, 41)) for _ in range(chance.randrange(0, 80))]
        pts = [chance.randrange(-1000, 1000)]
        for step in steps:
            pts.append(pts[-1] + step)
        assert list(from_runs(to_runs(pts))) == pts


def test_two_hours_of_film_in_milliseconds_are_one_run():
    pts = [(2 * 1001 * 1000 * k + 24000) // (2 * 24000) for k in range(172_800)]
    assert to_runs(pts) == [(172_800, 0, 1001, 24)]


@pytest.mark.parametrize(
    ("low", "high", "simplest"),
    [(F(0), F(1), F(1, 2)), (F(3, 10), F(4, 10), F(1, 3)), (F(2), F(3), F(5, 2)), (F(1, 2), F(9, 2), F(1)), (F(31, 10), F(32, 10), F(19, 6))],
)  # fmt: skip
def test_the_simplest_fraction_between_two(low, high, simplest):
    assert simplest_between(low, high) == simplest


def test_both_directions_agree_for_every_frame():
    mapped = FrameMap(F(1, 30000), 500, [500 + 1001 * k for k in range(100)], 83)
    shown = {frame: mapped.original_index(frame) for frame in range(83)}
    for index in range(100):
        assert [frame for frame, original in shown.items() if original == index] == list(mapped.proxy_range(index))
    assert sum(len(mapped.proxy_range(index)) == 0 for index in range(100)) == 100 - len(set(shown.values())) > 0


def test_json_and_back():
    mapped = FrameMap(F(1, 1000), 3, [3, 40, 44, 900], 25)
    assert FrameMap.from_json(mapped.to_json()) == mapped
    with pytest.raises(ValueError, match="unknown frame map rule"):
        FrameMap.from_json({**mapped.to_json(), "rule": "speed"})


def test_a_missing_beginning_shows_the_first_frame_there_is():
    mapped = FrameMap(F(1, 25), 0, [5, 6], 10)
    assert [mapped.original_pts(frame) for frame in range(10)] == [5] * 6 + [6] * 4
    assert mapped.proxy_range(0) == range(6)


def test_a_time_finds_its_proxy_frame():
    mapped = FrameMap(F(1, 1000), 100, [100, 140, 180], 3)
    assert [mapped.proxy_frame_at(pts) for pts in (0, 100, 139, 140, 219, 5000)] == [0, 0, 0, 1, 2, 2]


@pytest.mark.parametrize("frame", [-1, 3])
def test_a_frame_outside_is_refused(frame):
    with pytest.raises(IndexError):
        FrameMap(F(1, 25), 0, [0, 1, 2], 3).original_pts(frame)


@pytest.mark.parametrize(
    ("end", "time_base", "frames"),
    [
        (1, F(1, 1000), 1),
        (1000, F(1, 1000), 25),
        (1020, F(1, 1000), 26),
        (1019, F(1, 1000), 25),
        (90090, F(1, 30000), 75),
    ],
)
def test_the_duration_decides_how_many_frames(end, time_base, frames):
    assert proxy_frame_count(0, end, time_base) == frames


def test_missing_frames_are_counted():
    assert missing_from([1, 2, 3, 4], [1, 3, 9]) == 2
