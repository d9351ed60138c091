"""The runner over real worker processes: a step without a model, in every way a worker can end."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from pathlib import Path

import pytest

from config.catalog import environments, steps
from config.contract import Exit
from services.cli.console import Silence
from services.environments import Environment
from services.flow import Flow, Task
from services.supervisor import Options, Result, Supervisor
from services.worker import WorkItem
from tests.conftest import REPOSITORY, is_alive, wait_until

FAKE = str(REPOSITORY / "tests" / "fakes" / "fake_step.py")


class Watching(Silence):
    """A listener that lets a test wait for what happens."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.progressed = threading.Event()
        self.lines: list[str] = []

    def task_started(self, task: Task) -> None:
        self.started.append(Path(task.item.path).name)

    def task_progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:
        self.progressed.set()

    def log_line(self, step_id: str, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The environment this test runs under, and folders of its own."""
    import sys

    for name in ("PROJECTS_DIR", "LOGS_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("DERUSH_ENV_FILE", str(tmp_path / "no.env"))
    return Environment(environments()["env"], Path(sys.prefix), "auto")


def supervisor(
    home: Environment, folder: Path, names: list[str], watching: Watching | None = None, **options: object
) -> Supervisor:
    """A run of one fake step over files with these names."""
    spec = dataclasses.replace(steps()["STEP3"], script=FAKE, environment="env", after=(), stall_after=1.5)
    flow = Flow(
        ["STEP3"], {"STEP3": spec}, lambda step, project: [WorkItem("video", str(folder / n), project) for n in names]
    )
    flow.begin_with_project(str(folder))
    return Supervisor(flow, {"env": home}, Options(**options), watching or Watching())  # type: ignore[arg-type]


def statuses(result: Result) -> dict[str, str]:
    return {Path(task.item.path).name: task.outcome.status if task.outcome else "open" for task in result.tasks}


def codes(result: Result) -> dict[str, str]:
    return {Path(t.item.path).name: t.outcome.error["code"] for t in result.tasks if t.outcome and t.outcome.error}


def test_one_worker_takes_every_item_and_its_log_is_followed(home: Environment, tmp_path: Path) -> None:
    watching = Watching()
    result = supervisor(home, tmp_path, ["a", "b", "c"], watching).run()
    assert statuses(result) == {"a": "done", "b": "done", "c": "done"}
    assert result.exit_code == Exit.OK
    assert sorted(Path(str(a["path"])).name for a in result.artefacts) == ["a.STEP3", "b.STEP3", "c.STEP3"]
    assert len(list((tmp_path / "logs_dir" / "step3").glob("*.log"))) == 1, "one worker, one log"
    assert any("c: done" in line for line in watching.lines)


def test_a_second_run_does_nothing(home: Environment, tmp_path: Path) -> None:
    supervisor(home, tmp_path, ["a"]).run()
    before = (tmp_path / "a.STEP3").stat().st_mtime_ns
    assert statuses(supervisor(home, tmp_path, ["a"]).run()) == {"a": "up_to_date"}
    assert (tmp_path / "a.STEP3").stat().st_mtime_ns == before
    assert statuses(supervisor(home, tmp_path, ["a"], force=True).run()) == {"a": "done"}


def test_a_failing_item_harms_only_itself(home: Environment, tmp_path: Path) -> None:
    result = supervisor(home, tmp_path, ["a", "fail_b", "c"]).run()
    assert statuses(result) == {"a": "done", "fail_b": "failed", "c": "done"}
    assert codes(result) == {"fail_b": "said_so"}
    assert result.exit_code == Exit.SOME_FAILED


def test_a_killed_worker_takes_only_its_item_with_it(home: Environment, tmp_path: Path) -> None:
    result = supervisor(home, tmp_path, ["a", "die_b", "c"]).run()
    assert statuses(result) == {"a": "done", "die_b": "failed", "c": "done"}
    assert codes(result) == {"die_b": "worker_died"}
    assert "signal 9" in str(next(t.outcome.error for t in result.tasks if t.outcome and t.outcome.error))


def test_a_step_whose_workers_keep_dying_is_given_up(home: Environment, tmp_path: Path) -> None:
    watching = Watching()
    names = [f"die_{number}" for number in range(9)]
    result = supervisor(home, tmp_path, names, watching).run()
    assert set(statuses(result).values()) == {"failed"}
    assert len(watching.started) == 5, "the other four are refused without starting a worker for each"


def test_a_silent_worker_is_stopped_and_named(home: Environment, tmp_path: Path) -> None:
    result = supervisor(home, tmp_path, ["hang_a", "b"]).run()
    assert statuses(result) == {"hang_a": "failed", "b": "done"}
    assert codes(result) == {"hang_a": "stalled"}


def test_a_missing_prerequisite_ends_the_step_once_with_its_remedy(home: Environment, tmp_path: Path) -> None:
    watching = Watching()
    result = supervisor(home, tmp_path, ["missing_a", "b", "c"], watching).run()
    assert set(statuses(result).values()) == {"failed"}
    assert set(codes(result).values()) == {"model_missing"}
    assert result.exit_code == Exit.PREREQUISITE
    assert watching.started == ["missing_a"]


def test_fail_fast_begins_nothing_after_a_failure(home: Environment, tmp_path: Path) -> None:
    result = supervisor(home, tmp_path, ["fail_a", "b", "c"], fail_fast=True).run()
    assert statuses(result) == {"fail_a": "failed", "b": "skipped", "c": "skipped"}


def test_a_dry_run_writes_nothing(home: Environment, tmp_path: Path) -> None:
    result = supervisor(home, tmp_path, ["a"], dry_run=True).run()
    assert statuses(result) == {"a": "would_run"}
    assert not (tmp_path / "a.STEP3").exists()


@pytest.mark.parametrize("times", [1, 2], ids=["Ctrl-C once", "Ctrl-C twice"])
def test_an_interrupt_leaves_no_process_and_no_partial_file(home: Environment, tmp_path: Path, times: int) -> None:
    watching = Watching()
    run = supervisor(home, tmp_path, ["slow_a", "b"], watching)

    def interrupt() -> None:
        assert watching.progressed.wait(20)
        for _ in range(times):
            run.interrupt()

    threading.Thread(target=interrupt).start()
    result = run.run()
    assert result.exit_code == Exit.INTERRUPTED
    children = [int(line) for line in (tmp_path / "children").read_text().split()]
    wait_until(lambda: not any(is_alive(pid) for pid in children), 5, "the worker's own child is gone")
    assert not (tmp_path / "slow_a.STEP3").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_a_killed_worker_left_is_swept_up_by_the_next(home: Environment, tmp_path: Path) -> None:
    watching = Watching()
    run = supervisor(home, tmp_path, ["slow_a"], watching)

    def kill() -> None:
        assert watching.progressed.wait(20)
        os.kill(run._workers["STEP3"].pid, signal.SIGKILL)  # the worker alone: what it started lives on

    threading.Thread(target=kill).start()
    assert codes(run.run()) == {"slow_a": "worker_died"}
    children = [int(line) for line in (tmp_path / "children").read_text().split()]
    assert not any(is_alive(pid) for pid in children), "what the worker had started is ended with it"
    assert list((tmp_path / ".derush" / "tmp").glob("*")), "a kill leaves its scratch folder behind"
    again = Watching()
    second = supervisor(home, tmp_path, ["slow_a"], again)
    threading.Thread(target=lambda: (again.progressed.wait(20), second.interrupt())).start()
    second.run()
    assert not list((tmp_path / ".derush" / "tmp").glob("*"))
