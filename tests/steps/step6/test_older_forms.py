"""Raw files as older versions wrote them: one object with a long array, in either form, read as a stream."""

from __future__ import annotations

import json
import time
import tracemalloc
from functools import partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps.step6.exported import valid
from workflow_scripts.step6 import sources
from workflow_scripts.step6.broken import BrokenInput
from workflow_scripts.step6.sources import read_source

OLDER = {
    "id": 7, "centroid_x": 25.17, "centroid_y": 40.04, "source": "yunet", "label": "face", "confidence": 0.91236,
    "active_speakers": ["SPEAKER_00"], "bbox_width": 30.26, "bbox_height": 40,
}  # fmt: skip
FACTS = {"video_filename": "old.mp4", "total_frames": 2, "fps": 25}


def reduced(workplace):
    assert workplace.run().returncode == 0
    return valid("tracking", workplace.made("_tracking.json"))["frames_analysis"]


def write_older(workplace, tracking, audio=None, name="clip_tracking_raw.json"):
    (workplace.docs / "clip_tracking_raw.jsonl").unlink()
    (workplace.docs / name).write_text(tracking)
    workplace.write_source(2)
    workplace.write_audio([(False, [])] * 2)
    if audio:
        (workplace.docs / "clip_audio_raw.json").write_text(audio)


@pytest.mark.parametrize("name", ["clip_tracking_raw.json", "clip_tracking_raw.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "around",
    [
        lambda frames: {**FACTS, "frames_analysis": frames},
        lambda frames: {"frames": frames, **FACTS},
        lambda frames: {"metadata": FACTS, "note": {"frames": [1], "x": '"frames": ['}, "frames": frames},
    ],
)
def test_an_object_with_tracked_objects(workplace, around, indent, name):
    frames = [{"frame": 1, "tracked_objects": [OLDER]}, {"frame": 2, "tracked_objects": []}]
    write_older(workplace, json.dumps(around(frames), indent=indent), name=name)
    assert reduced(workplace) == [
        {
            "frame": 1,
            "tracked_objects": [
                {
                    "id": 7, "centroid_x": 25.2, "source": "yunet", "label": "face", "confidence": 0.9124,
                    "active_speakers": ["SPEAKER_00"], "bbox_width": 30.3, "bbox_height": 40,
                }
            ],
        },
        {"frame": 2, "tracked_objects": []},
    ]  # fmt: skip


def test_what_step6_wrote_is_read_again(workplace):
    workplace.run()
    before = {suffix: (workplace.docs / f"clip{suffix}").read_bytes() for suffix in ("_audio.json", "_tracking.json")}
    (workplace.docs / "clip_tracking_raw.jsonl").unlink()
    (workplace.docs / "clip_tracking_raw.json").write_bytes(before["_tracking.json"])
    (workplace.docs / "clip_audio_raw.json").write_bytes(before["_audio.json"])
    assert workplace.run().returncode == 0
    assert {suffix: (workplace.docs / f"clip{suffix}").read_bytes() for suffix in before} == before


def test_audio_info_and_facts_that_come_last(workplace):
    frames = [
        {"frame": 1, "audio_info": {"is_speech_present": True, "active_speaker_labels": ["B", "A", "B"], "more": 1}},
        {"frame": 2, "audio_info": {"is_speech_present": False, "active_speaker_labels": []}},
    ]
    tracking = json.dumps({"frames": [{"frame": n, "objects": []} for n in (1, 2)], "fps": 25.0})
    write_older(workplace, tracking, json.dumps({"frames_analysis": frames, "fps": 25}))
    assert reduced(workplace) == [{"frame": n, "tracked_objects": []} for n in (1, 2)]
    made = valid("audio", workplace.made("_audio.json"))
    assert (made["video_filename"], made["total_frames"]) == ("clip.mp4", 2)
    assert made["frames_analysis"][0]["audio_info"]["active_speaker_labels"] == ["B", "A"]


# --- broken ones, with their bytes

WHOLE = '{"fps": 25, "frames": [{"frame": 1, "objects": []}, {"frame": 2, "objects": []}], "total_frames": 2}'


def broken(tmp_path, text):
    """What is said of a document, read to its end."""
    path = tmp_path / "clip_tracking_raw.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BrokenInput) as caught:
        list(read_source(path).frames(lambda part, number: msgspec.json.decode(part)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [  # the place to be named is before the sign ^
        ("}, {", "}^ {", "a comma"),
        ("}, {", "}^,, {", "a comma"),
        ("[{", "[^,{", "a comma"),
        ("}],", "}^,],", "a comma"),
        ("}, {", "}^, 5, {", "a comma"),
        ("[]}], ", "[]}^", "a comma"),
        ('}], "total_frames": 2}', "^", "it ends within a frame"),
        ("[]}, ", "[^}, ", "invalid character"),
        ('"total_frames": 2}', '"total_frames": ^NaN}', "invalid character"),
        ('"fps": 25', '"fps": n^ope', "invalid character"),
        ("2}", "2^", "truncated"),
        ("2}", "2} ^x", "trailing characters"),
    ],
)
def test_a_broken_document_is_named_with_its_byte(tmp_path, old, new, reason):
    marked = new.join(WHOLE.rsplit(old, 1))
    said = broken(tmp_path, marked.replace("^", ""))
    assert reason in said
    assert f"byte {marked.index('^')}: " in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "byte 0: Input data was truncated"),
        ('{"inner": {"frames": []}}', "neither frames_analysis nor frames"),
        ('{"frames": []}', "it must say total_frames and fps"),
        (WHOLE.replace('frames": 2', 'frames": 3'), "it announces 3 frames and holds 2"),
        (WHOLE.replace('frames": 2', 'frames": 1'), "it announces 1 frames and holds 2"),
        (WHOLE.replace("25", '"25"'), "got `str` - at `$.fps`"),
        (WHOLE.encode().replace(b"objects", b"\xff"), "not UTF-8"),
    ],
)
def test_a_document_that_says_too_little_or_wrong(tmp_path, text, reason):
    assert reason in broken(tmp_path, text)


def test_a_frame_without_an_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_PART", 3_000_000)
    assert "no frame is longer than" in broken(tmp_path, '{"fps": 25, "frames": [{"a": [' + "1," * 3_000_000)
    path = tmp_path / "clip_tracking_raw.jsonl"
    path.write_text('{"fps": 25, "total_frames": 1}\n{"frame": 1, "objects": [' + " " * 4_000_000)
    with pytest.raises(BrokenInput, match="no line is longer than"):
        list(read_source(path).parts())


def test_what_is_no_frame_is_named_without_reading_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_PART", 1_000_000)
    said = broken(tmp_path, WHOLE.replace("}, {", "}, oops {", 1) + " " * 3_000_000)
    assert f"byte {WHOLE.index('}, {') + 1}: an object, a comma" in said


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [' + '{"frames":[1]},' * 280_000 + '{}], "fps": 25, "frames": []}',
        '{"a": [' + "[" * 2_000_000 + "]" * 2_000_000 + '], "fps": 25, "frames": []}',
        '{"a": "' + '\\"' * 2_000_000 + '", "fps": 25, "frames": []}',
        '{"fps": 25, "frames": [' + " " * 4_000_000 + "]}",
    ],
    ids=["keys further in", "brackets", "escapes", "spaces"],
)
def test_four_megabytes_of_anything_are_looked_through_in_seconds(tmp_path, text):
    path = tmp_path / "clip_tracking_raw.json"
    path.write_text(text)
    begun = time.process_time()
    if "[[" in text:
        assert "nested too deeply" in broken(tmp_path, text)
    else:
        assert read_source(path).total_frames == 0
    assert time.process_time() - begun < 30


@pytest.mark.parametrize(
    "content", ['"a",' * 250_000, '"' + "\\n" * 500_000 + '",', "{}," * 100_000], ids=["strings", "escapes", "braces"]
)
def test_a_frame_takes_memory_for_its_own_text_alone(tmp_path, monkeypatch, content):
    monkeypatch.setattr(sources, "LARGEST_PART", 2_000_000)
    path = tmp_path / "clip_tracking_raw.json"
    path.write_text('{"fps": 25, "frames": [{"a": [' + content + "0]}]}")
    tracemalloc.start()
    try:
        assert len(list(read_source(path).parts())) == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("key", ['x\\"frames', "frame", "Frames", "frames "])
def test_a_key_that_is_almost_the_frames_own(tmp_path, key):
    path = tmp_path / "clip_tracking_raw.json"
    path.write_text('{"KEY": [1, "frames"], "fps": 25, "frames_analysis" :\n [{"frame": 1}]}'.replace("KEY", key))
    assert [part.text for part in read_source(path).parts()] == [b'{"frame": 1}']


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    frames=st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=6),
    block=st.integers(1, 50),
    write=st.sampled_from([json.dumps, partial(json.dumps, indent=1), partial(json.dumps, ensure_ascii=False)]),
    before=st.dictionaries(st.sampled_from(["a", "b"]), values),
)
def test_any_document_is_split_into_its_frames_however_it_is_read(tmp_path_factory, frames, block, write, before):
    path = tmp_path_factory.mktemp("documents") / "clip_tracking_raw.json"
    text = write({**before, "frames": frames, "fps": 25})
    try:
        path.write_text(text, encoding="utf-8")
    except UnicodeEncodeError:
        return  # half of a pair of surrogates, which no file holds
    kept, sources._BLOCK = sources._BLOCK, block
    try:
        parts = list(read_source(path).parts())
    finally:
        sources._BLOCK = kept
    assert [json.loads(part.text) for part in parts] == frames
    assert all(path.read_bytes()[part.offset :].startswith(part.text) for part in parts)
