"""Kills for real, in the middle of real work: the run reports, goes on, and a second run completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, is_alive, wait_until
from tests.integration.media import make_clip

COMMAND = [sys.executable, "-m", "services.cli", "run"]


def start(places: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=REPOSITORY, env=places, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def descendants(pid: int) -> list[int]:
    """Return all processes below one, by the kernel's own list."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def workers(pid: int) -> dict[int, list[str]]:
    """Return the step workers below a process, with their command lines: those that tell events."""
    found = {}
    for child in descendants(pid):
        try:
            arguments = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "--events" in arguments:
            found[child] = arguments
    return found


@pytest.fixture
def rushes(tmp_path: Path) -> Path:
    folder = tmp_path / "rushes"
    for name in ("a", "b", "c"):
        make_clip(folder / f"{name}.mp4", seconds=12)
    return folder


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=280)
    assert out, err
    told: dict[str, Any] = json.loads(out)
    return told


def partial_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "tmp" in path.parts[-3:-1])


@pytest.mark.parametrize(
    ("script", "step"), [("run_transnet.py", "STEP3"), ("run_tracking_manager.py", "STEP5")], ids=["scenes", "tracking"]
)
def test_a_killed_workers_video_is_done_by_the_next_worker(
    places: dict[str, str], rushes: Path, tmp_path: Path, script: str, step: str
) -> None:
    process = start(places, str(rushes), "--json")
    victims: list[int] = []

    def found() -> bool:
        """The worker is in the middle of a video: it has a child that decodes for it."""
        for child, arguments in workers(process.pid).items():
            if any(argument.endswith(script) for argument in arguments) and descendants(child):
                victims.append(child)
        return bool(victims)

    wait_until(found, 200, f"{step} at work")
    os.kill(victims[0], signal.SIGKILL)
    told = finish(process)
    assert told["exit_code"] == 0, told["failures"]
    assert told["steps"][step]["counts"] == {"done": 3}, "what was at work was tried again, by a new worker"
    assert told["steps"]["STEP6"]["counts"] == {"done": 3}
    again = finish(start(places, str(rushes), "--json"))
    assert again["exit_code"] == 0
    assert again["steps"][step]["counts"] == {"up_to_date": 3}
    assert again["steps"]["STEP6"]["counts"] == {"up_to_date": 3}


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_no_process_and_no_partial_file(
    places: dict[str, str], rushes: Path, tmp_path: Path, times: int
) -> None:
    process = start(places, str(rushes), "--json")
    wait_until(lambda: len(workers(process.pid)) >= 3, 200, "several workers at work")
    family = descendants(process.pid)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < (15 if times == 1 else 5)
    wait_until(lambda: not any(is_alive(pid) for pid in family), 5, "every process is gone")
    if times == 1:
        assert not list(partial_files(tmp_path / "projets_extraits"))


def test_a_killed_supervisor_leaves_no_worker_behind(places: dict[str, str], rushes: Path) -> None:
    process = start(places, str(rushes), "--json")
    wait_until(lambda: len(workers(process.pid)) >= 2, 200, "workers at work")
    family = descendants(process.pid)
    process.kill()
    process.communicate(timeout=10)
    wait_until(lambda: not any(is_alive(pid) for pid in family), 60, "the workers notice that nobody listens")
