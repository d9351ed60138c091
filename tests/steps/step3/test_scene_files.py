"""The files' text for shots and curves written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from workflow_scripts.step3.scene_files import Seen, csv_text, document, permille, probabilities, run_lengths, seen_of
from workflow_scripts.step3.shots import Shot, Transition

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs/schemas/scenes.json").read_text())
SHOTS = [Shot(0, 26, None), Shot(26, 27, Transition(26, 0.9, 25, 25)), Shot(27, 90_001, Transition(27, 0.51, 26, 40))]


def test_the_csv_counts_from_one_and_gives_the_times_of_both_frames():
    assert csv_text(SHOTS) == (
        "No,Timecode In,Timecode Out,Frame In,Frame Out\n"
        "1,00:00:00.000,00:00:01.000,1,26\n"
        "2,00:00:01.040,00:00:01.040,27,27\n"
        "3,00:00:01.080,01:00:00.000,28,90001\n"
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [([0], "0"), ([0, 0, 0], "0*3"), ([0] * 39 + [992, 4] + [0] * 2, "0*39 992 4 0*2"), ([1000, 1000], "1000*2")],
)
def test_run_lengths(values, text):
    assert run_lengths(np.array(values)) == text


def test_thousandths_compare_with_a_threshold_as_it_is_written():
    kept = permille(np.array([0.39949, 0.4004, 0.4006, 1.0], np.float32))
    assert kept.tolist() == [399, 400, 401, 1000]
    assert (probabilities(kept) > 0.4).tolist() == [False, False, True, True]
    assert all(probabilities(np.array([value]))[0] == float(f"0.{value:03}") for value in range(1000))


def test_the_document_follows_its_schema():
    about = {
        "model": {"name": "transnetv2", "sha256": "0" * 64},
        "parameters": {"threshold": 0.5, "min_scene_frames": 1},
    }
    curve = np.zeros(90_001, np.int64)
    made = document('é "1".mp4', SHOTS, Seen({"single_frame": curve, "many_hot": curve}), about)
    assert "damaged" not in made
    jsonschema.Draft202012Validator(SCHEMA).validate(made)
    assert made["total_frames"] == 90_001
    assert made["scenes"][0] == {"start_frame": 0, "end_frame": 26, "transition_in": {"type": "start"}}
    assert made["scenes"][2]["transition_in"] == {
        "type": "gradual", "confidence": 0.51, "first_frame": 26, "last_frame": 40
    }  # fmt: skip


def test_what_was_seen_comes_back_out_of_the_document():
    about = {
        "model": {"name": "transnetv2", "sha256": "0" * 64},
        "parameters": {"threshold": 0.5, "min_scene_frames": 1},
    }
    curve = np.zeros(90_001, np.int64)
    curve[26] = 900
    made = document("a.mp4", SHOTS, Seen({"single_frame": curve, "many_hot": curve * 0}, [(3, 4), (900, 1000)]), about)
    jsonschema.Draft202012Validator(SCHEMA).validate(made)
    seen = seen_of(json.loads(json.dumps(made)))
    assert list(seen.damaged) == [(3, 4), (900, 1000)]
    np.testing.assert_array_equal(seen.curves["single_frame"], curve)
    np.testing.assert_array_equal(seen.curves["many_hot"], curve * 0)
