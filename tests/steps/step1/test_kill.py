"""Killed at any point, a second run completes the work, and no half project is ever seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.conftest import wait_until
from tests.steps.step1.conftest import SCRIPT, archive_record, endings, tree
from tests.steps.step1.packing import files, pack

# Dies at the n-th event of a kind: between any two moves, or in the middle of the members.
DIES = """
import os, runpy, sys
wanted, script = int(sys.argv[1]), sys.argv[2]
seen = 0
def watch(event, arguments):
    global seen
    if event in ("os.rename", "os.mkdir") or (event == "open" and isinstance(arguments[0], str) and arguments[0].endswith(".mp4")):
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), 9)
sys.addaudithook(watch)
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


def test_killed_anywhere_then_run_again(source, work, step1, places):
    contents = {f"root/clip {number}.mp4": os.urandom(1000) for number in range(4)}
    projects = count = 0
    while True:
        count += 1
        archive = pack(source / f"take{count}.tar.gz", files({**contents, "root/n.txt": str(count).encode()}))
        killed = subprocess.run(
            [sys.executable, "-c", DIES, str(count), str(SCRIPT), "--source-dir", str(archive)],
            env=places, capture_output=True, timeout=60,
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


def test_interrupted_it_leaves_no_partial_file(source, work, step1, places):
    pack(source / "large.tar.xz", files({f"{number}.mp4": os.urandom(8 << 20) for number in range(6)}))
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--source-dir", str(source)], env=places, stderr=subprocess.DEVNULL
    )
    scratch = work / ".derush" / "tmp"
    wait_until(lambda: list(scratch.rglob("*.mp4")), what="the extraction")

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 130
    assert not list(scratch.iterdir())
    assert [path.name for path in work.iterdir()] == [".derush"]
    assert endings(step1()[1]) == {"large.tar.xz": ("done", None)}


def test_a_full_disk_is_named_and_leaves_nothing(source, work, places):
    pack(source / "x.zip", files({"a.mp4": os.urandom(4 << 20)}))
    limited = f"ulimit -f 2048; exec {sys.executable} {SCRIPT} --source-dir '{source}'"  # files of at most 2 MiB

    done = subprocess.run(["bash", "-c", f"trap '' XFSZ; {limited}"], env=places, capture_output=True, text=True)

    assert done.returncode == 1
    assert [path.name for path in work.iterdir()] == [".derush"]
    assert not list((work / ".derush" / "tmp").iterdir())
