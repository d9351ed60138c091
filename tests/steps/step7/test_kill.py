"""STEP7 killed in the middle: nothing is lost, nothing half done is seen, and the next run completes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from services.results_archiver import ResultsArchiver

REPOSITORY = Path(__file__).resolve().parents[3]
DEADLINE = 60


def _start(workplace):
    log = (workplace.root / "console").open("w")
    return subprocess.Popen(
        workplace.command(), env=workplace.environment, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
    )


def _kill_when(process, is_time):
    """Kill -9 the process as soon as `is_time()`; fails when it ends before."""
    deadline = time.monotonic() + DEADLINE
    while not is_time():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=DEADLINE)


def _enlarge(path, size=200_000_000):
    """Make a file of `size` bytes of which the disk holds the last byte only, so that copying it takes a moment."""
    with path.open("r+b") as stream:
        stream.truncate(size)


def _has_content(folder, pattern):
    """Tell whether a file of the pattern holds more than a megabyte; one that is renamed away meanwhile does not."""
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > 1_000_000:
                return True
    return False


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_killed_while_copying(workplace, tree, mode):
    workplace.variables["FINALIZE_MODE"] = mode
    project = workplace.work_dir / "Projet 1"
    _enlarge(project / "sources/clip.mov")
    names = set(tree(project))
    process = _start(workplace)
    _kill_when(process, lambda: _has_content(workplace.output, "Projet 1/.derush/incoming/*"))
    assert set(tree(project)) == names
    assert "sources/clip.mov" not in tree(workplace.output / "Projet 1")
    assert workplace.run().returncode == 0
    delivered = workplace.output / "Projet 1"
    assert set(tree(delivered)) == names
    assert (delivered / "sources/clip.mov").stat().st_size == 200_000_000
    assert list((delivered / ".derush").glob("incoming*")) == []
    assert project.exists() == (mode == "copy")


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_killed_at_ten_random_moments(workplace, tree, mode):
    """Between the beginning and the end of a run, however long that is here; each kill meets what those before it left."""
    workplace.variables["FINALIZE_MODE"] = mode
    project, delivered = workplace.work_dir / "Projet 1", workplace.output / "Projet 1"
    for path in (project / "sources/clip.mov", project / "docs/clip_tracking_raw.jsonl"):
        _enlarge(path, 60_000_000)
    before = {name: len(content) for name, content in tree(project).items()}
    began = time.monotonic()
    assert workplace.run("--dry-run").returncode == 0
    dice, least = random.Random(mode), time.monotonic() - began
    for _ in range(10):
        process = _start(workplace)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=least * dice.uniform(0.5, 3))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=DEADLINE)
        there = {name: len(content) for name, content in tree(delivered).items()}
        assert there.items() <= before.items(), "a file that is not whole is in its place"
        assert there == before or {name: len(content) for name, content in tree(project).items()} == before
    assert workplace.run().returncode == 0
    assert {name: len(content) for name, content in tree(delivered).items()} == before
    assert project.exists() == (mode == "copy")
    [entry] = ResultsArchiver(workplace.archives).list()
    assert ResultsArchiver(workplace.archives).verify(entry) == []


def test_killed_while_archiving(workplace, tree):
    project = workplace.work_dir / "Projet 1"
    _enlarge(project / "docs/clip_tracking_raw.jsonl")
    process = _start(workplace)
    _kill_when(process, lambda: _has_content(workplace.archives, ".incoming-*/clip_tracking_raw.jsonl"))
    assert list(workplace.archives.glob("*/*/metadata.json")) == []
    assert workplace.run().returncode == 0
    assert [path.name[:9] for path in workplace.archives.iterdir()] == ["Projet 1 "]
    assert len(list(workplace.archives.glob("*/*/metadata.json"))) == 1


def test_interrupted_leaves_nothing_half_done(workplace, tree):
    project = workplace.work_dir / "Projet 1"
    _enlarge(project / "sources/clip.mov")
    process = _start(workplace)
    deadline = time.monotonic() + DEADLINE
    while not _has_content(workplace.output, "Projet 1/.derush/incoming/*"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=DEADLINE) == 130
    assert list((workplace.output / "Projet 1/.derush").glob("incoming*")) == []
    assert "sources/clip.mov" not in tree(workplace.output / "Projet 1")
