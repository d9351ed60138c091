"""Killed at any point, a second run completes the work and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, is_alive, wait_until
from tests.steps.step2.clips import numbers_in, times_at, write_clip
from tests.steps.step2.conftest import SCRIPT, endings, facts_of

F = Fraction

# Dies at the n-th rename of the run: between any two moves of files.
DIES_AT_A_RENAME = """
import os, runpy, sys
wanted, script = int(sys.argv[1]), sys.argv[2]
seen = 0
def watch(event, arguments):
    global seen
    if event == "os.rename":
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), 9)
sys.addaudithook(watch)
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("clip", [("A001.mov", F(24)), ("A001.mp4", F(25))])
def test_killed_between_any_two_renames(clip, project, step2, places, tmp_path):
    name, rate = clip
    (tmp_path / "here").mkdir()
    count, outcomes = 1, set()
    while True:
        folder = project.parent / f"take {count}"
        folder.mkdir()
        original = write_clip(folder / name, times_at(rate, 12), 1 / rate, container_options={"movflags": "+faststart"})
        content = original.read_bytes()
        killed = subprocess.run(
            [sys.executable, "-c", DIES_AT_A_RENAME, str(count), str(SCRIPT), "--project", str(folder)],
            cwd=tmp_path / "here", env=places, capture_output=True, timeout=60,
        )  # fmt: skip
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL
        outcomes.add(tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("A001*") if ".derush" not in str(path))))  # fmt: skip

        code, _events = step2("--project", str(folder))

        assert code == 0
        assert (folder / "sources" / name).read_bytes() == content
        assert not original.exists()
        facts = facts_of(folder, "A001")
        assert facts["original"]["sha256"] == hashlib.sha256(content).hexdigest()
        proxy = folder / "docs" / "A001.mp4"
        assert facts["proxy"]["sha256"] == hashlib.sha256(proxy.read_bytes()).hexdigest()
        assert len(numbers_in(proxy)) == facts["proxy"]["frames"]
        assert not list((folder / ".derush" / "tmp").iterdir())
        assert endings(step2("--project", str(folder))[1]) == {name: ("up_to_date", None)}
        count += 1
    assert len(outcomes) >= 4  # nothing moved; original moved; facts there; proxy there


def test_killed_while_ffmpeg_encodes_then_run_again(project, step2, places, tmp_path):
    original = write_clip(project / "long.mov", times_at(F(24), 400), F(1, 24), width=640, height=352)
    content = original.read_bytes()
    events = tmp_path / "first.jsonl"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--events", str(events)], cwd=tmp_path, start_new_session=True,
        env={**places, "STEP2_PRESET": "veryslow"}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    scratch = project / ".derush" / "tmp"
    wait_until(lambda: list(scratch.glob("*/proxy.mp4")), what="the encoding")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert original.read_bytes() == content
    assert not (project / "docs").exists()

    code, again = step2()

    assert (code, endings(again)) == (0, {"long.mov": ("done", None)})
    assert not list(scratch.iterdir())
    assert (project / "sources" / "long.mov").read_bytes() == content


def test_interrupted_it_leaves_no_ffmpeg_and_no_file(project, places, tmp_path):
    original = write_clip(project / "long.mov", times_at(F(24), 400), F(1, 24), width=640, height=352)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        cwd=tmp_path,
        env={**places, "STEP2_PRESET": "veryslow"},
        stderr=subprocess.DEVNULL,
    )
    scratch = project / ".derush" / "tmp"
    wait_until(lambda: list(scratch.glob("*/proxy.mp4")), what="the encoding")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=20) == 130
    assert children
    assert not any(is_alive(int(child)) for child in children)
    assert not list(scratch.iterdir())
    assert original.exists()
    assert not (project / "docs").exists()
    assert not (tmp_path / "videos_to_track.json").exists()


def test_help_names_the_options(places):
    shown = subprocess.run([sys.executable, str(SCRIPT), "--help"], env=places, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "--videos" in shown.stdout
    assert json.dumps(str(REPOSITORY)) not in shown.stdout
