"""A Derush whose seven steps take milliseconds: the real command line, runner, store and worker processes, no model."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, is_alive, wait_until
from tests.fakes.pipeline import ARCHIVE_SUFFIX
from tests.integration.processes import DERUSH, command_line, start

ALL_STEPS = tuple(f"STEP{number}" for number in range(1, 8))
_SCRIPT = """\
import sys
sys.path[0] = {repository!r}
from tests.fakes.pipeline import main
sys.exit(main({step_id!r}))
"""


@dataclass
class Miniature:
    """One installation below a test's folder."""

    folder: Path
    variables: dict[str, str]

    @property
    def projects(self) -> Path:
        return Path(self.variables["PROJECTS_DIR"])

    def archive(self, name: str, *originals: str) -> Path:
        """Write an archive that brings these originals."""
        path = self.folder / "in" / f"{name}{ARCHIVE_SUFFIX}"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(originals))
        return path

    def command(self, *arguments: str) -> list[str]:
        return [*DERUSH, *arguments]

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start `derush` and return at once."""
        return start(self.command(*arguments), {**self.variables, **variables})

    def derush(self, *arguments: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `derush` to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=REPOSITORY, env={**self.variables, **variables}, capture_output=True,
            text=True, timeout=timeout,
        )  # fmt: skip

    def answer(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """Run `derush … --json` to its end and return what it told."""
        ended = self.derush(*arguments, "--json", **variables)
        assert ended.stdout, ended.stderr
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    def run(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """Run `derush run … --json` to its end and return what it told."""
        return self.answer("run", *arguments, **variables)

    def counts(self) -> Counter[str]:
        """How often each step did what: `STEP3 a begin`."""
        path = Path(self.variables["FAKE_COUNTS"])
        return Counter(path.read_text().splitlines() if path.exists() else ())

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        with sqlite3.connect(self.folder / "data" / "derush.sqlite3", timeout=20) as connection:
            return connection.execute(sql, values).fetchall()

    def status(self, run_id: str | None = None) -> str | None:
        """The status of a run (by default the newest), None while there is none."""
        if not (self.folder / "data" / "derush.sqlite3").exists():
            return None
        which, values = ("id = ?", [run_id]) if run_id else ("kind = 'run'", [])
        try:
            found = self.rows(f"SELECT status FROM executions WHERE {which} ORDER BY queued_at DESC", *values)
        except sqlite3.OperationalError:  # no table yet
            return None
        return str(found[0][0]) if found else None

    def newest(self) -> str:
        """The id of the newest run."""
        return str(self.rows("SELECT id FROM executions WHERE kind = 'run' ORDER BY queued_at DESC LIMIT 1")[0][0])

    def tasks(self) -> dict[str, list[str]]:
        """For each task of the newest run, `STEP3 a`, the statuses of its attempts."""
        found: dict[str, list[str]] = {}
        rows = self.rows(
            "SELECT step, subject, status FROM executions WHERE run_id = ? AND kind = 'task' AND step IS NOT NULL "
            "ORDER BY number", self.newest(),
        )  # fmt: skip
        for step, subject, status in rows:
            found.setdefault(f"{step} {Path(subject).stem}", []).append(status)
        return found

    def processes(self) -> list[int]:
        """Every living process that carries out a run of this installation, by its environment."""
        marker = f"PROJECTS_DIR={self.projects}\0".encode()
        found = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                content = environment.read_bytes()
            except OSError:
                continue
            if marker in content and b"DERUSH_RUN=" in content and is_alive(int(environment.parent.name)):
                found.append(int(environment.parent.name))
        return found

    def workers(self, step_id: str) -> list[int]:
        """The living workers of a step."""
        script = str(self.folder / "scripts" / f"{step_id}.py")
        return [pid for pid in self.processes() if script in command_line(pid)]

    def wait_for_begin(self, step_id: str, seconds: float = 30) -> None:
        wait_until(
            lambda: any(line.startswith(step_id) and line.endswith("begin") for line in self.counts()), seconds,
            f"{step_id} at work",
        )  # fmt: skip


def make_miniature(folder: Path, variables: dict[str, str]) -> Miniature:
    """Write the steps' declaration, and a script for each step."""
    (folder / "scripts").mkdir()
    declared = (REPOSITORY / "config" / "steps.toml").read_text()
    declared = re.sub(r'environment = "\w+"', 'environment = "env"', declared)
    declared = re.sub(r"stall_after = \d+", "stall_after = 1.5", declared).replace("backoff = 1.0", "backoff = 0.05")
    for step_id in ALL_STEPS:
        script = folder / "scripts" / f"{step_id}.py"
        script.write_text(_SCRIPT.format(repository=str(REPOSITORY), step_id=step_id))
        declared = re.sub(rf'script = "workflow_scripts/{step_id.lower()}/\w+\.py"', f'script = "{script}"', declared)
    (folder / "steps.toml").write_text(declared)
    own = {
        "DERUSH_STEPS_FILE": str(folder / "steps.toml"), "FAKE_COUNTS": str(folder / "counts"),
        "DATA_DIR": str(folder / "data"), "DISK_RESERVE_GB": "0", "DISK_WARNING_GB": "0",
    }  # fmt: skip
    return Miniature(folder, {**variables, **own})
