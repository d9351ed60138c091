"""A run of Derush whose steps do nothing: the real command line, supervisor, store, workers and step contract, no work.

Used by the benches beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
NOOP = REPOSITORY / "scripts" / "bench" / "noop_step.py"
_STEP = """
[steps.{id}]
title = "Nothing"
environment = "env"
script = "{script}"
item = "video"
after = {after}
stall_after = 600
timeout = 600
cost = 0.01
takes = {{ cpu = {{ cpu = 1 }} }}
"""


@dataclass(frozen=True)
class NoopRun:
    """A project of empty videos, and a plan that takes them through steps that do nothing, one after the other."""

    folder: Path
    variables: dict[str, str]
    videos: list[Path]

    def command(self) -> list[str]:
        """Return the command line that carries the plan out."""
        return [sys.executable, "-m", "services.cli", "run", "--plan", str(self.folder / "plan.json"), "--json"]

    def carry_out(self) -> dict[str, Any]:
        """Carry the plan out once; returns what the run tells. Its steps have no records, so it is done every time."""
        ended = subprocess.run(
            self.command(), cwd=REPOSITORY, env=self.variables, stdout=subprocess.PIPE, text=True, check=True
        )
        told: dict[str, Any] = json.loads(ended.stdout)
        return told


def noop_run(folder: Path, videos: int, steps: int) -> NoopRun:
    """Make such a run below an empty folder."""
    docs = folder / "projects" / "bench" / "docs"
    docs.mkdir(parents=True)
    paths = [docs / f"{number}.mp4" for number in range(videos)]
    for path in paths:
        path.touch()
        path.with_name(f"{path.stem}_source.json").touch()
    (folder / "steps.toml").write_text(_declaration(folder, steps), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(_plan(docs.parent, steps)), encoding="utf-8")
    own = {
        "DERUSH_STEPS_FILE": folder / "steps.toml", "DERUSH_ENV_FILE": folder / "no.env", "DATA_DIR": folder / "data",
        "PROJECTS_DIR": folder / "projects", "LOGS_DIR": folder / "logs", "OUTPUT_DIR": folder / "output",
        "ARCHIVES_DIR": folder / "archives", "CACHE_ROOT_DIR": folder,
    }  # fmt: skip
    return NoopRun(folder, {**os.environ, **{name: str(path) for name, path in own.items()}}, paths)


def _declaration(folder: Path, steps: int) -> str:
    """Declare the steps: as the real ones are, with a script each that is the same script."""
    declared = (REPOSITORY / "config" / "steps.toml").read_text(encoding="utf-8").partition("[steps.")[0]
    for number in range(1, steps + 1):
        script = folder / f"STEP{number}.py"
        script.symlink_to(NOOP)
        after = [f"STEP{number - 1}"] if number > 1 else []
        declared += _STEP.format(id=f"STEP{number}", script=script, after=json.dumps(after))
    return declared


def _plan(project: Path, steps: int) -> dict[str, Any]:
    tasks = [
        {
            "id": f"step{number}", "name": "Nothing", "step": f"STEP{number}", "files": [str(project)] if number == 1 else [],
            "depends": [f"step{number - 1}"] if number > 1 else [],
        }
        for number in range(1, steps + 1)
    ]  # fmt: skip
    return {
        "schema": "derush.plan/1", "workflow": "bench", "objective": "nothing", "parallel_tasks": [],
        "sequential_tasks": tasks, "validation": [],
    }  # fmt: skip
