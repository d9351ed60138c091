"""Inputs that are missing or broken: named, with the place, and nothing is left of the reduction."""

from __future__ import annotations

import json

import pytest

FRAME_2 = b'{"frame": 2, "objects": []}\n'


def _offset_of_frame_2(workplace):
    return (workplace.docs / "clip_tracking_raw.jsonl").read_bytes().index(FRAME_2)


def _nothing_is_left(workplace):
    names = {path.name for path in workplace.docs.iterdir()}
    assert not names & {"clip_audio.json", "clip_tracking.json"}
    leftovers = [path for path in (workplace.docs.parent / ".derush").rglob("*") if path.suffix in (".json", ".jsonl")]
    assert [path for path in leftovers if path.name != "clip.json"] == []


@pytest.mark.parametrize(
    ("line", "within", "reason"),
    [
        (b'{"frame": 2, "objects": [}\n', 25, "invalid character"),
        (b'{"frame": 2, "objects": []\n', 27, "truncated"),
        (b'{"frame": 2, "objects": [{"id": NaN}]}\n', 32, "invalid character"),
        (b'{"frame": 2, "objects": [], "kept": [-Infinity]}\n', 38, "invalid character"),
        (b'{"frame": 2, "name": "\xff"}\n', 22, "not UTF-8"),
        (b'{"frame": 2, "objects": [{"id": "a\xc3"}]}\n', 34, "not UTF-8"),
        (b'{"frame": 2}\n', 0, "it must say which objects were seen"),
        (b'{"frame": 3, "objects": []}\n', 0, "frame 3 stands where 2 belongs"),
        (b'{"frame": 2.0, "objects": []}\n', 0, "got `float` - at `$.frame`"),
        (b"[]\n", 0, "Expected `object`, got `array`"),
        (b"\n", 1, "truncated"),
        (
            b'{"frame": 2, "objects": [{"id": 1, "bbox": [0, 0, 1e999, 1], "centroid": [0, 0], "source": "s", '
            b'"label": null, "confidence": null}]}\n',
            0,
            "Number out of range - at `$.objects[0].bbox[2]`",
        ),
        (b'{"frame": 2, "deep": ' + b"[" * 100_000 + b"\n", 0, "nested too deeply"),
    ],
)
def test_a_broken_line_is_named_with_its_byte(workplace, line, within, reason):
    offset = _offset_of_frame_2(workplace)
    workplace.replace("clip_tracking_raw.jsonl", lambda raw: raw.replace(FRAME_2, line))
    assert workplace.run().returncode == 1
    error = workplace.failure()
    assert error["code"] == "broken_tracking_raw"
    assert f"line 3, byte {offset + within}: " in error["message"]
    assert reason in error["message"]
    assert "STEP5" in error["remedy"]
    _nothing_is_left(workplace)


def test_a_file_that_ends_between_two_lines_is_noticed(workplace):
    size = _offset_of_frame_2(workplace) + len(FRAME_2)
    workplace.replace("clip_tracking_raw.jsonl", lambda raw: raw[:size])
    assert workplace.run().returncode == 1
    assert f"line 3, byte {size}: it announces 3 frames and holds 2" in workplace.failure()["message"]
    _nothing_is_left(workplace)


@pytest.mark.parametrize(
    ("header", "byte"),
    [
        (b"", 0),
        (b"nonsense", 4),
        (b'{"fps": 25}', 0),
        (b'{"fps": 0, "total_frames": 3}', 0),
        (b'{"fps": 25, "total_frames": "3"}', 0),
    ],
)
def test_a_header_that_is_none_is_named(workplace, header, byte):
    workplace.replace("clip_tracking_raw.jsonl", lambda _: header)
    assert workplace.run().returncode == 1
    assert f"line 1, byte {byte}: " in workplace.failure()["message"]


@pytest.mark.parametrize("cut", [5, 150, 90_000])
def test_a_cut_audio_file_is_named_with_its_length(workplace, cut):
    workplace.write_audio([(False, [])] * 3000)
    workplace.replace("clip_audio_raw.json", lambda raw: raw[:cut])
    assert workplace.run().returncode == 1
    error = workplace.failure()
    assert error["code"] == "broken_audio_raw"
    assert f"byte {cut}: " in error["message"]
    assert "STEP4" in error["remedy"]
    _nothing_is_left(workplace)


@pytest.mark.parametrize("frame", [2, 2500])
def test_nan_in_the_audio_file_is_named_with_its_byte(workplace, frame):
    raw = workplace.write_audio([(False, [])] * 3000).read_bytes()
    at = raw.index(b'"frame": %d,' % frame) + len(b'"frame": ')
    workplace.replace("clip_audio_raw.json", lambda raw: raw[:at] + b"NaN" + raw[at:])
    assert workplace.run().returncode == 1
    assert f"byte {at}: " in workplace.failure()["message"]


def test_audio_that_holds_fewer_frames_than_it_announces(workplace):
    workplace.write_audio([(False, [])] * 3, total_frames=4)
    assert workplace.run().returncode == 1
    assert "it announces 4 frames and holds 3" in workplace.failure()["message"]


def test_audio_without_its_facts(workplace):
    workplace.replace("clip_audio_raw.json", lambda _: b'{"frames_analysis": []}')
    assert workplace.run().returncode == 1
    assert "it must say total_frames and fps" in workplace.failure()["message"]


@pytest.mark.parametrize(("suffix", "step"), [("_audio_raw.json", "STEP4"), ("_tracking_raw.jsonl", "STEP5")])
def test_a_missing_input_names_the_step_to_run(workplace, suffix, step):
    (workplace.docs / f"clip{suffix}").unlink()
    assert workplace.run().returncode == 1
    error = workplace.failure()
    assert error["code"] == "missing_input"
    assert step in error["remedy"]
    _nothing_is_left(workplace)


def test_one_bad_video_does_not_stop_the_others(workplace):
    for path in list(workplace.docs.iterdir()):
        (workplace.docs / path.name.replace("clip", "other", 1)).write_bytes(path.read_bytes())
    workplace.replace("clip_tracking_raw.jsonl", lambda _: b"{")
    assert workplace.run().returncode == 1
    assert workplace.events()[-1]["totals"] == {"failed": 1, "done": 1}
    assert json.loads((workplace.docs / "other_tracking.json").read_text())["total_frames"] == 3
