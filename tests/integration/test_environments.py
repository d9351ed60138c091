"""Building an environment for real: killed in the middle, repeated, twice at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.catalog import environments
from services.environments import Environment
from tests.conftest import REPOSITORY, wait_until

NAME = "tracking_env"  # the smallest


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder of environments below one whose name has a space and an accent."""
    return tmp_path / "mes environnements é"


def start(base: Path) -> subprocess.Popen[str]:
    variables = {**os.environ, "VENV_BASE_DIR": str(base), "DERUSH_ENV_FILE": os.devnull, "TORCH_VARIANT": "auto"}
    return subprocess.Popen(
        [sys.executable, "-m", "services.environments", NAME], cwd=REPOSITORY, env=variables, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    return output


def test_a_build_that_was_killed_is_begun_anew_and_one_that_is_done_is_left(base: Path) -> None:
    environment = Environment(environments()[NAME], base / NAME, "auto")
    process = start(base)
    wait_until(environment.interpreter.exists, 60, "the build has begun")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not environment.is_built()
    assert "building" in said(start(base))
    assert environment.is_built() and environment.health() is None
    started = time.monotonic()
    assert said(start(base)) == ""
    assert time.monotonic() - started < 3


def test_two_builds_at_once_take_turns(base: Path) -> None:
    outputs = [said(process) for process in [start(base), start(base)]]
    assert sum("building" in output for output in outputs) == 1
    assert sum("waiting" in output for output in outputs) == 1
