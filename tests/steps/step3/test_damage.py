"""Damaged proxies: what can be decoded is used, under the right numbers, and the rest is told.

Where the bytes of which frame are is not known here: which frames can be decoded is asked of ffmpeg by another listing, and
cuts of what lies before and behind the damage must stand where the footage was spliced.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path

import imageio_ffmpeg
import jsonschema
import pytest

from workflow_scripts.step3.footage import Damage, Footage, exactly, filled
from workflow_scripts.stepkit import ItemError

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs/schemas/scenes.json").read_text())
FFMPEG = Path(imageio_ffmpeg.get_ffmpeg_exe())
FRAMES = 750


def overwritten(source: Path, target: Path, start: int, size: int) -> Path:
    """Overwrite `size` bytes of the file, from this one on. Its media data are bytes 20,451 to the end."""
    content = bytearray(source.read_bytes())
    content[start : start + size] = (bytes(range(250)) * (size // 250 + 1))[:size]
    target.write_bytes(content)
    return target


def decodable(path: Path) -> set[int]:
    """The numbers of the frames that ffmpeg decodes, by their time stamps in a listing of its own."""
    command = [
        str(FFMPEG), "-v", "quiet", "-copyts", "-max_error_rate", "1", "-i", str(path), "-map", "0:v:0",
        "-fps_mode", "passthrough", "-vf", "scale=2:2,settb=1/25", "-enc_time_base", "1/25", "-f", "framecrc", "-",
    ]  # fmt: skip
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(line.split(",")[2]) for line in listed.splitlines() if not line.startswith("#")}


def numbers(stretches) -> set[int]:
    return {number for first, after in stretches for number in range(first, after)}


@pytest.fixture(scope="module")
def sound(rushes):
    return list(Footage(FFMPEG, rushes / "interview.mp4", FRAMES).decoded(48, 27, "bicubic"))


@pytest.mark.parametrize(("start", "size"), [(740_000, 4000), (444_000, 60_000), (20_452, 9000)])
def test_frames_beside_damage_keep_their_numbers(rushes, tmp_path, sound, start, size):
    path = overwritten(rushes / "interview.mp4", tmp_path / "damaged.mp4", start, size)
    footage = Footage(FFMPEG, path, FRAMES)
    damage = footage.survey(lambda: None)
    assert numbers(damage.lost) == set(range(FRAMES)) - decodable(path) != set()
    placed = list(footage.placed(48, 27, "bicubic"))
    assert len(placed) == FRAMES
    alike = {number for number in range(FRAMES) if placed[number] == sound[number]}
    assert not alike & numbers(damage.lost), "what is lost is shown by another frame"
    first, last = min(numbers(damage.stretches)), max(numbers(damage.stretches))
    assert set(range(first)) <= alike, "nothing moved before the damage"
    assert set(range(last + 250, FRAMES)) <= alike, "nor behind it, from the next keyframe on"


def test_a_file_that_was_cut_off_is_decoded_to_there(rushes, tmp_path, sound):
    path = tmp_path / "short.mp4"
    content = (rushes / "interview.mp4").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    footage = Footage(FFMPEG, path, FRAMES)
    damage = footage.survey(lambda: None)
    there = decodable(path)
    assert numbers(damage.lost) == set(range(FRAMES)) - there
    placed = list(footage.placed(48, 27, "bicubic"))
    first, last = min(numbers(damage.stretches)), max(there)
    assert 300 < first <= last < 420
    assert placed[:first] == sound[:first] and placed[last:] == [placed[last]] * (FRAMES - last)


def test_a_video_that_is_whole_has_no_damage(rushes):
    damage = Footage(FFMPEG, rushes / "interview.mp4", FRAMES).survey(lambda: None)
    assert damage == Damage([], [])


def test_a_damaged_video_has_its_cuts_where_they_are_and_the_damage_is_told(workplace, rushes, truth):
    damaged = overwritten(rushes / "interview.mp4", workplace.root / "damaged.mp4", 444_000, 60_000)
    stem = workplace.add(damaged, FRAMES)
    assert workplace.run().returncode == 0
    document = workplace.document(stem)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    damage = numbers((it["start_frame"], it["end_frame"]) for it in document["damaged"])
    assert set(range(FRAMES)) - decodable(damaged) <= damage
    near = {number + offset for number in damage for offset in range(-1, 15)}
    found = {scene["start_frame"] for scene in document["scenes"]} - {0} - near
    known = set(truth["interview.mp4"]["cuts"])
    assert found == known - near and max(known) in found and min(known) in found
    assert document["total_frames"] == document["scenes"][-1]["end_frame"] == FRAMES
    told = workplace.warnings()["damaged_frames"]
    lost, total, torn = map(int, re.match(r"(\d+) of (\d+) frames cannot be decoded and (\d+) show", told).groups())
    assert (lost + torn, total) == (len(damage), FRAMES)
    assert f"frames {min(damage) + 1} to " in told
    assert (workplace.docs / f"{stem}_contact.jpg").is_file()

    assert workplace.run("--retune", "--threshold", "0.4").returncode == 0
    assert workplace.document(stem)["damaged"] == document["damaged"]


def test_where_nothing_can_be_decoded_the_video_fails(workplace, rushes):
    content = bytearray((rushes / "interview.mp4").read_bytes())
    at = 0
    while at < len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind == b"mdat":
            content[at + 8 : at + size] = bytes(size - 8)
        at += size
    path = workplace.root / "empty.mp4"
    path.write_bytes(content)
    stem = workplace.add(path, FRAMES)
    assert workplace.run().returncode == 1
    assert workplace.ends()[stem]["error"]["code"] in ("decode_failed", "frame_count")
    assert not (workplace.docs / f"{stem}_scenes.json").exists()


def test_a_warning_names_five_stretches_and_counts_the_rest():
    damage = Damage([(10, 12), (14, 15), (20, 21), (30, 31), (40, 41), (50, 51)], [(12, 13), (60, 61)])
    assert damage.stretches[:2] == [(10, 13), (14, 15)]
    said = damage.sentence(100)
    assert said.startswith(
        "7 of 100 frames cannot be decoded and 2 show damage: frames 11 to 13 at 00:00:00.400, frame 15 at"
    )
    assert "frame 41 at 00:00:01.600 and 2 more stretches." in said


@pytest.mark.parametrize(("stored", "shown"), [("ab", "abbb"), ("abcdef", "abcd"), ("abcd", "abcd")])
def test_as_many_frames_are_shown_as_there_should_be(stored, shown):
    assert b"".join(filled((letter.encode() for letter in stored), 4)).decode() == shown


def test_no_frame_at_all_and_a_wrong_number_are_failures():
    with pytest.raises(ItemError, match="Not one frame"):
        list(filled(iter([]), 4))
    for stored in ([], [b"a"], [b"a"] * 3):
        with pytest.raises(ItemError, match="STEP2 recorded 2"):
            list(exactly(stored, 2))
