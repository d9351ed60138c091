"""Which delivered files STEP1 takes in: by kind, from a size on; what it leaves out is named."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.steps.step1.conftest import SCRIPT, archive_record, endings, tree
from tests.steps.step1.packing import files, pack

LARGE, SMALL = 1_000_000, 999_999


def clip(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(64) + bytes(size - 64))
    return path


def left_out(events: list[dict]) -> dict[str, str]:
    return {Path(event["item"]).name: event["code"] for event in events if event["event"] == "warning"}


@pytest.fixture
def listed(places, source):
    """What `--list` prints, an object a line."""

    def run(*arguments: str, **variables: str) -> list[dict]:
        command = [sys.executable, str(SCRIPT), "--list", "--source-dir", str(source), *arguments]
        ended = subprocess.run(command, env={**places, **variables}, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    return run


def test_by_default_what_is_smaller_than_a_megabyte_is_left_out_and_named(source, work, step1):
    clip(source / "large.mov", LARGE)
    clip(source / "below" / "small.mov", SMALL)
    pack(source / "small.zip", files({"a.mp4": b"a"}))
    (source / "notes.txt").write_text("no delivery at all")

    code, events = step1(STEP1_MIN_SIZE_MB="")

    assert (code, endings(events)) == (0, {"delivered": ("done", None)})
    assert left_out(events) == {"small.mov": "too_small", "small.zip": "too_small", "delivered": "not_taken"}
    assert next(event["message"] for event in events if event.get("code") == "not_taken").endswith(": notes.txt.")
    assert set(tree(work / "delivered")) == {"large.mov"}
    assert archive_record(work / "delivered")["archive"]["bytes"] == LARGE


def test_what_is_inside_an_archive_is_never_left_out(source, work, step1):
    pack(source / "x.zip", files({"small.mp4": b"a", "noise.bin": os.urandom(2 * LARGE)}))

    code, events = step1("--min-size", "1")

    assert (code, endings(events), left_out(events)) == (0, {"x.zip": ("done", None)}, {})
    assert set(tree(work / "x")) == {"small.mp4", "noise.bin"}


def test_the_command_line_wins_over_the_setting(source, work, step1):
    clip(source / "a.mov", 64)

    assert endings(step1("--min-size", "0", STEP1_MIN_SIZE_MB="5")[1]) == {"delivered": ("done", None)}
    assert left_out(step1(STEP1_MIN_SIZE_MB="5")[1]) == {"a.mov": "too_small"}
    assert endings(step1("--min_size", "0.00007")[1]) == {}


@pytest.mark.parametrize(
    ("kind", "taken", "other"),
    [("archives", {"x.zip"}, {"a.mov"}), ("videos", {"delivered"}, {"x.zip"}), ("all", {"delivered", "x.zip"}, set())],
)
def test_a_kind_may_be_chosen(kind, taken, other, source, step1):
    clip(source / "a.mov", 64)
    pack(source / "x.zip", files({"b.mp4": b"b"}))

    _code, events = step1("--kind", kind)

    assert set(endings(events)) == taken
    assert left_out(events) == dict.fromkeys(other, "other_kind")


@pytest.mark.parametrize(
    ("keywords", "taken"),
    [
        (["camille"], {"12_Camille.zip", "cards of Camille"}),
        (["ELODIE"], {"Élodie.zip"}),
        (["élodie", "B00"], {"Élodie.zip", "other"}),
        (["nobody"], set()),
        (["d"], {"12_Camille.zip", "Élodie.zip", "cards of Camille", "other"}),  # all lie in `delivered`
    ],
)
def test_names_may_be_chosen_by_words(keywords, taken, source, work, step1):
    for name in ("12_Camille.zip", "Élodie.zip"):
        pack(source / name, files({"x.mp4": name.encode()}))
    clip(source / "cards of Camille" / "A001.mov", 64)
    clip(source / "other" / "B001.mov", 64)
    clip(source / "other" / "C001.mov", 64)

    _code, events = step1(*(f"--keyword={word}" for word in keywords))

    assert set(endings(events)) == taken
    assert set(left_out(events).values()) <= {"other_name"}
    assert len(taken) + len(left_out(events)) >= 4
    if "B00" in keywords:
        assert set(tree(work / "other")) == {"B001.mov"}


def test_what_is_left_out_makes_no_folder_an_item(source, work, step1):
    """The topmost folder with a clip is one item, but a clip that is left out counts as not there."""
    clip(source / "thumbnail.mov", SMALL)
    clip(source / "day1" / "a.mov", LARGE)
    clip(source / "day2" / "b.mov", LARGE)

    _code, events = step1("--min-size", "1")

    assert set(endings(events)) == {"day1", "day2"}
    assert left_out(events) == {"thumbnail.mov": "too_small"}


def test_another_size_of_a_folder_is_another_delivery(source, work, step1):
    """A folder is known by the clips that are taken: what a project holds is never changed by a later choice."""
    clip(source / "large.mov", LARGE)
    clip(source / "small.mov", SMALL)
    step1("--min-size", "1")
    assert endings(step1("--min-size", "1")[1]) == {"delivered": ("up_to_date", None)}

    assert endings(step1("--min-size", "0")[1]) == {"delivered": ("done", None)}

    assert set(tree(work / "delivered")) == {"large.mov"}
    assert set(tree(work / "delivered (2)")) == {"large.mov", "small.mov"}


def test_a_driven_worker_takes_the_same_clips_of_a_folder(source, work, step1):
    clip(source / "large.mov", LARGE)
    clip(source / "small.mov", SMALL)
    line = json.dumps({"kind": "archive", "path": str(source)}) + "\n"

    _code, events = step1("--videos", "-", "--min-size", "1", input=line)

    assert endings(events) == {"delivered": ("done", None)}
    assert set(tree(work / "delivered")) == {"large.mov"}


def test_a_named_file_is_left_out_like_any_other_and_what_is_no_delivery_fails_by_name(source, step1):
    small = clip(source / "small.mov", SMALL)
    (source / "notes.txt").write_text("no delivery at all")

    code, events = step1("--min-size", "1", "--source-dir", str(small), "--source-dir", str(source / "notes.txt"))

    assert (code, endings(events)) == (1, {"notes.txt": ("failed", "not_an_archive")})
    assert left_out(events) == {"small.mov": "too_small"}


def test_the_list_says_what_is_left_out_and_what_becomes_of_the_rest(source, work, listed, step1):
    folder = clip(source / "12_Camille_cards" / "a.mov", LARGE).parent
    clip(folder / "b.mov", LARGE + 1)
    small = clip(source / "12_Camille_cards" / "small.mov", SMALL)
    archive = pack(source / "12_Camille_x.zip", files({"a.bin": os.urandom(2 * LARGE)}))
    size = archive.stat().st_size

    told = {Path(entry["path"]).name: entry for entry in listed("--min-size", "1")}

    assert told["small.mov"] == {
        "kind": "archive", "path": str(small), "project": None, "form": "video", "bytes": SMALL,
        "skipped": {"code": "too_small", "message": "left out: 999999 bytes, less than 1 MB (--min-size)"},
    }  # fmt: skip
    assert told["12_Camille_cards"] == {
        "kind": "archive", "path": str(folder), "project": None, "form": "folder", "bytes": 2 * LARGE + 1,
        "name": "12 Camille (2)", "clips": 2,
    }  # fmt: skip
    assert told["12_Camille_x.zip"] == {
        "kind": "archive", "path": str(archive), "project": None, "form": "archive", "bytes": size, "name": "12 Camille",
    }  # fmt: skip
    step1("--min-size", "1")
    projects = {entry["project"] for entry in listed("--min-size", "1") if "skipped" not in entry}
    assert projects == {str(work / "12 Camille"), str(work / "12 Camille (2)")}


def test_the_demo_is_taken_in_whole(listed):
    (entry,) = listed("--source-dir", str(REPOSITORY / "samples"), STEP1_MIN_SIZE_MB="")
    assert Path(entry["path"]).name == "demo_rushes.zip" and "skipped" not in entry


@pytest.mark.parametrize("size", ["-1", "nan", "inf", "1e7", "much"])
def test_a_size_that_is_none_is_wrong_usage(size, step1, source):
    command = [sys.executable, str(SCRIPT), "--source-dir", str(source), f"--min-size={size}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and "--min-size" in ended.stderr


def test_a_dry_run_reads_no_archive(source, work, step1):
    with (source / "huge.zip").open("wb") as archive:
        archive.write(b"PK\x03\x04")
        archive.truncate(1 << 41)  # nobody reads two terabytes in a minute

    code, events = step1("--dry-run")

    assert (code, endings(events)) == (0, {"huge.zip": ("skipped", None)})


def test_a_dry_run_tells_of_a_project_that_is_there_and_harms_no_worker_that_is_at_it(source, work, step1):
    archive = pack(source / "x.zip", files({"a.mp4": b"a"}))
    step1()
    digest = hashlib.sha256(os.fsencode(archive)).hexdigest()[:12]
    half = work / ".derush" / "tmp" / f"STEP1-{digest}" / "half"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"what another worker has written so far")

    _code, events = step1("--dry-run", "--force")

    assert endings(events) == {"x.zip": ("skipped", None)}
    assert [Path(event["path"]).name for event in events if event["event"] == "discovered"] == ["a.mp4"]
    assert half.exists()
