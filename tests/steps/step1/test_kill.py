"""Killed at any point, a second run completes the work, and no half project is ever seen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.conftest import wait_until
from tests.steps.step1.conftest import SCRIPT, archive_record, endings, tree
from tests.steps.step1.packing import files, pack

# Dies at the n-th event of a kind, between any two moves or in the middle of the members: with all it started, or alone,
# or only the process that unpacks.
DIES = """
import mmap, os, runpy, sys
victim, wanted, script = sys.argv[1], int(sys.argv[2]), sys.argv[3]
main, seen = os.getpid(), mmap.mmap(-1, 4)  # counted across processes
def watch(event, arguments):
    if victim == "child" and os.getpid() == main:
        return
    if event in ("os.rename", "os.mkdir") or (event == "open" and isinstance(arguments[0], str) and arguments[0].endswith(".mp4")):
        seen[:] = (int.from_bytes(seen, "big") + 1).to_bytes(4, "big")
        if int.from_bytes(seen, "big") == wanted:
            if victim == "all":
                os.killpg(0, 9)
            os.kill(main if victim == "worker" else os.getpid(), 9)
sys.addaudithook(watch)
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("victim", ["all", "worker"])
def test_killed_anywhere_then_run_again(victim, source, work, step1, places):
    contents = {f"root/clip {number}.mp4": os.urandom(1000) for number in range(4)}
    projects = count = 0
    while True:
        count += 1
        archive = pack(source / f"take{count}.tar.gz", files({**contents, "root/n.txt": str(count).encode()}))
        killed = subprocess.run(
            [sys.executable, "-c", DIES, victim, str(count), str(SCRIPT), "--source-dir", str(archive)],
            env=places, capture_output=True, timeout=60, start_new_session=True,
        )  # fmt: skip
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL
        seen = [path for path in work.iterdir() if path.name == f"take{count}"] if work.exists() else []
        for project in seen:  # if it is there at all, it is whole
            assert len(archive_record(project)["members"]) == len(tree(project)) == 5

        code, _events = step1("--source-dir", str(archive))

        assert code == 0
        assert tree(work / f"take{count}") == {
            **{name.removeprefix("root/"): content for name, content in contents.items()},
            "n.txt": str(count).encode(),
        }
        projects += 1
        assert len([path for path in work.iterdir() if path.name != ".derush"]) == projects
        assert not list((work / ".derush" / "tmp").iterdir())
    assert count > 8


def test_a_process_that_dies_while_it_unpacks_costs_its_archive_alone(source, work, places):
    pack(source / "a.tar", files({f"{number}.mp4": b"x" for number in range(4)}))
    pack(source / "b.tar", files({"b.mp4": b"b"}))

    ended = subprocess.run(
        [sys.executable, "-c", DIES, "child", "3", str(SCRIPT), "--source-dir", str(source)],
        env=places, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "a.tar failed (archive_too_hungry)" in ended.stderr  # whom else but the kernel, short of memory, kills it?
    assert [path.name for path in work.iterdir() if path.name != ".derush"] == ["b"]
    assert not list((work / ".derush" / "tmp").iterdir())


def test_interrupted_it_leaves_no_partial_file(source, work, step1, places):
    pack(source / "large.tar.bz2", files({f"{number}.mp4": os.urandom(8 << 20) for number in range(6)}))
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--source-dir", str(source)], env=places, stderr=subprocess.DEVNULL
    )
    scratch = work / ".derush" / "tmp"
    wait_until(lambda: list(scratch.rglob("*.mp4")), what="the extraction")

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 130
    assert not list(scratch.iterdir())
    assert [path.name for path in work.iterdir()] == [".derush"]
    assert endings(step1()[1]) == {"large.tar.bz2": ("done", None)}


def test_a_full_disk_is_named_and_leaves_nothing(source, work, places):
    pack(source / "x.zip", files({"a.mp4": os.urandom(4 << 20)}))
    limited = f"ulimit -f 2048; exec {sys.executable} {SCRIPT} --source-dir '{source}'"  # files of at most 2 MiB

    done = subprocess.run(["bash", "-c", f"trap '' XFSZ; {limited}"], env=places, capture_output=True, text=True)

    assert done.returncode == 1
    assert [path.name for path in work.iterdir()] == [".derush"]
    assert not list((work / ".derush" / "tmp").iterdir())


@pytest.fixture
def small_disk(work):
    """The work directory as a disk of its own that has room for a few dozen files."""
    work.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=400m,nr_inodes=60", "tmpfs", str(work)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a disk")
    yield work
    subprocess.run(["umount", "--lazy", str(work)], check=True)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".7z"])
def test_a_disk_that_gets_full_in_the_middle_keeps_nothing_half(suffix, source, small_disk, step1):
    pack(source / "few.zip", files({f"{number}.mp4": b"x" for number in range(5)}))
    pack(source / f"many{suffix}", files({f"{number}.mp4": b"x" for number in range(100)}))

    code, events = step1()

    assert code == 1
    assert endings(events) == {"few.zip": ("done", None), f"many{suffix}": ("failed", "disk_full")}
    assert {path.name for path in small_disk.iterdir()} == {".derush", "few"}
    assert not list((small_disk / ".derush" / "tmp").iterdir())


def test_an_archive_that_holds_more_than_there_is_room_for_is_stopped_on_the_way(source, small_disk, step1):
    pack(source / "x.zip", files({f"{number}.mp4": os.urandom(8 << 20) * 5 for number in range(4)}))  # 160 MB

    code, events = step1()

    assert (code, endings(events)) == (1, {"x.zip": ("failed", "disk_full")})
    assert {path.name for path in small_disk.iterdir()} == {".derush"}
