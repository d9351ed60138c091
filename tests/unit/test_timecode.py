"""Timecodes: every label of a day, counted out by hand; and what is none."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.frame_map import FrameMap
from workflow_scripts.stepkit.original import read_original
from workflow_scripts.stepkit.timecode import Timecode, nominal_rate

F = Fraction


def labels(nominal: int, left_out: int, minutes: int) -> list[str]:
    """Every label in order, by the words of SMPTE ST 12-1: which numbers are left out, and when."""
    return [
        f"{minute // 60:02d}:{minute % 60:02d}:{second:02d};{frame:02d}"
        for minute in range(minutes)
        for second in range(60)
        for frame in range(nominal)
        if not (minute % 10 and second == 0 and frame < left_out)
    ]


@pytest.mark.parametrize(("nominal", "left_out"), [(30, 2), (60, 4)])
def test_drop_frame_names_every_frame_of_an_hour_and_more(nominal: int, left_out: int) -> None:
    expected = labels(nominal, left_out, 71)
    assert [str(Timecode(number, nominal, drop_frame=True)) for number in range(len(expected))] == expected
    assert [Timecode.parse(label, nominal).number for label in expected] == list(range(len(expected)))


@pytest.mark.parametrize(
    ("number", "text"),
    # Widely published: the first minute's end, ten minutes, an hour, a day's last frame.
    [(1799, "00:00:59;29"), (1800, "00:01:00;02"), (17_982, "00:10:00;00"), (107_892, "01:00:00;00"), (2_589_407, "23:59:59;29")],
)  # fmt: skip
def test_known_drop_frame_timecodes(number: int, text: str) -> None:
    assert str(Timecode(number, 30, drop_frame=True)) == text
    assert Timecode.parse(text, 30) == Timecode(number, 30, drop_frame=True)


@pytest.mark.parametrize(("nominal", "last"), [(24, "23:59:59:23"), (25, "23:59:59:24"), (60, "23:59:59:59"), (120, "23:59:59:119")])  # fmt: skip
def test_a_day_ends_and_begins_anew(nominal: int, last: str) -> None:
    end = Timecode.parse(last, nominal)
    assert end.number == end.day - 1
    assert (end + 1).number == 0
    assert (end + 3).frames_since(end) == 3
    assert str(end) == last


@pytest.mark.parametrize(
    "text", ["", "10:00:00", "1:2:3:4:5", "24:00:00:00", "00:60:00:00", "00:00:60:00", "00:00:00:30", "00:01:00;00", "aa:00:00:00", "-1:00:00:00"]
)  # fmt: skip
def test_what_is_no_timecode_at_thirty_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Timecode.parse(text, 30)


@pytest.mark.parametrize("nominal", [24, 25, 50])
def test_drop_frame_is_for_thirty_and_sixty(nominal: int) -> None:
    with pytest.raises(ValueError, match="no drop-frame"):
        Timecode.parse("00:00:00;00", nominal)


@pytest.mark.parametrize(("rate", "nominal"), [(F(24000, 1001), 24), (F(30000, 1001), 30), (F(87169000, 2905633), 30), (F(1, 3), 1)])  # fmt: skip
def test_a_timecode_counts_whole_frames(rate: Fraction, nominal: int) -> None:
    assert nominal_rate(rate) == nominal


def source_json(folder: Path, pts: list[int], timecode: str | None, rate: str | None) -> Path:
    mapped = FrameMap(F(1, 1000), pts[0], pts, 25)
    original = {"name": "a.mov", "start_timecode": timecode, "timecode_rate": rate, "video": {"rate": "50/1", "variable_rate": False}}  # fmt: skip
    path = folder / "a_source.json"
    path.write_text(json.dumps({"original": original, "frame_map": mapped.to_json()}))
    return path


def test_two_frames_may_share_a_timecode(tmp_path: Path) -> None:
    """50 fps under a timecode that counts 25, with the time stamps of a matroska that begins late."""
    original = read_original(source_json(tmp_path, [500 + 20 * k for k in range(50)], "10:00:00:24", "25/1"))
    assert original.start is not None
    assert [str(original.timecode(frame)) for frame in (0, 1, 2)] == ["10:00:00:24", "10:00:01:00", "10:00:01:01"]
    assert [original.proxy_range(original.start + n) for n in (0, 1, 24, 25)] == [range(1), range(1, 2), range(24, 25), range(0)]  # fmt: skip
    assert original.seconds(24) == F(48, 50)


def test_a_hole_moves_no_timecode_behind_it(tmp_path: Path) -> None:
    original = read_original(source_json(tmp_path, [0, 40, 80, 400, 440], "00:00:00:00", "25/1"))
    assert str(original.timecode(10)) == "00:00:00:10"
    assert original.proxy_range(Timecode.parse("00:00:00:05", 25)) == range(0)


def test_an_original_without_timecode_has_times_only(tmp_path: Path) -> None:
    original = read_original(source_json(tmp_path, [0, 40], None, None))
    assert original.timecode(0) is None
    assert original.proxy_range(Timecode(0, 25)) == range(0)
    assert original.seconds(1) == F(40, 1000)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"original": null}'])
def test_a_damaged_document_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "a_source.json").write_text(text)
    with pytest.raises(ItemError) as error:
        read_original(tmp_path / "a_source.json")
    assert error.value.code == "no_source_facts"
