"""Runs that nobody carries out any more: noticed by whoever looks, ended with all that belongs to an end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings, read_settings
from services import launching
from services.database import open_database
from services.errors import ServiceError
from services.executions import Event, Execution, Store, new_id, utc_now
from services.launcher import record_run
from services.options import Options
from services.planner import make_plan, workflows
from services.processes import identity
from services.requesting import ask
from services.steering import Target
from services.survival import Orphans, settle_orphans
from tests.conftest import REPOSITORY

pytest_plugins = ["tests.postgres"]

PLAN = make_plan(workflows()["full"], objective="full: day", files=["/rushes/day.zip"])
LAST_SIGN = "2026-01-02T03:04:05.000000+00:00"


@pytest.fixture
def somebody() -> Iterator[dict[str, Any]]:
    """A process that is there, as a run's owner."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield identity(process.pid)
        process.communicate()


@pytest.fixture
def nobody() -> dict[str, Any]:
    """A process that is gone, as a run's owner."""
    with subprocess.Popen(["sleep", "60"]) as process:
        known = identity(process.pid)
        process.kill()
    return known


def a_run(store: Store, status: str, owner: dict[str, Any] | None, **values: Any) -> Execution:
    run_id = new_id()
    run = Execution(
        id=run_id, run_id=run_id, kind="run", status=status, owner=owner, queued_at=utc_now(), plan=PLAN.record(), **values,
    )  # fmt: skip
    store.save([run])
    return run


def endings(store: Store, run: Execution) -> list[dict[str, Any]]:
    return [event.data for event in store.events_after(run.id, 0, names=["run_ended"])]


def test_a_run_whose_process_is_gone_ended_when_it_last_gave_a_sign(store: Store, nobody: dict[str, Any]) -> None:
    run = a_run(store, "running", nobody, heartbeat_at=LAST_SIGN, held={"code": "paused", "message": ""})
    step = Execution(id=new_id(), run_id=run.id, parent_execution_id=run.id, kind="step", number=1, queued_at=LAST_SIGN)
    tasks = [
        Execution(id=new_id(), run_id=run.id, parent_execution_id=step.id, kind="task", number=2 + number, status=status,
                  queued_at=LAST_SIGN)
        for number, status in enumerate(("succeeded", "running", "queued"))
    ]  # fmt: skip
    store.save([step, *tasks], [Event(run_id=run.id, execution_id=run.id, at=LAST_SIGN, event="run_started", data={})])
    assert [each.id for each in settle_orphans(store)] == [run.id]
    ended = store.get(run.id)
    assert (ended.status, ended.ended_at, ended.owner, ended.held) == ("interrupted", LAST_SIGN, None, None)
    assert [store.get(task.id).status for task in tasks] == ["succeeded", "interrupted", "queued"]
    assert endings(store, run) == [{"status": "interrupted", "reason": "its supervisor is gone"}]
    assert not settle_orphans(store), "once"
    assert store.compact("2026-01-03") == 1 and len(endings(store, run)) == 1, "its events are dropped when it is old"


def test_the_time_in_the_queue_is_nobody_s_work(store: Store, nobody: dict[str, Any]) -> None:
    """A run that was resumed, and whose process was killed before its turn: it began long ago."""
    began = "2026-01-01T00:00:00.000000+00:00"
    run = a_run(store, "queued", nobody, started_at=began, heartbeat_at=LAST_SIGN, seconds=12.5)
    settle_orphans(store)
    assert store.get(run.id).seconds == 12.5


@pytest.mark.parametrize("status", ["queued", "interrupted"])
def test_what_nobody_works_on_is_cancelled_like_any_other(store: Store, somebody: dict[str, Any], status: str) -> None:
    run = a_run(store, status, somebody)
    assert ask(store, "cancel", run, Target()).came_to == "cancelled"
    ended = store.get(run.id)
    assert ended.status == "cancelled" and ended.ended_at is not None and ended.ended_at >= run.queued_at
    assert endings(store, run) == [{"status": "cancelled", "reason": "cancelled by a person"}]


def test_a_run_that_cannot_be_started_has_ended(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_run_id: str, _settings: Settings) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(launching, "start_detached", fail)
    with pytest.raises(ServiceError, match="cannot be started"):
        launching.launch(store, read_settings({"DATA_DIR": str(tmp_path)}), PLAN, Options())
    (run,) = store.runs()
    assert run.status == "failed" and run.ended_at
    assert endings(store, run) == [{"status": "failed", "reason": "it could not be started"}]


_RECORD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from services.database import open_database
from services.executions import Store
from services.launcher import record_run
from services.options import Options
from services.planner import make_plan, workflows
plan = make_plan(workflows()["full"], objective="day", files=["/rushes/day.zip"])
record_run(Store(open_database(Path(sys.argv[1]), None)), plan, Options())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_whose_process_died_right_after_recording_it_does_not_stay_in_the_queue(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RECORD_AND_DIE, str(tmp_path)]
    assert subprocess.run(command, cwd=REPOSITORY, timeout=60).returncode == -9
    store = Store(open_database(tmp_path, None))
    (run,) = store.runs()
    assert run.status == "queued"
    assert [each.id for each in settle_orphans(store)] == [run.id]


def test_a_run_is_no_orphan_while_the_process_that_recorded_it_is_there(store: Store) -> None:
    record_run(store, PLAN, Options())
    assert not settle_orphans(store)


def test_many_who_look_ask_the_database_once_in_a_while(
    store: Store, nobody: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_run(store, "running", nobody)
    orphans = Orphans(store)
    orphans.look()
    second = a_run(store, "running", nobody)
    orphans.look()
    assert [store.get(run.id).status for run in (first, second)] == ["interrupted", "running"]
    monkeypatch.setattr("services.survival.time.monotonic", lambda: float("inf"))
    orphans.look()
    assert store.get(second.id).status == "interrupted"
