"""STEP1 as a person runs it: what comes out, what is refused, what a second run does."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import tarfile
from pathlib import Path

import jsonschema
import pytest
from backports import zstd

from tests.conftest import REPOSITORY
from tests.steps.step1.conftest import archive_record, endings, tree
from tests.steps.step1.packing import DEVICE, FIFO, FILE, GOOD, HARDLINK, LINK, files, pack

CLIPS = {
    "rushes/a.mp4": b"first" * 1000,
    "rushes/sub folder/b.MOV": os.urandom(200_000),
    "rushes/it's ,quoted, été 🎬.mp4": b"x",
    "rushes/-rf.mp4": b"dash",
    "rushes/" + "n" * 196 + ".mp4": b"long",
    "rushes/empty.txt": b"",
}
FLAT = {name.removeprefix("rushes/"): content for name, content in CLIPS.items()}


@pytest.mark.parametrize("suffix", GOOD)
def test_every_format_comes_out_as_it_went_in(suffix, source, work, step1):
    archive = pack(source / f"12_Camille_x{suffix}", files(CLIPS))
    before = (archive.read_bytes(), archive.stat().st_mtime_ns)

    code, events = step1()

    project = work / "12 Camille"
    assert code == 0
    assert tree(project) == FLAT
    assert (archive.read_bytes(), archive.stat().st_mtime_ns) == before
    record = archive_record(project)
    assert record["archive"] == {
        "name": archive.name, "path": str(archive), "bytes": len(before[0]), "mtime_ns": before[1],
        "sha256": hashlib.sha256(before[0]).hexdigest(),
    }  # fmt: skip
    assert {member["path"]: (member["bytes"], member["sha256"]) for member in record["members"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in FLAT.items()
    }
    assert all((project / each["path"]).stat().st_mtime_ns == each["mtime_ns"] for each in record["members"])
    found = {event["path"]: (event["kind"], event["project"]) for event in events if event["event"] == "discovered"}
    assert found == {str(project / name): ("original", str(project)) for name in FLAT if not name.endswith(".txt")}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in project.glob("*.mp4"))
    assert not list((work / ".derush" / "tmp").iterdir())


def test_the_suffix_decides_nothing(source, work, step1):
    pack(source / "really.zip", files({"a.mp4": b"a"})).rename(source / "really.7z")
    pack(source / "tarball.tar.gz", files({"b.mp4": b"b"})).rename(source / "tarball.dat")
    (source / "text.zip").write_text("no archive at all")

    code, events = step1()

    assert code == 0
    assert sorted(endings(events)) == ["really.7z", "tarball.dat"]
    assert sorted(path.name for path in work.iterdir() if path.name != ".derush") == ["really", "tarball.dat"]


def test_a_document_is_no_archive(source, step1):
    made = pack(source / "x.zip", files({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}))
    made.rename(source / "notes.docx")

    code, events = step1()

    assert (code, endings(events)) == (0, {})


HOSTILE = {
    "traversal": ([("../outside.mp4", b"x", FILE)], "parent_path"),
    "deep_traversal": ([("a/b/../../../outside.mp4", b"x", FILE)], "parent_path"),
    "absolute": ([("/tmp/derush_outside.mp4", b"x", FILE)], "absolute_path"),
    "drive": ([("C:/outside.mp4", b"x", FILE)], "drive_letter"),
    "control": ([("a\x07.mp4", b"x", FILE)], "control_character"),
    "symlink": ([("up", b"..", LINK)], "link_member"),
    "through_symlink": ([("up", b"..", LINK), ("up/outside.mp4", b"x", FILE)], "link_member"),
    "late_symlink": ([("a.mp4", b"x", FILE), ("b", b"/etc/passwd", LINK)], "link_member"),
    "fifo": ([("pipe", b"", FIFO)], "special_member"),
    "device": ([("disk", b"", DEVICE)], "special_member"),
    "hardlink": ([("a.mp4", b"x", FILE), ("b.mp4", b"a.mp4", HARDLINK)], "link_member"),
    "duplicate": ([("a.mp4", b"x", FILE), ("a.mp4", b"y", FILE)], "duplicate_member"),
    "case": ([("a.mp4", b"x", FILE), ("A.MP4", b"y", FILE)], "duplicate_member"),
}


@pytest.mark.parametrize(
    ("threat", "suffix"),
    [
        (threat, suffix)
        for threat in HOSTILE
        for suffix in (".zip", ".tar", ".tar.gz", ".tar.zst", ".7z")
        if threat != "hardlink" or "tar" in suffix  # only tar has hard links
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_archive_leaves_nothing(threat, suffix, source, work, step1, tmp_path):
    entries, reason = HOSTILE[threat]
    pack(source / f"bad{suffix}", entries)
    pack(source / "good.zip", files({"a.mp4": b"a"}))
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(work)}

    code, events = step1()

    assert code == 1
    assert endings(events) == {f"bad{suffix}": ("failed", reason), "good.zip": ("done", None)}
    new = {path for path in tmp_path.rglob("*") if not path.is_relative_to(work)} - before
    assert {path.relative_to(tmp_path).parts[0] for path in new} <= {"logs", "events.jsonl"}
    assert [path.name for path in work.iterdir() if path.name != ".derush"] == ["good"]
    assert not list((work / ".derush" / "tmp").iterdir())
    assert not Path("/tmp/derush_outside.mp4").exists()


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz", ".7z"])
def test_a_bomb_is_stopped_while_it_swells(suffix, source, work, step1):
    pack(source / f"bomb{suffix}", files({"zeros.mp4": bytes(300 << 20)}))
    assert (source / f"bomb{suffix}").stat().st_size < 1 << 20

    code, events = step1()

    assert (code, endings(events)) == (1, {f"bomb{suffix}": ("failed", "archive_bomb")})
    assert [path.name for path in work.iterdir()] == [".derush"]
    assert not list((work / ".derush" / "tmp").iterdir())


def test_a_nul_in_a_zip_is_seen(source, step1):
    pack(source / "bad.zip", [("a.mp4\0.txt", b"x", FILE)])

    assert endings(step1()[1]) == {"bad.zip": ("failed", "control_character")}


@pytest.mark.parametrize("suffix", GOOD)
def test_a_cut_off_archive_is_named_and_leaves_nothing(suffix, source, work, step1):
    whole = pack(source / f"x{suffix}", files({"a.mp4": os.urandom(50_000), "b.mp4": os.urandom(50_000)})).read_bytes()
    (source / f"x{suffix}").write_bytes(whole[: len(whole) * 6 // 10])

    code, events = step1("--source-dir", str(source / f"x{suffix}"))

    assert code == 1
    assert endings(events) == {f"x{suffix}": ("failed", "damaged_archive")}
    assert not [path for path in work.iterdir() if path.name != ".derush"]


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.zst", ".7z"])
def test_a_changed_byte_is_found(suffix, source, work, step1):
    archive = pack(source / f"x{suffix}", files({"a.mp4": os.urandom(50_000)}))
    content = bytearray(archive.read_bytes())
    content[20_000] ^= 0xFF
    archive.write_bytes(content)

    code, events = step1()

    assert (code, endings(events)) == (1, {archive.name: ("failed", "damaged_archive")})
    assert not [path for path in work.iterdir() if path.name != ".derush"]


def test_a_broken_tar_header_is_not_taken_for_the_end(source, work, step1):
    archive = pack(source / "x.tar", files({"a.mp4": b"a" * 512, "b.mp4": b"b" * 512}))
    content = bytearray(archive.read_bytes())
    assert content[1024:1029] == b"b.mp4"
    content[1024 + 148] ^= 0x01  # the checksum of the second header
    archive.write_bytes(content)

    assert endings(step1()[1]) == {"x.tar": ("failed", "damaged_archive")}


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_that_leads_back_ends_the_reading(kind, suffix, source, work, step1):
    entry = tarfile.TarInfo("a.mp4")
    entry.type = kind
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)  # the size, in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    packers = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
    (source / f"x.tar{suffix}").write_bytes(packers[suffix](bytes(header) + bytes(2048)))

    assert endings(step1()[1]) == {f"x.tar{suffix}": ("failed", "damaged_archive")}


def test_a_tar_cut_between_two_members_is_not_whole(source, work, step1):
    archive = pack(source / "x.tar", files({"a.mp4": b"a" * 512, "b.mp4": b"b" * 512}))
    archive.write_bytes(archive.read_bytes()[:1024])

    assert endings(step1()[1]) == {"x.tar": ("failed", "damaged_archive")}


def test_macos_junk_is_left_out_with_a_record(source, work, step1):
    pack(source / "mac.zip", files({"clips/a.mp4": b"a", "__MACOSX/clips/._a.mp4": b"j", "clips/.DS_Store": b"j"}))

    step1()

    assert tree(work / "mac") == {"a.mp4": b"a"}
    assert {entry["name"] for entry in archive_record(work / "mac")["skipped"]} == {
        "__MACOSX/clips/._a.mp4",
        "clips/.DS_Store",
    }


def test_names_that_derush_keeps_for_itself_are_set_aside(source, work, step1):
    pack(
        source / "x.zip",
        files({"docs/a.mp4": b"1", "sources/b.mp4": b"2", ".derush/project/archive.json": b"3", "c.mp4": b"4"}),
    )

    _code, events = step1()

    assert tree(work / "x") == {"docs (delivered)/a.mp4": b"1", "sources (delivered)/b.mp4": b"2", "derush (delivered)/project/archive.json": b"3", "c.mp4": b"4"}  # fmt: skip
    assert [event["code"] for event in events if event["event"] == "warning"] == ["renamed"] * 3
    assert (work / "x" / "docs (delivered)" / "a.mp4").is_file()
    assert {member["path"] for member in archive_record(work / "x")["members"]} == set(tree(work / "x"))


def test_the_same_archive_again_is_up_to_date_wherever_it_lies(source, work, step1):
    archive = pack(source / "x.zip", files({"a.mp4": b"a"}))
    step1()
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file() and path.name != "step1.lock"}
    archive.rename(source / "y.zip")

    code, events = step1()

    assert (code, endings(events)) == (0, {"y.zip": ("up_to_date", None)})
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [event["path"] for event in events if event["event"] == "discovered"] == [str(work / "x" / "a.mp4")]


def test_an_unchanged_archive_is_not_read_again(source, step1, places):
    archive = pack(source / "x.zip", files({"a.mp4": b"a"}))
    step1()
    status = archive.stat()
    archive.write_bytes(bytes(status.st_size))  # the same size and time, and nothing in it
    os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert endings(step1("--source-dir", str(archive))[1]) == {"x.zip": ("up_to_date", None)}


def test_another_archive_of_the_same_name_becomes_another_project(source, work, step1):
    pack(source / "12_Camille_x.zip", files({"a.mp4": b"old"}))
    step1()
    pack(source / "12_Camille_x.zip", files({"a.mp4": b"newer"}))

    step1()

    assert tree(work / "12 Camille") == {"a.mp4": b"old"}
    assert tree(work / "12 Camille (2)") == {"a.mp4": b"newer"}


def test_forced_it_puts_back_what_is_missing_and_nothing_else(source, work, step1):
    pack(source / "x.zip", files({"a.mp4": b"a", "b.mp4": b"b", "c.mp4": b"c"}))
    step1()
    (work / "x" / "a.mp4").unlink()
    (work / "x" / "sources").mkdir()
    (work / "x" / "b.mp4").rename(work / "x" / "sources" / "b.mp4")
    (work / "x" / "c.mp4").write_bytes(b"touched by a person")

    code, events = step1("--force")

    assert (code, endings(events)) == (0, {"x.zip": ("done", None)})
    assert tree(work / "x") == {"a.mp4": b"a", "sources/b.mp4": b"b", "c.mp4": b"touched by a person"}
    assert [path.name for path in work.iterdir() if path.name != ".derush"] == ["x"]


def test_what_was_delivered_and_taken_away_stays_away_as_long_as_the_delivery_is_there(source, work, step1, tmp_path):
    archive = pack(source / "x.zip", files({"a.mp4": b"a"}))
    delivery = tmp_path / "output" / "x"
    delivery.mkdir(parents=True)
    mark = work / ".derush" / "finalized" / f"{hashlib.sha256(archive.read_bytes()).hexdigest()}.json"
    mark.parent.mkdir(parents=True)
    mark.write_text(json.dumps({"delivered_to": str(delivery)}))

    code, events = step1()

    assert (code, endings(events)) == (0, {"x.zip": ("up_to_date", None)})
    assert not [event for event in events if event["event"] == "discovered"]
    assert not (work / "x").exists()
    delivery.rmdir()
    assert endings(step1()[1]) == {"x.zip": ("done", None)}
    assert (work / "x").is_dir()


def test_clips_and_folders_of_clips_become_projects(source, work, step1, tmp_path):
    (source / "a.mp4").write_bytes(b"a")
    (source / "notes.txt").write_text("not a clip")
    (source / "day 1").mkdir()
    (source / "day 1" / "b.mov").write_bytes(b"b")
    pack(source / "day 1" / "more.zip", files({"c.mp4": b"c"}))
    cards = tmp_path / "cards"
    for card in ("card A", "card B"):
        (cards / card).mkdir(parents=True)
        (cards / card / "clip.mxf").write_bytes(card.encode())

    code, events = step1("--source-dir", str(source), "--source-dir", str(cards), "--source-dir", str(source / "a.mp4"))

    assert code == 0
    assert set(endings(events).values()) == {("done", None)}
    assert {path.name: tree(path) for path in work.iterdir() if path.name != ".derush"} == {
        "delivered": {"a.mp4": b"a", "day 1/b.mov": b"b"},
        "more": {"c.mp4": b"c"},
        "card A": {"clip.mxf": b"card A"},
        "card B": {"clip.mxf": b"card B"},
        "a": {"a.mp4": b"a"},
    }
    assert (source / "a.mp4").read_bytes() == b"a"
    assert set(endings(step1()[1]).values()) == {("up_to_date", None)}


def test_what_derush_writes_is_no_source(tmp_path, work, source, step1):
    pack(source / "x.zip", files({"a.mp4": b"a"}))
    step1()

    code, events = step1("--source-dir", str(tmp_path))

    assert (code, endings(events)) == (0, {"x.zip": ("up_to_date", None)})


def test_named_files_that_are_nothing_fail_by_name(source, step1):
    (source / "notes.txt").write_text("hello")
    (source / "empty.zip").touch()
    (source / "nobody").mkdir()
    listed = source / "list.json"
    names = ["notes.txt", "empty.zip", "nobody", "gone.zip"]
    listed.write_text(json.dumps([str(source / name) for name in names]))

    code, events = step1("--videos", str(listed))

    assert code == 1
    assert endings(events) == {
        "notes.txt": ("failed", "not_an_archive"),
        "empty.zip": ("failed", "empty_file"),
        "nobody": ("failed", "no_video"),
        "gone.zip": ("failed", "file_not_found"),
    }


def test_an_archive_with_nothing_in_it(source, step1):
    pack(source / "hollow.zip", [])
    pack(source / "words.zip", files({"readme.txt": b"no video here"}))

    code, events = step1()

    assert code == 1
    assert endings(events) == {"hollow.zip": ("failed", "empty_archive"), "words.zip": ("done", None)}
    assert [event["code"] for event in events if event["event"] == "warning"] == ["no_video"]


@pytest.mark.parametrize("arguments", [["--source-dir", "/nowhere/at/all"], ["--videos", "/nowhere.json"]])
def test_a_place_that_is_not_there_is_wrong_usage(arguments, step1):
    assert step1(*arguments)[0] == 2


def test_an_unmounted_disk_is_a_missing_prerequisite(source, step1, tmp_path, work):
    pack(source / "x.zip", files({"a.mp4": b"a"}))

    code, _events = step1(CACHE_ROOT_DIR=str(tmp_path / "unmounted"))

    assert code == 3
    assert not work.exists()


def test_an_empty_folder_is_nothing_to_do(step1):
    assert step1()[0] == 0


def test_driven_by_lines(source, work, step1):
    archive = pack(source / "x.zip", files({"a.mp4": b"a"}))

    code, events = step1("--videos", "-", input=json.dumps({"kind": "archive", "path": str(archive)}) + "\n")

    assert (code, endings(events)) == (0, {"x.zip": ("done", None)})


def test_a_dry_run_writes_nothing(source, work, step1):
    pack(source / "x.zip", files({"a.mp4": b"a"}))

    code, events = step1("--dry-run")

    assert (code, endings(events)) == (0, {"x.zip": ("skipped", None)})
    assert not work.exists()


def test_macos_names_in_a_zip_are_read_as_utf_8(source, work, step1):
    archive = pack(source / "x.zip", files({"été.mp4": b"a"}))
    content = archive.read_bytes()
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + offset
        content = content[:at] + bytes(2) + content[at + 2 :]  # the flag that says UTF-8, taken away
    archive.write_bytes(content)

    step1()

    assert tree(work / "x") == {"été.mp4": b"a"}


def test_every_record_follows_its_schema(source, work, step1):
    pack(source / "x.zip", files({"r/docs/a.mp4": b"a", "r/.DS_Store": b"j"}))
    step1()
    schema = json.loads((REPOSITORY / "docs/schemas/archive.json").read_text())
    jsonschema.validate(archive_record(work / "x"), schema)


def test_parts_that_a_shell_names_one_by_one_stand_for_one_archive(source, work, step1):
    whole = pack(source / "x.zip", files({"a.mp4": os.urandom(90_000)})).read_bytes()
    (source / "x.zip").unlink()
    parts = [source / f"x.zip.{number:03}" for number in (1, 2, 3)]
    for number, part in enumerate(parts):
        part.write_bytes(whole[number * 40_000 : (number + 1) * 40_000])

    code, events = step1(*(word for part in reversed(parts) for word in ("--source-dir", str(part))))

    assert (code, endings(events)) == (0, {"x.zip.001": ("done", None)})
    warned = {Path(event["item"]).name: event["code"] for event in events if event["event"] == "warning"}
    assert warned == {"x.zip.002": "part_of_another", "x.zip.003": "part_of_another"}


def test_the_same_content_under_another_name_is_said(source, work, step1):
    archive = pack(source / "One.zip", files({"a.mp4": b"a"}))
    step1()
    archive.rename(source / "Two.zip")

    _code, events = step1()

    (said,) = [event for event in events if event["event"] == "warning"]
    assert (said["code"], "became One" in said["message"]) == ("same_content", True)
