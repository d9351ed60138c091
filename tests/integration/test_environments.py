"""Building an environment for real: killed in the middle, repeated, twice at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest

from config.catalog import environments
from services.environments import HOME_ENVIRONMENT, Environment
from tests.conftest import REPOSITORY, wait_until

NAME = "tracking_env"  # the smallest


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder of environments below one whose name has a space and an accent."""
    return tmp_path / "mes environnements é"


def variables(base: Path) -> dict[str, str]:
    return {**os.environ, "VENV_BASE_DIR": str(base), "DERUSH_ENV_FILE": os.devnull, "TORCH_VARIANT": "auto"}


def start(base: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.environments", NAME], cwd=REPOSITORY, env=variables(base),
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
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


def test_derush_rebuilds_the_environment_that_it_runs_in(base: Path) -> None:
    """What runs the command is removed and comes back, whichever name of its folder it is called by."""
    environment = Environment(environments()[HOME_ENVIRONMENT], base / HOME_ENVIRONMENT, "auto")
    venv.create(environment.root, symlinks=True)
    (packages,) = environment.root.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # as good as installed, and quickly there
    base.with_name("linked").symlink_to(base)
    ended = subprocess.run(
        [environment.interpreter, "-m", "services.cli", "envs", "rebuild", HOME_ENVIRONMENT], cwd=REPOSITORY,
        env={**variables(base), "VENV_BASE_DIR": str(base.with_name("linked"))}, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "`scripts/setup.sh --again env`" in ended.stderr
    assert not (packages / "borrowed.pth").exists()
    assert environment.is_built() and environment.health() is None
    version = subprocess.run(
        [environment.root / "bin" / "derush", "--version"], capture_output=True, text=True, timeout=60
    )
    assert version.stdout.startswith("Derush ")


def test_two_builds_at_once_take_turns(base: Path) -> None:
    outputs = [said(process) for process in [start(base), start(base)]]
    assert sum("building" in output for output in outputs) == 1
    assert sum("waiting" in output for output in outputs) == 1
