"""What every test may use. Nothing here imports a package that only one environment has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def wait_until(condition: Callable[[], object], seconds: float = 20, what: str = "the condition") -> None:
    """Wait for a condition with a deadline; there are no fixed sleeps in these tests."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed in the meantime
            if link.readlink() == path:
                return True
    return False


def missing(what: str) -> NoReturn:
    """Skip a test for want of something that CI must have: there it fails, unless CI said that it cannot be had."""
    if os.environ.get("CI_REQUIRES_ALL") and what not in os.environ.get("CI_CANNOT_HAVE", "").split():
        pytest.fail(f"CI needs {what}")
    pytest.skip(f"not here: {what}")


def as_one_who_needs_rights() -> list[str]:
    """Begin a command that is held to the rights of files, which root as such is not."""
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", "--bounding-set", rights, "--inh-caps", rights] if os.geteuid() == 0 else []


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """An environment whose every folder is below the test's own."""
    return environment_below(tmp_path)


def environment_below(folder: Path) -> dict[str, str]:
    """Return an environment whose every folder is below one, without what a person set."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("STEP", "LEMONFOX", "AUDIO"))},
        "DERUSH_ENV_FILE": str(folder / "no.env"),
        "PROJECTS_DIR": str(folder / "projets_extraits"),
        "OUTPUT_DIR": str(folder / "output"),
        "ARCHIVES_DIR": str(folder / "archives"),
        "LOGS_DIR": str(folder / "logs"),
        "DATA_DIR": str(folder / "data"),
        "UPLOADS_DIR": str(folder / "uploads"),
        "CACHE_ROOT_DIR": str(folder),
        "STEP1_MIN_SIZE_MB": "0",  # what tests deliver is tiny
    }


@pytest.fixture
def rushes(tmp_path: Path) -> Path:
    """An empty folder, for what is delivered."""
    folder = tmp_path / "rushes"
    folder.mkdir()
    return folder


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a program, in the place of the machine's own, notes what it is asked to open."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / ("open" if sys.platform == "darwin" else "xdg-open")
    program.write_text(f'#!/bin/sh\nprintf "%s" "$*" > {tmp_path}/opened\nexit "${{OPENER_EXIT:-0}}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":7")
    return tmp_path / "opened"


@pytest.fixture
def run_derush(places: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `derush` as a person would, and give back how it ended."""

    def run(*arguments: str, timeout: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, env={**places, **variables}, capture_output=True, text=True, timeout=timeout
        )

    return run


def events_of(path: Path) -> list[dict[str, object]]:
    """Read the events a step wrote to a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
