"""A child process that eats, hangs, dies or is abandoned costs its archive and no more, and what it did has a name."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, wait_until
from workflow_scripts.step1.confinement import Confined, Confines
from workflow_scripts.stepkit.errors import ItemError

CONFINES = Confines(memory=4 << 30, file=1 << 40, seconds=60)


def ended(work, confines: Confines = CONFINES) -> str:
    """The code of the error that a piece of work ends with."""
    with Confined(work, confines) as child, pytest.raises(ItemError) as error:
        child.result()
    assert error.value.remedy
    return error.value.code


def test_what_the_work_returns_and_how_far_it_is_comes_back():
    told = []

    def work(progress):
        progress(1, 2, 1)
        return {"members": ["é"]}

    with Confined(work, CONFINES) as child:
        assert child.result(lambda done, total: told.append((done, total))) == {"members": ["é"]}
    assert told == [(1, 2)]


def test_its_error_comes_back():
    def work(_progress):
        raise ItemError("some_code", "A sentence.", "A remedy.")

    assert ended(work) == "some_code"


def test_too_much_memory_is_an_error_with_a_name():
    assert ended(lambda _progress: {"much": len(bytearray(8 << 30))}) == "archive_too_hungry"


def test_a_death_is_an_error_with_a_name():
    assert ended(lambda _progress: os.kill(os.getpid(), signal.SIGALRM)) == "extraction_died"
    assert ended(lambda _progress: os._exit(3)) == "extraction_died"


def test_who_hangs_is_ended():
    started = time.monotonic()
    assert ended(lambda _progress: time.sleep(600), Confines(4 << 30, 1 << 40, 0.5)) == "extraction_timeout"
    assert time.monotonic() - started < 20


def test_who_gets_on_has_more_time():
    def work(progress):
        for files in range(8):
            progress(0, 0, files * 10)
            time.sleep(0.25)
        return {}

    with Confined(work, Confines(4 << 30, 1 << 40, 0.5)) as child:
        assert child.result() == {}


def test_a_full_disk_is_named():
    def work(_progress):
        raise OSError(28, "No space left on device")

    assert ended(work) == "disk_full"


def test_its_limits_are_the_kernels():
    kinds = ("RLIMIT_CORE", "RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_FSIZE")

    def work(_progress):
        return {kind: resource.getrlimit(getattr(resource, kind)) for kind in kinds}

    with Confined(work, CONFINES) as child:
        limits = child.result()
    assert limits["RLIMIT_CORE"] == [0, 0]
    assert limits["RLIMIT_AS"] == [CONFINES.memory] * 2
    assert 0 < limits["RLIMIT_NOFILE"][1] <= 1024
    assert limits["RLIMIT_FSIZE"] == [CONFINES.file] * 2


ABANDONED = f"""
import os, sys, time
sys.path.insert(0, {str(REPOSITORY)!r})
from workflow_scripts.step1.confinement import Confined, Confines
def work(_progress):
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(600)
with Confined(work, Confines(4 << 30, 1 << 40, 600)) as child:
    child.result()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the child notices at its next word")
def test_the_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path):
    mark = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", ABANDONED, str(mark)])
    wait_until(lambda: mark.exists() and mark.read_text(), what="the child")
    parent.kill()
    parent.wait()
    wait_until(lambda: not _is_alive(int(mark.read_text())), what="the child's end")


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False
