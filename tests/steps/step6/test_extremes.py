"""Numbers, names and sizes at the edge: exact, or a clear error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps.step6.conftest import FACE
from tests.steps.step6.exported import valid
from workflow_scripts.step6.audio import AudioReduction
from workflow_scripts.step6.layout import Layout
from workflow_scripts.step6.tracking import Reduction, read_objects


def objects(workplace):
    assert workplace.run().returncode == 0
    return valid("tracking", workplace.made("_tracking.json"))["frames_analysis"][0]["tracked_objects"]


@pytest.mark.parametrize("track", [2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64 + 1, 2**70, "2⁵³", "", "\x7f\x00\n"])
def test_an_id_is_exact(workplace, track):
    workplace.write_tracking([[{**FACE, "id": track}], [], []])
    assert [seen["id"] for seen in objects(workplace)] == [track]


@pytest.mark.parametrize("track", [1.0, None, True, [1]])
def test_an_id_that_is_none_is_an_error(workplace, track):
    workplace.write_tracking([[{**FACE, "id": track}], [], []])
    assert workplace.run().returncode == 1
    assert "Expected `int | str`" in workplace.failure()["message"]


@pytest.mark.parametrize(
    ("number", "kept"), [(1e16, 1e16), (1e300, 1e300), (5e-324, 0.0), (-0.0, 0.0), (2**70, 2**70), (0.05, 0.1)]
)
def test_a_number_is_the_nearest_of_its_precision(workplace, number, kept):
    workplace.write_tracking([[{**FACE, "bbox": [0, 0, abs(number), 1]}], [], []])
    [seen] = objects(workplace)
    assert (seen["bbox_width"], type(seen["bbox_width"])) == (kept, type(kept))


@pytest.mark.parametrize("name", ["fps", "total_frames"])
@pytest.mark.parametrize(("write", "code"), [("audio", "broken_audio_raw"), ("tracking", "broken_tracking_raw")])
def test_facts_that_no_arithmetic_can_hold(workplace, write, code, name):
    if write == "audio":
        workplace.write_audio([(False, [])] * 3, **{name: 10**400})
    else:
        workplace.write_tracking([[], [], []], **{name: 10**400})
    assert workplace.run().returncode == 1
    assert workplace.failure()["code"] == code
    assert "fps from 0.001 to 10000" in workplace.failure()["message"]


@pytest.mark.parametrize("fps", [-25, 1e-9, 10_001])
def test_a_rate_that_no_video_has(workplace, fps):
    workplace.write_tracking([[], [], []], fps=fps)
    assert workplace.run().returncode == 1
    assert "fps from 0.001 to 10000" in workplace.failure()["message"]


@pytest.mark.parametrize("confidence", [10**400, -(10**400), 1e300], ids=["long", "negative", "large"])
def test_a_confidence_that_no_arithmetic_can_hold(workplace, confidence):
    workplace.variables["STEP6_MIN_TRACK_CONFIDENCE"] = "0.5"
    workplace.write_tracking([[], [{**FACE, "confidence": confidence}], []])
    assert workplace.run().returncode == 1
    assert workplace.failure()["code"] == "broken_tracking_raw"
    assert "line 3" in workplace.failure()["message"]
    assert "`$.objects[0].confidence`" in workplace.failure()["message"]


@pytest.mark.parametrize("compared", ["STEP6_MIN_TRACK_FRAMES", "STEP6_KEYFRAMES", None])
def test_ten_thousand_tracks(workplace, compared):
    """Ten thousand tracks, a hundred at a time, each in three frames."""
    frames = 300
    seen = [[{**FACE, "id": 100 * (frame // 3) + track} for track in range(100)] for frame in range(frames)]
    if compared:
        workplace.variables[compared] = "3"
    workplace.write_source(frames)
    workplace.write_audio([(False, [])] * frames)
    workplace.write_tracking(seen)
    assert workplace.run().returncode == 0
    made = workplace.made("_tracking.json")
    ids = [it["id"] for frame in made["frames_analysis"] for it in frame["tracked_objects"]]
    assert ids == [it["id"] for objects in seen for it in objects]
    assert len(set(ids)) == 10_000
    assert len(made.get("curves", [])) == (10_000 if compared == "STEP6_KEYFRAMES" else 0)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    label=texts | st.none(), track=st.integers() | texts, indent=st.integers(0, 3), voices=st.lists(texts, max_size=2)
)
def test_any_text_is_read_back_as_it_was(label, track, indent, voices):
    raw = {**FACE, "id": track, "label": label, "active_speakers": voices}
    line = json.dumps({"frame": 1, "objects": [raw]}).encode()
    [seen] = read_objects(line, 1)
    encoded = Layout(indent).element(Reduction().reducer()(seen))
    assert encoded.isascii()
    made = json.loads(encoded)
    assert (made["id"], made["label"], made["active_speakers"]) == (track, label, voices)


def test_half_a_pair_of_surrogates_is_an_error(workplace):
    workplace.write_tracking([[{**FACE, "label": "\ud800"}], [], []])
    assert workplace.run().returncode == 1
    assert "surrogate" in workplace.failure()["message"]


@pytest.mark.parametrize("fps", [23.976, 25, 59.94, 0.001])
def test_a_frame_begins_where_its_rate_says(fps):
    text = json.dumps({"frame": 10, "is_speech_present": True, "active_speaker_labels": []}).encode()
    info = AudioReduction("clip.mp4").frame(text, 10, fps)["audio_info"]
    assert info["timecode_sec"] == pytest.approx(9 / fps, abs=1e-6)
