"""Rar: stored members need no tool; compressed ones do, and without it the error says which."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import pytest

from tests.steps.step1.conftest import endings, tree

SAMPLES = Path(__file__).parent / "rar"
TOOLS = ("unrar", "unar", "bsdtar")


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
        ("rar5-psw", "encrypted_archive"),
        ("rar5-hpsw", "encrypted_archive"),
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
    assert all(tool in error["remedy"] for tool in TOOLS)
    assert [path.name for path in work.iterdir()] == [".derush"]


@pytest.mark.skipif(not any(map(shutil.which, TOOLS)), reason="none of unrar, unar, bsdtar is installed")
@pytest.mark.parametrize("name", ["rar5-crc", "rar5-solid"])
def test_compressed_members_come_out(name, source, work, step1):
    shutil.copy(SAMPLES / f"{name}.rar", source / "x.rar")

    assert step1()[0] == 0

    # The checksum as the sample's own header has it: both files of both samples are the same.
    sums = {path: (len(content), zlib.crc32(content)) for path, content in tree(work / "x").items()}
    assert sums == {"stest1.txt": (2048, 0xC5B7E6A2), "stest2.txt": (2048, 0xC5B7E6A2)}


def test_a_cut_off_rar_is_damaged(source, step1):
    content = (SAMPLES / "rar5-subdirs.rar").read_bytes()
    (source / "x.rar").write_bytes(content[:120])

    assert endings(step1()[1]) == {"x.rar": ("failed", "damaged_archive")}
