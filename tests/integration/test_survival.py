"""Kills for real, in the middle of real work: the run reports, goes on, and a second run completes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import is_alive, wait_until
from tests.integration.media import make_clip
from tests.integration.processes import DERUSH, command_line, descendants, start, told_by


def run(places: dict[str, str], rushes: Path) -> subprocess.Popen[str]:
    """Start a run of all steps."""
    return start([*DERUSH, "run", str(rushes), "--json"], places)


def workers(pid: int) -> dict[int, list[str]]:
    """Return the step workers below a process, with their command lines: those that tell events."""
    lines = {child: command_line(child) for child in descendants(pid)}
    return {child: arguments for child, arguments in lines.items() if "--events" in arguments}


@pytest.fixture
def rushes(tmp_path: Path) -> Path:
    folder = tmp_path / "rushes"
    for name in ("a", "b", "c"):
        make_clip(folder / f"{name}.mp4", seconds=12)
    return folder


def partial_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "tmp" in path.parts[-3:-1])


@pytest.mark.parametrize(
    ("script", "step"), [("run_transnet.py", "STEP3"), ("run_tracking_manager.py", "STEP5")], ids=["scenes", "tracking"]
)
def test_a_killed_workers_video_is_done_by_the_next_worker(
    places: dict[str, str], rushes: Path, tmp_path: Path, script: str, step: str
) -> None:
    process = run(places, rushes)
    victims: list[int] = []

    def found() -> bool:
        """The worker is in the middle of a video: it has a child that decodes for it."""
        for child, arguments in workers(process.pid).items():
            if any(argument.endswith(script) for argument in arguments) and descendants(child):
                victims.append(child)
        return bool(victims)

    wait_until(found, 200, f"{step} at work")
    os.kill(victims[0], signal.SIGKILL)
    told = told_by(process, seconds=280)
    assert told["exit_code"] == 0, told["failures"]
    assert told["steps"][step]["counts"] == {"done": 3}, "what was at work was tried again, by a new worker"
    assert told["steps"]["STEP6"]["counts"] == {"done": 3}
    again = told_by(run(places, rushes), seconds=280)
    assert again["exit_code"] == 0
    assert again["steps"][step]["counts"] == {"up_to_date": 3}
    assert again["steps"]["STEP6"]["counts"] == {"up_to_date": 3}


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_no_process_and_no_partial_file(
    places: dict[str, str], rushes: Path, tmp_path: Path, times: int
) -> None:
    process = run(places, rushes)
    wait_until(lambda: len(workers(process.pid)) >= 3, 200, "several workers at work")
    family = descendants(process.pid)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < (15 if times == 1 else 5)
    wait_until(lambda: not any(is_alive(pid) for pid in family), 5, "every process is gone")
    assert not list(partial_files(tmp_path / "projets_extraits"))


def test_a_killed_supervisor_leaves_no_worker_behind(places: dict[str, str], rushes: Path) -> None:
    process = run(places, rushes)
    wait_until(lambda: len(workers(process.pid)) >= 2, 200, "workers at work")
    family = descendants(process.pid)
    process.kill()
    process.communicate(timeout=10)
    wait_until(lambda: not any(is_alive(pid) for pid in family), 60, "the workers notice that nobody listens")
