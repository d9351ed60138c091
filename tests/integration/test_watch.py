"""`derush watch`: what comes to a folder is taken in by a run of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.processes import DERUSH, start


@pytest.fixture
def variables(places: dict[str, str]) -> dict[str, str]:
    return {**places, "STEP1_SETTLE_SEC": "0.3", "DISK_RESERVE_GB": "0", "DISK_WARNING_GB": "0"}


@pytest.fixture
def watch(variables: dict[str, str], rushes: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with (tmp_path / "said").open("w") as said:
        process = start([*DERUSH, "watch", str(rushes), "--steps", "1", "--keyword", "camille"], variables, output=said)
    yield process
    process.kill()
    process.wait()


def runs(variables: dict[str, str]) -> list[dict]:
    ended = subprocess.run([*DERUSH, "history", "--json"], env=variables, capture_output=True, text=True, timeout=60)
    return json.loads(ended.stdout)["runs"] if ended.returncode == 0 else []


def archive(path: Path, clip: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(clip, clip)
    return path


def test_what_comes_is_taken_in_and_runs_outlive_the_watch(
    watch: subprocess.Popen[str], variables: dict[str, str], rushes: Path, tmp_path: Path
) -> None:
    projects = Path(variables["PROJECTS_DIR"])
    said = tmp_path / "said"
    wait_until(lambda: "Watching" in said.read_text(), 60, "the watch")
    archive(rushes / "nobody.zip", "z.mp4")
    archive(tmp_path / "Camille 1.zip", "a.mp4").rename(rushes / "Camille 1.zip")
    wait_until((projects / "Camille 1" / "a.mp4").exists, 60, "the first one")
    wait_until(lambda: "Camille 1.zip: succeeded (1 succeeded)" in said.read_text(), 60, "the word of its end")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and nothing else")
    (tmp_path / "broken.zip").rename(rushes / "Camille [raw].zip")
    wait_until(lambda: "Camille [raw].zip: failed (1 failed); derush show " in said.read_text(), 60, "a bad end")
    archive(tmp_path / "Camille 2.zip", "b.mp4").rename(rushes / "Camille 2.zip")
    wait_until((projects / "Camille 2" / "b.mp4").exists, 60, "the second one")
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(30) == 0
    wait_until(
        lambda: [run["status"] for run in runs(variables)] == ["succeeded", "failed", "succeeded"], 60, "the runs' ends"
    )
    assert not (projects / "nobody").exists()
    assert "nobody.zip: left out" in said.read_text()
    for run in runs(variables):
        assert run["execution_id"] in said.read_text()


@pytest.mark.parametrize("arguments", [["gone"], [".", "--steps", "9"]])
def test_what_cannot_be_watched_is_said_at_once(variables: dict[str, str], arguments: list[str]) -> None:
    began = time.monotonic()
    process = start([*DERUSH, "watch", *arguments], variables)
    _out, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (2, False)
    assert time.monotonic() - began < 30
