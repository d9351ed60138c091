"""Archives in several files: found, joined, known again, and what is missing named."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.steps.step1.conftest import endings, tree
from tests.steps.step1.packing import GOOD, files, pack
from tests.steps.step1.zips import Raw, write_zip
from workflow_scripts.step1.volumes import lead_of, opened, parts_of, whole_name

CLIPS = {"a.mp4": os.urandom(70_000), "b.mp4": os.urandom(200)}
PIECE = 20_000


def cut(whole: Path, size: int = PIECE) -> list[Path]:
    """Cut a file into `.001`, `.002` … and take it away."""
    content = whole.read_bytes()
    whole.unlink()
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    paths = [whole.with_name(f"{whole.name}.{number:03}") for number in range(1, len(pieces) + 1)]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    return paths


def message_of(events):
    return next(event["error"]["message"] for event in events if event["event"] == "item_done")


@pytest.mark.parametrize(
    ("names", "lead", "later"),
    [
        (["x.z01", "x.z02", "x.zip"], "x.zip", ["x.z01", "x.z02"]),
        (["X.Z01", "X.ZIP"], "X.ZIP", ["X.Z01"]),
        (["x.7z.001", "x.7z.002", "x.7z.003"], "x.7z.001", ["x.7z.002", "x.7z.003"]),
        (["x.tar.gz.001", "x.tar.gz.002"], "x.tar.gz.001", ["x.tar.gz.002"]),
        (["x.part1.rar", "x.part2.rar"], "x.part1.rar", ["x.part2.rar"]),
        (["x.part01.rar", "x.part02.rar"], "x.part01.rar", ["x.part02.rar"]),
        (["x.part1.rar", *(f"x.part{n}.rar" for n in range(2, 12))], "x.part1.rar", [f"x.part{n}.rar" for n in range(2, 12)]),
        (["x.rar", "x.r00", "x.r01"], "x.rar", ["x.r00", "x.r01"]),
    ],
)  # fmt: skip
def test_the_files_of_an_archive(names, lead, later, tmp_path):
    for name in [*names, "other.z01", "y.7z.001", "x.txt.002"]:
        (tmp_path / name).touch()

    parts = [path.name for path in parts_of(tmp_path / lead)]

    assert sorted(parts) == sorted(names)
    assert parts == (names if lead != names[-1] else [*later, lead])
    assert {lead_of(tmp_path / name) for name in later} == {tmp_path / lead}
    assert lead_of(tmp_path / lead) is None


@pytest.mark.parametrize("name", ["x.zip", "x.rar", "x.7z", "a.001", "shot.0002", "x.part2.mp4", "x.tar.gz", "notes"])
def test_other_files_stand_alone(name, tmp_path):
    assert parts_of(tmp_path / name) == (tmp_path / name,)
    assert lead_of(tmp_path / name) is None


@pytest.mark.parametrize(
    ("name", "whole"),
    [("x.7z.001", "x.7z"), ("x.part1.rar", "x.rar"), ("x.PART03.RAR", "x.RAR"), ("x.zip", "x.zip"), ("x.001", "x.001")],
)
def test_the_name_in_one_piece(name, whole):
    assert whole_name(name) == whole


def test_joined_files_read_as_one(tmp_path):
    chance = random.Random(7)
    parts = [tmp_path / f"{number}" for number in range(9)]
    for part in parts:
        part.write_bytes(chance.randbytes(chance.choice([0, 1, 700, 3000])))
    whole = b"".join(part.read_bytes() for part in parts)

    with opened(parts) as joined:
        assert joined.read() == whole
        for _ in range(300):
            at, length = chance.randrange(len(whole) + 10), chance.randrange(4000)
            joined.seek(at)
            assert joined.read(length) == whole[at : at + length]
        joined.seek(-5, os.SEEK_END)
        assert joined.read() == whole[-5:]


@pytest.mark.parametrize("suffix", [each for each in GOOD if each != ".tar.bz2"])
def test_pieces_of_every_format_come_out(suffix, source, work, step1):
    archive = pack(source / f"12_Camille_x{suffix}", files(CLIPS))
    whole = archive.read_bytes()
    first, *_ = cut(archive)

    code, events = step1()

    assert (code, endings(events)) == (0, {first.name: ("done", None)})
    assert tree(work / "12 Camille") == CLIPS
    archive.write_bytes(whole)
    _code, again = step1("--source-dir", str(archive))
    assert endings(again) == {archive.name: ("up_to_date", None)}  # the same content, in one piece


@pytest.mark.parametrize("wide", [False, True], ids=["zip", "zip64"])
def test_a_split_zip_comes_out(wide, source, work, step1):
    members = [Raw("a.mp4", CLIPS["a.mp4"]), Raw("b.mp4", CLIPS["b.mp4"], 0)]
    parts = write_zip(source / "x.zip", members, wide=wide, part_size=PIECE)
    assert [path.name for path in parts] == ["x.z01", "x.z02", "x.z03", "x.zip"]

    code, events = step1()

    assert (code, endings(events)) == (0, {"x.zip": ("done", None)})
    assert tree(work / "x") == CLIPS
    assert endings(step1()[1]) == {"x.zip": ("up_to_date", None)}


@pytest.mark.parametrize("wide", [False, True], ids=["zip", "zip64"])
def test_missing_parts_of_a_split_zip_are_named(wide, source, work, step1):
    parts = write_zip(source / "x.zip", [Raw("a.mp4", CLIPS["a.mp4"])], wide=wide, part_size=PIECE)
    parts[0].unlink()
    parts[2].unlink()

    code, events = step1()

    assert (code, endings(events)) == (1, {"x.zip": ("failed", "missing_volume")})
    assert "x.z01, x.z03 is not there" in message_of(events)
    assert [path.name for path in work.iterdir()] == [".derush"]


def test_a_split_zip_is_not_too_small_for_the_parts_that_are_missing(source, step1):
    parts = write_zip(source / "x.zip", [Raw("a.mp4", CLIPS["a.mp4"])], part_size=PIECE)
    assert parts[-1].stat().st_size < 1e6
    for part in parts[:-1]:
        part.unlink()

    code, events = step1("--min-size", "1")

    assert (code, endings(events)) == (1, {"x.zip": ("failed", "missing_volume")})


def test_a_split_zip_without_its_last_part_is_named(source, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIPS["a.mp4"])], part_size=PIECE)[-1].unlink()

    code, events = step1()

    assert (code, endings(events)) == (1, {"x.z01": ("failed", "missing_volume")})
    assert "x.zip is not there" in message_of(events)


@pytest.mark.parametrize("suffix", [".zip", ".7z", ".tar.gz"])
@pytest.mark.parametrize("gone", [1, -1], ids=["second", "last"])
def test_a_missing_piece_is_named(suffix, gone, source, work, step1):
    pieces = cut(pack(source / f"x{suffix}", files(CLIPS)))
    pieces[gone].unlink()

    code, events = step1("--source-dir", str(pieces[0]))

    assert (code, endings(events)) == (1, {pieces[0].name: ("failed", "missing_volume")})
    assert f"{pieces[gone].name} is not there" in message_of(events)
    assert [path.name for path in work.iterdir()] == [".derush"]


def test_pieces_without_the_first_are_named(source, step1):
    first, *others = cut(pack(source / "x.7z", files(CLIPS)))
    first.unlink()

    _code, events = step1()

    assert endings(events) == {path.name: ("failed", "missing_volume") for path in others}
    assert f"{first.name} is not there" in message_of(events)


def test_a_last_piece_cut_short_is_damage(source, step1):
    *_, last = pieces = cut(pack(source / "x.tar.gz", files(CLIPS)))
    last.write_bytes(last.read_bytes()[:-100])

    assert endings(step1()[1]) == {pieces[0].name: ("failed", "damaged_archive")}


def test_a_later_part_that_is_named_is_not_taken_for_the_archive(source, step1):
    first, second, *_ = cut(pack(source / "x.7z", files(CLIPS)))

    code, events = step1("--source-dir", str(second))

    assert (code, endings(events)) == (1, {second.name: ("failed", "not_first_volume")})
    assert first.name in message_of(events)


def test_the_size_of_an_archive_is_that_of_all_its_parts(source, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIPS["a.mp4"])], part_size=PIECE)
    assert (source / "x.zip").stat().st_size < 20_000

    assert endings(step1("--min-size", "0.06")[1]) == {"x.zip": ("done", None)}
    assert endings(step1("--min-size", "0.08")[1]) == {}


def test_a_changed_part_makes_another_archive(source, work, step1):
    members = [Raw("a.mp4", CLIPS["a.mp4"], 0)]
    write_zip(source / "x.zip", members, part_size=PIECE)
    step1()
    write_zip(source / "x.zip", [Raw("a.mp4", bytes(reversed(CLIPS["a.mp4"])), 0)], part_size=PIECE)

    assert endings(step1()[1]) == {"x.zip": ("done", None)}

    assert {path.name for path in work.iterdir()} == {".derush", "x", "x (2)"}
