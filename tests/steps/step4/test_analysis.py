"""From turns to frames, in tables: expectations by hand."""

from __future__ import annotations

import pytest

from workflow_scripts.step4.analysis import Run, frame_runs, smoothed
from workflow_scripts.step4.records import Passage, Speech, Turn, in_order_of_appearance

A, B = "A", "B"


@pytest.mark.parametrize(
    ("turns", "gap", "least", "expected"),
    [
        ([(0, 100, A), (200, 300, A)], 100, 0, [(0, 300, A)]),
        ([(0, 100, A), (201, 300, A)], 100, 0, [(0, 100, A), (201, 300, A)]),
        ([(0, 100, A), (50, 80, A)], 0, 0, [(0, 100, A)]),
        ([(200, 300, A), (0, 100, A)], 100, 0, [(0, 300, A)]),
        ([(0, 100, A), (150, 250, B), (260, 300, A)], 200, 0, [(0, 300, A), (150, 250, B)]),
        ([(0, 100, None), (120, 200, None)], 20, 0, [(0, 200, None)]),
        ([(0, 40, A), (100, 250, A)], 0, 50, [(100, 250, A)]),
        ([(0, 40, A), (60, 90, A)], 20, 90, [(0, 90, A)]),
        ([(50, 50, A)], 0, 0, []),
    ],
)
def test_pauses_are_filled_then_blips_are_dropped(
    turns: list[tuple[int, int, str | None]], gap: int, least: int, expected: list[tuple[int, int, str | None]]
) -> None:
    assert smoothed([Turn(*turn) for turn in turns], gap, least) == [Turn(*turn) for turn in expected]


@pytest.mark.parametrize(
    ("turns", "frames", "expected"),
    [
        ([], 3, [(0, 3, False, ())]),
        # Frame n covers 40 n to 40 n + 40 ms; its middle decides: 20, 60, 100 …
        ([(20, 60, A)], 3, [(0, 1, True, (A,)), (1, 3, False, ())]),
        ([(21, 61, A)], 3, [(0, 1, False, ()), (1, 2, True, (A,)), (2, 3, False, ())]),
        ([(0, 120, A), (40, 80, B)], 3, [(0, 1, True, (A,)), (1, 2, True, (A, B)), (2, 3, True, (A,))]),
        ([(0, 40, None)], 2, [(0, 1, True, ()), (1, 2, False, ())]),
        ([(60, 10_000, A)], 3, [(0, 1, False, ()), (1, 3, True, (A,))]),
        ([(1000, 2000, A)], 3, [(0, 3, False, ())]),
    ],
)
def test_a_frame_has_the_speakers_of_its_middle(
    turns: list[tuple[int, int, str | None]], frames: int, expected: list[tuple[int, int, bool, tuple[str, ...]]]
) -> None:
    assert list(frame_runs([Turn(*turn) for turn in turns], frames)) == [Run(*run) for run in expected]


def test_speakers_are_named_in_order_of_appearance() -> None:
    speech = Speech(
        turns=(Turn(500, 600, "x"), Turn(0, 100, "y"), Turn(700, 800, None)),
        words=(Passage(0, 100, "hello", "y"), Passage(900, 950, "gone", "z")),
    )
    named = in_order_of_appearance(speech)
    assert [turn.speaker for turn in named.turns] == ["SPEAKER_00", "SPEAKER_01", None]
    assert [word.speaker for word in named.words] == ["SPEAKER_00", None]
