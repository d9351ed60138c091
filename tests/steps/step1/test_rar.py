"""Rar: stored members need no tool; compressed and encrypted ones do, and without it the error says which."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.steps.step1.conftest import endings, tree

SAMPLES = Path(__file__).parent / "rar"
PASSWORD = "passe été"
CLIPS = {"clip a.mp4": (3000, 1818018953), "b.mp4": (9025, 686705614)}


@pytest.fixture
def only(tmp_path):
    """Give a PATH with one program on it, and no other."""

    def path_with(name: str) -> str:
        program = shutil.which(name) or missing(name)
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / name).symlink_to(program)
        return str(folder)

    return path_with


def sums(folder):
    """Length and checksum of each file."""
    return {path: (len(content), zlib.crc32(content)) for path, content in tree(folder).items()}


def message_of(events):
    return next(event["error"]["message"] for event in events if event["event"] == "item_done")


@pytest.mark.parametrize("name", ["rar3-subdirs", "rar5-subdirs"])
def test_folders_and_names_come_out(name, source, work, step1):
    shutil.copy(SAMPLES / f"{name}.rar", source / "x.rar")

    assert step1()[0] == 0

    assert {path: len(content) for path, content in tree(work / "x").items()} == {
        "dir1/file1.txt": 6, "dir2/file2.txt": 6, "with space/long fn.txt": 8, "üȵĩöḋè/file.txt": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("rar5-symlink-unix", "link_member"),
        ("rar3-symlink-unix", "link_member"),
        ("rar5-hlink", "link_member"),
        ("rar5-evil-symlink-traversal", "link_member"),
        ("rar5-psw", "missing_password"),
        ("rar5-hpsw", "missing_password"),
    ],
)
def test_what_is_refused(name, code, source, work, step1):
    shutil.copy(SAMPLES / f"{name}.rar", source / "x.rar")

    assert endings(step1()[1]) == {"x.rar": ("failed", code)}

    assert [path.name for path in work.iterdir()] == [".derush"]
    assert not list((work / ".derush" / "tmp").iterdir())


def test_without_a_tool_the_remedy_is_named(source, work, step1, tmp_path):
    shutil.copy(SAMPLES / "rar5-crc.rar", source / "x.rar")

    code, events = step1(PATH=str(tmp_path))

    assert (code, endings(events)) == (1, {"x.rar": ("failed", "no_rar_tool")})
    error = next(event["error"] for event in events if event["event"] == "item_done")
    assert all(tool in error["remedy"] for tool in ("unrar", "unar", "bsdtar"))
    assert [path.name for path in work.iterdir()] == [".derush"]


@pytest.mark.parametrize("tool", ["unrar", "bsdtar", "unar"])
@pytest.mark.parametrize("name", ["rar5-crc", "rar5-solid"])
def test_compressed_members_come_out(name, tool, source, work, step1, only):
    shutil.copy(SAMPLES / f"{name}.rar", source / "x.rar")

    assert step1(PATH=only(tool))[0] == 0

    # The checksum as the sample's own header has it: both files of both samples are the same.
    assert sums(work / "x") == {"stest1.txt": (2048, 0xC5B7E6A2), "stest2.txt": (2048, 0xC5B7E6A2)}


@pytest.mark.parametrize("tool", ["unrar", "bsdtar", "unar"])
@pytest.mark.parametrize("name", ["vols", "stored"])
def test_an_archive_in_parts_comes_out(name, tool, source, work, step1, only):
    for part in SAMPLES.glob(f"{name}.part*.rar"):
        shutil.copy(part, source)

    code, events = step1(PATH=only(tool))

    assert (code, endings(events)) == (0, {f"{name}.part1.rar": ("done", None)})
    assert sums(work / name) == CLIPS


@pytest.mark.parametrize("tool", ["unrar", "bsdtar", "unar"])
def test_parts_as_they_were_named_before_come_out(tool, source, work, step1, only):
    for part in SAMPLES.glob("old4.r*"):
        shutil.copy(part, source)

    code, events = step1(PATH=only(tool))

    assert (code, endings(events)) == (0, {"old4.rar": ("done", None)})
    assert sums(work / "old4") == CLIPS


@pytest.mark.parametrize(("name", "gone"), [("vols.part1.rar", "vols.part2.rar"), ("vols.part1.rar", "vols.part3.rar"), ("old4.rar", "old4.r01")])  # fmt: skip
def test_a_missing_part_is_named(name, gone, source, work, step1):
    for part in SAMPLES.glob(f"{name.partition('.')[0]}.*"):
        shutil.copy(part, source)
    (source / gone).unlink()

    code, events = step1("--source-dir", str(source / name))

    assert (code, endings(events)) == (1, {name: ("failed", "missing_volume")})
    assert f"{gone} is not there" in message_of(events)
    assert [path.name for path in work.iterdir()] == [".derush"]


@pytest.mark.parametrize("name", ["vols.part2.rar", "old4.r00"])
def test_a_part_without_the_first_is_named(name, source, step1):
    shutil.copy(SAMPLES / name, source)

    assert endings(step1()[1]) == {name: ("failed", "missing_volume")}


@pytest.mark.parametrize("name", ["locked.rar", "hvols.part1.rar", "locked4.rar", "hlocked4.rar"])
def test_encrypted_archives_come_out(name, source, work, step1, only):
    for part in SAMPLES.glob(name.replace("1", "?")):
        shutil.copy(part, source)

    code, events = step1(PATH=only("unrar"), STEP1_PASSWORDS=f"wrong\n{PASSWORD}")

    assert (code, endings(events)) == (0, {name: ("done", None)})
    assert sums(work / name.partition(".")[0]) == CLIPS


@pytest.mark.parametrize("name", ["locked4", "hlocked4"])
def test_rar_4_keeps_nothing_to_check_a_password_by(name, source, step1, only):
    shutil.copy(SAMPLES / f"{name}.rar", source / "x.rar")
    unrar = only("unrar")

    _code, one = step1(PATH=unrar, STEP1_PASSWORDS="wrong")
    _code, two = step1(PATH=unrar, STEP1_PASSWORDS="wrong\nwrong too")

    assert endings(one) == endings(two) == {"x.rar": ("failed", "wrong_password")}
    assert "or the archive is damaged" in message_of(one)
    assert "or the archive is damaged" in message_of(two)


@pytest.mark.parametrize("name", ["locked.rar", "rar5-psw.rar", "rar5-hpsw.rar"])
def test_a_wrong_password_needs_no_tool_to_be_found(name, source, step1, tmp_path):
    shutil.copy(SAMPLES / name, source / "x.rar")

    _code, events = step1(PATH=str(tmp_path), STEP1_PASSWORDS="wrong\nwrong too")

    assert endings(events) == {"x.rar": ("failed", "wrong_password")}


def test_the_tool_that_takes_passwords_is_named(source, step1, tmp_path):
    shutil.copy(SAMPLES / "locked.rar", source / "x.rar")

    _code, events = step1(PATH=str(tmp_path), STEP1_PASSWORDS=PASSWORD)

    assert endings(events) == {"x.rar": ("failed", "no_rar_tool")}
    assert "`unrar` is not installed" in message_of(events)


def test_an_encrypted_archive_that_was_changed_is_damaged(source, step1, only):
    packed = bytearray((SAMPLES / "locked.rar").read_bytes())
    packed[1500] ^= 1
    (source / "x.rar").write_bytes(packed)

    _code, events = step1(PATH=only("unrar"), STEP1_PASSWORDS=PASSWORD)

    assert endings(events) == {"x.rar": ("failed", "damaged_archive")}


def test_a_password_is_in_no_program_s_arguments_or_environment(source, step1, tmp_path):
    unrar = shutil.which("unrar") or missing("unrar")
    shutil.copy(SAMPLES / "locked.rar", source / "x.rar")
    said = tmp_path / "said"
    (tmp_path / "bin").mkdir()
    spy = tmp_path / "bin" / "unrar"
    spy.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >>{said}\n/usr/bin/env >>{said}\nexec {unrar} "$@"\n')
    spy.chmod(0o755)

    assert step1(PATH=str(spy.parent), STEP1_PASSWORDS=PASSWORD)[0] == 0

    assert "-inul" in said.read_text()
    assert PASSWORD not in said.read_text()


def test_a_cut_off_rar_is_damaged(source, step1):
    content = (SAMPLES / "rar5-subdirs.rar").read_bytes()
    (source / "x.rar").write_bytes(content[:120])

    assert endings(step1()[1]) == {"x.rar": ("failed", "damaged_archive")}
