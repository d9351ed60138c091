"""What is whole of a raw tracking that breaks off can be taken, and the file says so."""

from __future__ import annotations

import pytest

from tests.steps.step6.conftest import PERSON
from tests.steps.step6.exported import valid

RAW = "clip_tracking_raw.jsonl"


def write_frames(workplace, frames):
    workplace.write_source(frames)
    workplace.write_audio([(False, [])] * frames)
    return workplace.write_tracking([[PERSON]] * frames)


def salvaged(workplace, *arguments):
    assert workplace.run("--salvage", *arguments).returncode == 0
    return valid("tracking", workplace.made("_tracking.json"))


@pytest.mark.parametrize(
    ("cut", "frames", "reason"),
    [
        (lambda raw: raw[:-10], 39, "truncated"),
        (lambda raw: raw[: raw.index(b'{"frame": 40')], 39, "it ends between two lines"),
        (lambda raw: raw[: raw.index(b'{"frame": 31')] + b"\0" * 4096, 30, "line 32, byte"),
        (lambda raw: raw[: raw.index(b'{"frame": 2,') + 3], 1, "line 3, byte"),
    ],
)
def test_what_is_whole_is_taken_and_the_rest_is_named(workplace, cut, frames, reason):
    write_frames(workplace, 40)
    workplace.replace(RAW, cut)
    assert workplace.run().returncode == 1
    assert "--salvage" in workplace.failure()["remedy"]
    made = salvaged(workplace)
    assert [frame["frame"] for frame in made["frames_analysis"]] == list(range(1, frames + 1))
    assert made["total_frames"] == made["salvaged"]["frames"] == frames
    assert made["salvaged"]["announced"] == 40
    assert reason in made["salvaged"]["reason"]
    [said] = [event for event in workplace.events() if event["event"] == "warning" and event["code"] == "salvaged"]
    assert f"{frames} of 40 frames" in said["message"]
    assert made["temporal_alignment"]["aligned"] is (frames >= 38)


def test_what_was_salvaged_stays_until_it_is_tracked_again(workplace):
    raw = write_frames(workplace, 40)
    whole = raw.read_bytes()
    raw.write_bytes(whole[:-10])
    salvaged(workplace)
    assert workplace.run().returncode == 0
    assert workplace.events()[-1]["totals"] == {"up_to_date": 1}
    raw.write_bytes(whole)
    assert workplace.run().returncode == 0
    assert "salvaged" not in workplace.made("_tracking.json")


def test_a_whole_file_is_what_it_is_without_the_option(workplace):
    assert workplace.run().returncode == 0
    before = (workplace.docs / "clip_tracking.json").read_bytes()
    salvaged(workplace, "--force")
    assert (workplace.docs / "clip_tracking.json").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.replace(b'{"frame": 2,', b'{"frame": ?,'),  # in the middle
        lambda raw: raw[: raw.index(b'{"frame": 1,') + 5],  # nothing is whole
        lambda raw: raw + raw.splitlines()[-1] + b"\n",  # more frames than announced
    ],
)
def test_what_does_not_merely_end_too_early_is_broken_all_the_same(workplace, damage):
    write_frames(workplace, 3)
    workplace.replace(RAW, damage)
    assert workplace.run("--salvage").returncode == 1
    assert workplace.failure()["code"] == "broken_tracking_raw"
    assert not (workplace.docs / "clip_tracking.json").exists()
