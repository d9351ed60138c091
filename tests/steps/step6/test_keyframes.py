"""Curves as keyframes: whatever the curve, straight lines between them pass every frame within the tolerance."""

from __future__ import annotations

import io
import json
import random
from bisect import bisect_right

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps.step6.exported import valid
from workflow_scripts.step6.keyframes import CURVES, Curve, Keyframes

places = st.floats(-1e6, 1e6, allow_nan=False)
curves = st.one_of(
    st.lists(places, min_size=1, max_size=60),
    st.lists(st.floats(0, 8), min_size=1, max_size=200),
    st.lists(st.integers(0, 3), min_size=1, max_size=200),
)
tolerances = st.floats(0.01, 50)


def value_at(keyframes, frame):
    """What an editor shows at a frame: linear between the keyframes around it, never beyond them."""
    frames = [key for key, _ in keyframes]
    after = bisect_right(frames, frame)
    (begin, first), (end, last) = keyframes[after - 1], keyframes[min(after, len(frames) - 1)]
    assert begin <= frame <= end
    return first if begin == end else first + (last - first) * (frame - begin) / (end - begin)


def keyframes_of(values, tolerance, decimals=1):
    curve = Curve(1, values[0], tolerance, decimals)
    for value in values[1:]:
        curve.add(value)
    curve.end()
    return curve, list(zip(curve.frames, curve.values, strict=True))


@settings(max_examples=300, deadline=None)
@given(curves, tolerances, st.integers(0, 6))
def test_every_value_is_met_within_the_tolerance(values, tolerance, decimals):
    curve, keyframes = keyframes_of(values, tolerance, decimals)
    errors = [abs(value_at(keyframes, frame) - value) for frame, value in enumerate(values, 1)]
    assert max(errors) <= tolerance
    assert curve.error == pytest.approx(max(errors), abs=1e-9)
    assert [keyframes[0][0], keyframes[-1][0]] == [1, len(values)]
    assert [frame for frame, _ in keyframes] == sorted({frame for frame, _ in keyframes})


def test_straight_lines_are_two_keyframes_and_a_corner_is_three():
    assert keyframes_of([5.0] * 1000, 0.5)[1] == [(1, 5.0), (1000, 5.0)]
    assert keyframes_of([0.5 * n for n in range(1000)], 0.01)[1] == [(1, 0.0), (1000, 499.5)]
    there_and_back = [*range(0, 100), *range(100, 0, -1)]
    assert len(keyframes_of([float(value) for value in there_and_back], 0.5)[1]) <= 4
    assert keyframes_of([3.14159], 0.5)[1] == [(1, 3.1)]


@pytest.mark.parametrize("seed", range(5))
def test_noise_within_the_tolerance_costs_no_keyframes(seed):
    """A straight walk, seen with noise of 0.4 pixels, at a tolerance of 1: a handful, not one a frame."""
    rnd = random.Random(seed)
    walk = [100 + 0.7 * frame + rnd.uniform(-0.4, 0.4) for frame in range(2000)]
    assert len(keyframes_of(walk, 1.0)[1]) <= 10


def shortest(values, tolerance):
    """The fewest straight pieces, joined or not, that pass every value within the tolerance: no way can do with fewer."""
    pieces, start = 1, 0
    for end in range(1, len(values)):
        low = max(
            (values[j] - values[i] - 2 * tolerance) / (j - i) for i in range(start, end) for j in range(i + 1, end + 1)
        )
        high = min(
            (values[j] - values[i] + 2 * tolerance) / (j - i) for i in range(start, end) for j in range(i + 1, end + 1)
        )
        if low > high:
            pieces, start = pieces + 1, end
    return pieces


@pytest.mark.parametrize("seed", range(3))
def test_keyframes_are_not_many_more_than_the_fewest_there_can_be(seed):
    rnd = random.Random(seed)
    values, speed = [500.0], 0.0
    for _ in range(150):
        speed += rnd.uniform(-1, 1)
        values.append(values[-1] + speed)
    fewest = shortest(values, 2.0)
    assert len(keyframes_of(values, 2.0)[1]) - 1 <= 3 * fewest


def stretches_of(frames, tolerance=1.0, cuts=()):
    """What becomes of the tracks of frames: for each, places by id."""
    keyframes = Keyframes(tolerance, 1, io.BytesIO(), frozenset(cuts))
    for number, objects in enumerate(frames, 1):
        keyframes.add(number, list(objects.items()))
    keyframes.end()
    return keyframes.summary(), list(keyframes.stretches())


sightings = st.lists(st.dictionaries(st.integers(1, 4), st.tuples(*[st.floats(0, 2000)] * 4)), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(sightings, tolerances, st.sets(st.integers(1, 40)))
def test_every_sighting_is_in_one_stretch_and_nothing_goes_over_a_gap_or_a_cut(frames, tolerance, cuts):
    summary, stretches = stretches_of(frames, tolerance, cuts)
    seen = {(track, number) for number, objects in enumerate(frames, 1) for track in objects}
    covered = [(it["id"], number) for it in stretches for number in range(it["first"], it["last"] + 1)]
    assert sorted(covered) == sorted(seen)  # each frame once, and none in which the track is not seen
    assert not [it for it in stretches for cut in cuts if it["first"] < cut <= it["last"]]
    errors = [0.0]
    for it in stretches:
        for number in range(it["first"], it["last"] + 1):
            values = frames[number - 1][it["id"]]
            errors += [abs(value_at(it[name], number) - value) for name, value in zip(CURVES, values, strict=True)]
    assert max(errors) <= tolerance
    assert summary["max_error"] == pytest.approx(max(errors), abs=1e-9)
    assert summary["values"] == 4 * len(seen)
    assert summary["keyframes"] == sum(len(it[name]) for it in stretches for name in CURVES)


def test_what_is_not_known_has_no_curve_and_one_place_of_a_track_counts():
    known, unknown = (1.0, 2.0, 3.0, 4.0), (1.0, None, 3.0, 4.0)
    _, stretches = stretches_of([{1: known}, {1: unknown}, {1: unknown}])
    assert [(it["first"], it["last"], "y" in it) for it in stretches] == [(1, 1, True), (2, 3, False)]
    twice = Keyframes(1.0, 1, io.BytesIO())
    twice.add(1, [(1, known), (1, (9.0, 9.0, 9.0, 9.0))])
    twice.end()
    assert [it["x"] for it in twice.stretches()] == [[[1, 1.0]]]


@pytest.mark.parametrize("value", [1e300, -2e6, 2**70])
def test_a_place_that_is_in_no_picture_is_an_error(value):
    with pytest.raises(ValueError, match="beyond"):
        Keyframes(1.0, 1, io.BytesIO()).add(1, [(1, (value, 0, 0, 0))])


def walker(track, frame):
    left = 10.0 + 2 * frame
    return {
        "id": track, "bbox": [left, 20, 30.4, 40], "centroid": [left + 15.2, 40.0], "source": "yunet", "label": "face",
        "confidence": 0.9,
    }  # fmt: skip


def test_the_file_has_them_with_what_they_cost(workplace):
    workplace.variables["STEP6_KEYFRAMES"] = "0.5"
    frames = 40
    workplace.write_source(frames)
    workplace.write_audio([(False, [])] * frames)
    workplace.write_tracking([[walker(7, frame)] if frame != 10 else [] for frame in range(1, frames + 1)])
    shots = [{"start_frame": 0, "end_frame": 20}, {"start_frame": 20, "end_frame": frames}]
    (workplace.docs / "clip_scenes.json").write_text(json.dumps({"scenes": shots}))
    assert workplace.run().returncode == 0
    made = valid("tracking", workplace.made("_tracking.json"))
    assert [(it["id"], it["first"], it["last"]) for it in made["curves"]] == [(7, 1, 9), (7, 11, 20), (7, 21, 40)]
    assert made["curves"][0]["x"] == [[1, 27.2], [9, 43.2]]
    assert made["curves"][0]["height"] == [[1, 40.0], [9, 40.0]]
    assert made["keyframes"] == {
        "tolerance": 0.5, "max_error": pytest.approx(0, abs=1e-9), "values": 4 * 39, "keyframes": 24, "reduction": 6.5,
    }  # fmt: skip
    without = {**made, "frames_analysis": []}
    del without["curves"]
    with pytest.raises(jsonschema.ValidationError):
        valid("tracking", without)
    before = (workplace.docs / "clip_tracking.json").read_bytes()
    workplace.run("--force")
    assert (workplace.docs / "clip_tracking.json").read_bytes() == before
    workplace.variables["STEP6_KEYFRAMES"] = "off"
    workplace.run()
    assert "keyframes" not in workplace.made("_tracking.json"), "another tolerance makes it anew"
