"""What is still being copied or downloaded is left for later, by name."""

from __future__ import annotations

import os
import time

import pytest

from tests.steps.step1.conftest import endings, tree
from tests.steps.step1.packing import files, pack
from tests.steps.step1.test_filters import left_out
from workflow_scripts.step1 import arriving
from workflow_scripts.step1.arriving import arriving_as, is_arriving


@pytest.mark.parametrize(
    ("name", "coming"),
    [
        ("x.zip.part", "x.zip"), ("x.zip.crdownload", "x.zip"), ("a.mp4.TMP", "a.mp4"), ("x.zip.download", "x.zip"),
        (".x.zip.Ab3dE9", "x.zip"), ("x.part1.rar", None), ("x.zip", None), (".hidden.mp4", None), ("a.mp4", None),
    ],
)  # fmt: skip
def test_names_that_say_it(name, coming):
    assert arriving_as(name) == coming


def test_what_a_program_writes_to_is_left_for_later_and_taken_once_it_is_done(source, work, step1):
    pack(source / "ready.zip", files({"a.mp4": b"a"}))
    archive = pack(source / "coming.zip", files({"b.mp4": b"b"}))
    with archive.open("ab"):
        code, events = step1()
        assert (code, endings(events)) == (0, {"ready.zip": ("done", None)})
        assert left_out(events) == {"coming.zip": "still_arriving"}

    assert endings(step1()[1]) == {"ready.zip": ("up_to_date", None), "coming.zip": ("done", None)}


def test_files_with_the_name_of_a_download_are_left_for_later(source, work, step1):
    pack(source / "x.zip", files({"a.mp4": b"a"})).rename(source / "x.zip.part")
    pack(source / "y.zip", files({"a.mp4": b"a"})).rename(source / ".y.zip.qX3Z2a")
    pack(source / "z.zip", files({"a.mp4": b"a"})).rename(source / "Unconfirmed 4711.crdownload")
    (source / "clip.mov.part").write_bytes(b"half")
    (source / "notes.tmp").write_bytes(b"nothing that anybody would take in")

    code, events = step1()

    assert (code, endings(events)) == (0, {})
    assert left_out(events) == dict.fromkeys(
        [".y.zip.qX3Z2a", "Unconfirmed 4711.crdownload", "clip.mov.part", "delivered", "x.zip.part"], "still_arriving"
    )  # the folder waits for its clip


def test_a_folder_waits_for_its_last_clip(source, work, step1):
    card = source / "card"
    (card / "sub").mkdir(parents=True)
    for name in ("a.mov", "sub/b.mov"):
        (card / name).write_bytes(name.encode())
    pack(card / "sub" / "more.zip", files({"c.mp4": b"c"}))
    with (card / "sub" / "c.mov").open("wb"):
        _code, events = step1()
        assert endings(events) == {"more.zip": ("done", None)}
        assert left_out(events) == {"card": "still_arriving", "c.mov": "still_arriving"}

    step1()

    assert set(tree(work / "card")) == {"a.mov", "sub/b.mov", "sub/c.mov"}


def test_a_named_file_that_is_still_written_is_left_for_later_too(source, step1):
    clip = source / "a.mov"
    with clip.open("wb") as writing:
        writing.write(b"half")
        writing.flush()
        _code, events = step1("--source-dir", str(clip))
    assert (endings(events), left_out(events)) == ({}, {"a.mov": "still_arriving"})


def test_where_nobody_knows_who_writes_it_must_stay_the_same_for_a_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(arriving.fcntl, "fcntl", _refuse)
    slept: list[float] = []
    clip = tmp_path / "a.mov"
    clip.write_bytes(b"half")
    monkeypatch.setattr(arriving.time, "sleep", slept.append)
    assert not is_arriving(clip)
    assert 0 < slept.pop() <= 2

    monkeypatch.setattr(arriving.time, "sleep", lambda _seconds: clip.write_bytes(b"half and more"))
    assert is_arriving(clip)


def test_an_old_file_is_asked_nothing(tmp_path, monkeypatch):
    clip = tmp_path / "a.mov"
    clip.write_bytes(b"whole")
    monkeypatch.setattr(arriving.time, "time", lambda: clip.stat().st_ctime + 61)
    with clip.open("ab"):
        assert not is_arriving(clip)


def test_an_old_time_of_its_own_makes_no_copy_old(tmp_path):
    clip = tmp_path / "a.mov"
    with clip.open("wb"):
        os.utime(clip, (time.time() - 10**6, time.time() - 10**6))
        assert is_arriving(clip)


def _refuse(*_arguments: object) -> None:
    raise OSError("this disk knows nothing of leases")
