"""Scratch folders: one process at a time works in one, and what a killed one leaves is swept up by others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.locks import lock, try_lock, unlock
from config.scratch import Scratch, sweep
from tests.conftest import REPOSITORY, has_open, wait_until

AT_WORK = """\
import sys
from pathlib import Path
from config.scratch import Scratch
(Scratch(Path(sys.argv[1]), "STEP3-a").folder() / "half").touch()
print("at work", flush=True)
sys.stdin.read()
"""
OVER_AND_OVER = """\
import sys
from pathlib import Path
from config.scratch import Scratch, sweep
root = Path(sys.argv[1])
for number in range(200):
    scratch = Scratch(root, "STEP3-a")
    with (scratch.folder() / "mine").open("x"):
        sweep(root)
    (scratch.folder() / "mine").rename(scratch.folder() / "done")
    scratch.remove()
"""


def content(root: Path) -> list[str]:
    place = root / ".derush" / "tmp"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


@contextmanager
def worker(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works in a scratch folder until its input ends."""
    command = [sys.executable, "-c", AT_WORK, str(root)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "at work\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_folder_is_there_while_it_is_worked_in_and_leaves_nothing(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "STEP3-a")
    scratch.remove()
    assert not list(tmp_path.iterdir()), "nothing is made before it is asked for"
    (scratch.folder() / "half").touch()
    assert content(tmp_path) == ["STEP3-a", "STEP3-a.lock", "STEP3-a/half"]
    assert scratch.folder() == tmp_path / ".derush" / "tmp" / "STEP3-a"
    assert (scratch.folder() / "half").exists(), "it is made once"
    scratch.remove()
    assert content(tmp_path) == []


def test_what_moves_away_does_not_come_back_by_itself(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "STEP1-a")
    (scratch.folder() / "clip").touch()
    scratch.folder().rename(tmp_path / "project")
    assert list(scratch.folder().iterdir()) == []
    scratch.remove()
    assert (tmp_path / "project" / "clip").exists()


def test_what_is_worked_in_is_never_swept_and_what_a_killed_process_left_is(tmp_path: Path) -> None:
    with worker(tmp_path) as process:
        sweep(tmp_path)
        assert content(tmp_path) == ["STEP3-a", "STEP3-a.lock", "STEP3-a/half"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert content(tmp_path) == ["STEP3-a", "STEP3-a.lock", "STEP3-a/half"]
        sweep(tmp_path)
        assert content(tmp_path) == []


def test_a_folder_without_a_lock_is_swept_and_so_is_a_lock_without_a_folder(tmp_path: Path) -> None:
    place = tmp_path / ".derush" / "tmp"
    (place / "STEP3-a").mkdir(parents=True)
    (place / "STEP4-b.lock").touch()
    sweep(tmp_path)
    assert content(tmp_path) == []


def test_there_may_be_nothing_to_sweep(tmp_path: Path) -> None:
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_a_link_in_the_place_of_a_folder_or_a_lock_is_not_followed(tmp_path: Path) -> None:
    place, precious = tmp_path / "p" / ".derush" / "tmp", tmp_path / "precious"
    place.mkdir(parents=True)
    (precious / "inside").mkdir(parents=True)
    (place / "STEP3-a").symlink_to(precious)
    (place / "STEP2-b.lock").symlink_to(tmp_path / "made by a link")
    (place / "STEP4-c").mkdir()
    sweep(tmp_path / "p")
    assert not (place / "STEP4-c").exists(), "the others are swept all the same"
    assert (precious / "inside").is_dir()
    assert not (tmp_path / "made by a link").exists()


def test_a_second_process_at_the_same_item_waits_and_begins_with_nothing(tmp_path: Path) -> None:
    seen: list[list[Path]] = []

    def work() -> None:
        scratch = Scratch(tmp_path, "STEP3-a")
        seen.append(list(scratch.folder().iterdir()))
        scratch.remove()

    lock_file = tmp_path / ".derush" / "tmp" / "STEP3-a.lock"
    with worker(tmp_path) as process:
        second = threading.Thread(target=work, daemon=True)
        second.start()
        wait_until(lambda: has_open(os.getpid(), lock_file), 10, "the second at the lock")
        assert seen == []
        process.send_signal(signal.SIGKILL)
        second.join(10)
    assert seen == [[]]
    assert content(tmp_path) == []


def test_many_that_work_and_sweep_at_once_never_take_each_others_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OVER_AND_OVER, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ended = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, ended
    assert content(tmp_path) == []


def test_a_lock_is_had_by_one_and_free_when_it_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = lock(path)
    assert try_lock(path) is None
    unlock(held, path)
    assert not path.exists()
    again = try_lock(path)
    assert again is not None
    unlock(again, path)


def test_a_lock_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock(tmp_path / "nowhere" / "lock")
