"""Archives inside archives: left as they are, or with STEP1_NESTED=true unpacked under one budget."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.steps.step1.conftest import archive_record, endings, tree
from tests.steps.step1.packing import FILE, files, pack


@pytest.fixture
def inner(tmp_path: Path):
    """The bytes of an archive."""

    def make(name: str, contents: dict[str, bytes]) -> bytes:
        path = pack(tmp_path / name, files(contents))
        made = path.read_bytes()
        path.unlink()
        return made

    return make


def test_by_default_they_are_files_like_any_other(source, work, step1, inner):
    card = inner("card.zip", {"a.mp4": b"a"})
    pack(source / "shoot.zip", files({"card.zip": card, "b.mp4": b"b"}))
    step1()
    assert tree(work / "shoot") == {"card.zip": card, "b.mp4": b"b"}


def test_an_archive_of_nothing_but_archives_says_how_to_unpack_them_and_that_does(source, work, step1, inner):
    pack(source / "shoot.zip", files({"card.zip": inner("card.zip", {"a.mp4": b"a"}), "notes.txt": b"n"}))

    _code, events = step1()

    (said,) = (event["message"] for event in events if event["event"] == "warning")
    assert "card.zip" in said and "STEP1_NESTED=true, remove the project and run again" in said
    shutil.rmtree(work / "shoot")
    assert step1(STEP1_NESTED="true")[0] == 0
    assert tree(work / "shoot") == {"card/a.mp4": b"a", "notes.txt": b"n"}


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".7z"])
def test_each_becomes_a_folder_of_its_name(suffix, source, work, step1, inner):
    card2 = inner("card2.tar", {"c.mp4": b"c"})
    card1 = inner("card1.7z", {"r/a.mp4": b"a", "card2.tar": card2, "project.drp": inner("p.zip", {"x": b"x"})})
    pack(source / f"shoot{suffix}", files({"day/card1.7z": card1, "day/card1/b.mp4": b"b", "d.mp4": b"d"}))

    code, _events = step1(STEP1_NESTED="true")

    assert code == 0
    made = tree(work / "shoot")
    assert made.pop("day/card1 (2)/project.drp").startswith(b"PK"), "a zip that does not call itself one stays whole"
    assert made == {
        "d.mp4": b"d", "day/card1/b.mp4": b"b", "day/card1 (2)/r/a.mp4": b"a", "day/card1 (2)/card2/c.mp4": b"c",
    }  # fmt: skip
    assert {member["path"] for member in archive_record(work / "shoot")["members"]} == {
        *made,
        "day/card1 (2)/project.drp",
    }


def test_what_is_wrong_inside_is_named_with_both_names(source, work, step1, inner):
    pack(
        source / "shoot.zip",
        files({"good.mp4": b"g", "day/card.zip": inner("card.zip", {"a.mp4": os.urandom(9000)})[:5000]}),
    )
    code, events = step1(STEP1_NESTED="true")
    (error,) = (event["error"] for event in events if event["event"] == "item_done")
    assert (code, error["code"]) == (1, "damaged_archive")
    assert "day/card.zip" in error["message"]
    assert [path.name for path in work.iterdir()] == [".derush"]
    assert not list((work / ".derush" / "tmp").iterdir())


def test_the_policy_holds_inside_too(source, work, step1, tmp_path):
    evil = pack(tmp_path / "card.zip", [("../../outside.mp4", b"x", FILE)]).read_bytes()
    pack(source / "shoot.zip", files({"card.zip": evil}))
    assert endings(step1(STEP1_NESTED="true")[1]) == {"shoot.zip": ("failed", "parent_path")}


def test_all_share_one_budget(source, step1, inner):
    """Each inner archive swells within bounds; together they are a bomb, as a file of files is."""
    bomb = inner("b.zip", {"zeros.mp4": bytes(100 << 20)})
    pack(source / "shoot.zip", files({f"{number}.zip": bomb for number in range(4)}))
    assert endings(step1(STEP1_NESTED="true")[1]) == {"shoot.zip": ("failed", "archive_bomb")}


def test_entries_are_counted_together(source, step1, inner):
    card = inner("card.zip", {f"{number}.mp4": b"x" for number in range(6)})
    pack(source / "shoot.zip", files({"1.zip": card, "2.zip": card}))
    told = endings(step1(STEP1_NESTED="true", STEP1_MAX_ENTRIES="10")[1])
    assert told == {"shoot.zip": ("failed", "too_many_entries")}


def test_they_go_three_deep(source, work, step1, inner):
    made = inner("x.zip", {"a.mp4": b"a"})
    for _ in range(2):
        made = inner("x.zip", {"x.zip": made})
    pack(source / "three.zip", files({"x.zip": made}))
    pack(source / "four.zip", files({"x.zip": inner("x.zip", {"x.zip": made})}))
    assert endings(step1(STEP1_NESTED="true")[1]) == {
        "three.zip": ("done", None),
        "four.zip": ("failed", "nested_too_deep"),
    }
    assert tree(work / "three") == {"x/x/a.mp4": b"a"}
