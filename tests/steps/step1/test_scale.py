"""Many files and large ones: bounded memory, holes that cost nothing, names that arrive all.

The quick suite takes small measures. All of it: DERUSH_SCALE=full envs/env/bin/python -m pytest tests/steps/step1/test_scale.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.steps.step1.conftest import archive_record, endings

FULL = os.environ.get("DERUSH_SCALE") == "full"
FILES = 100_000 if FULL else 3_000
SPARSE = 20 << 30 if FULL else 1 << 30
_MOST_MEMORY = 400 << 20


_MEASURING = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as told:
    told.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))
sys.exit(code)
"""


class Measured:
    """STEP1, and the most memory in bytes that any of its processes had."""

    def __init__(self, step1, told: Path) -> None:
        self._step1 = step1
        self._told = told

    def __call__(self):
        return self._step1(under=[sys.executable, "-c", _MEASURING, str(self._told)])

    @property
    def peak(self) -> int:
        return int(self._told.read_text())


@pytest.fixture
def measured(step1, tmp_path: Path) -> Measured:
    return Measured(step1, tmp_path / "peak")


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_many_small_files(suffix, source, work, measured):
    folders = [f"card/{number:03}" for number in range(FILES // 100)]
    names = [f"{folder}/{number:03}.jpg" for folder in folders for number in range(100)]
    path = source / f"many{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name in names:
                packed.writestr(name, name)
    else:
        single = source / "single"
        single.write_bytes(b"x" * 100)
        with tarfile.open(path, "w") as packed:
            for name in names:
                packed.add(single, name)
        single.unlink()

    code, events = measured()

    assert (code, endings(events)) == (0, {path.name: ("done", None)})
    assert {f"card/{member['path']}" for member in archive_record(work / "many")["members"]} == set(names)
    assert sum(1 for file in (work / "many").rglob("*.jpg")) == FILES
    assert measured.peak < _MOST_MEMORY


@pytest.mark.timeout(1200)
def test_a_large_member_is_streamed(source, work, measured):
    """A tar that says nothing of holes: all its zeros are read, none is kept in memory or on the disk."""
    info = tarfile.TarInfo("a.mov")
    info.size = SPARSE
    with (source / "x.tar").open("wb") as archive:
        begin = archive.write(info.tobuf())
        archive.truncate(begin + SPARSE + 1024)

    code, events = measured()

    assert (code, endings(events)) == (0, {"x.tar": ("done", None)})
    (clip,) = (work / "x").glob("*.mov")
    assert clip.stat().st_size == SPARSE
    assert on_disk(clip) < 1 << 20
    assert measured.peak < _MOST_MEMORY


@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not there")
def test_the_holes_of_a_sparse_member_make_no_bomb(source, work, measured, tmp_path):
    clip = tmp_path / "a.mov"
    with clip.open("wb") as writing:
        writing.write(b"begin")
        writing.truncate(SPARSE)
        writing.seek(SPARSE // 2)
        writing.write(b"middle")
    subprocess.run(["tar", "-cSf", source / "x.tar", "-C", tmp_path, "a.mov"], check=True)
    assert (source / "x.tar").stat().st_size < 1 << 20

    code, events = measured()

    assert (code, endings(events)) == (0, {"x.tar": ("done", None)})
    with (work / "x" / "a.mov").open("rb") as reading:
        assert (reading.read(5), reading.seek(SPARSE // 2), reading.read(6)) == (b"begin", SPARSE // 2, b"middle")
    assert (work / "x" / "a.mov").stat().st_size == SPARSE
    assert measured.peak < _MOST_MEMORY
