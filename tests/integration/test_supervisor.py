"""The runner over real processes, in every way a worker, a run or a person can behave."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import is_alive, wait_until
from tests.integration.miniature import ALL_STEPS, Miniature
from tests.integration.processes import descendants, interrupt, signal_all, start, told_by

LATER = ("STEP3", "STEP4", "STEP5", "STEP6")


def failures(told: dict) -> dict[str, str]:
    return {f"{failure['step']} {Path(failure['item']).stem}": failure["code"] for failure in told["failures"]}


def counted(told: dict) -> dict[str, dict[str, int]]:
    return {step_id: entry["counts"] for step_id, entry in told["steps"].items()}


def test_videos_flow_through_seven_steps(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "a", "b", "c")), POOL_CPU="1")
    assert told["exit_code"] == 0 and told["status"] == "succeeded"
    assert counted(told) == {
        "STEP1": {"done": 1}, "STEP2": {"done": 3}, **{step_id: {"done": 3} for step_id in LATER}, "STEP7": {"done": 1},
    }  # fmt: skip
    begun = [line for line in Path(miniature.variables["FAKE_COUNTS"]).read_text().splitlines() if "begin" in line]
    assert begun.index("STEP6 a begin") < begun.index("STEP2 b begin"), "what was begun is finished first"
    assert all(statuses == ["succeeded"] for statuses in miniature.tasks().values())
    assert len(list((miniature.folder / "logs" / "step3").glob("*.log"))) <= 2, "workers are kept for the next item"


def test_a_second_run_does_nothing_and_force_does_all(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a"))
    miniature.run(archive)
    once = miniature.counts()
    assert all(entry == {"up_to_date": 1} for entry in counted(miniature.run(archive)).values())
    assert miniature.counts() == once
    assert all(entry == {"done": 1} for entry in counted(miniature.run(archive, "--force")).values())
    assert all(number == 2 for number in miniature.counts().values())


def test_a_failing_item_harms_only_itself(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "a", "fail-STEP3-b")))
    assert failures(told) == {"STEP3 fail-STEP3-b": "said_so"}
    assert counted(told)["STEP6"] == {"done": 1, "skipped": 1}
    assert counted(told)["STEP7"] == {"done": 1}
    assert told["exit_code"] == 1 and told["status"] == "failed"


def scratch(miniature: Miniature) -> list[Path]:
    """What steps have not finished, or have left behind."""
    return [path for folder in miniature.projects.rglob(".derush/tmp") for path in folder.iterdir()]


def test_an_item_that_kills_its_worker_twice_is_set_aside(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "a", "die-STEP3-b", "c")))
    assert not scratch(miniature), "what its workers had begun is swept up"
    assert failures(told) == {"STEP3 die-STEP3-b": "worker_died"}
    assert miniature.tasks()["STEP3 die-STEP3-b"] == ["failed", "failed"]
    assert counted(told)["STEP6"] == {"done": 2, "skipped": 1}
    assert "signal 9" in told["failures"][0]["message"]


def test_what_killed_workers_left_goes_with_the_run_when_nobody_comes_after_them(miniature: Miniature) -> None:
    children = miniature.folder / "children"  # until its child is one by itself, there seem to be two workers
    process = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP3-a")))
    for attempt in (1, 2):
        wait_until(lambda: miniature.counts()["STEP3 slow-STEP3-a begin"] == attempt, 30, "at work")  # noqa: B023
        wait_until(lambda: list(miniature.projects.glob("p/.derush/tmp/STEP3-*/half")), 30, "something half done")
        wait_until(lambda: children.exists() and len(children.read_text().split()) == attempt, 30, "a child")  # noqa: B023
        (worker,) = miniature.workers("STEP3")
        os.kill(worker, signal.SIGKILL)
    told = told_by(process)
    assert counted(told)["STEP7"] == {"skipped": 1}, "no later step came to the project"
    assert not scratch(miniature)


def test_what_a_killed_run_left_is_swept_up_by_any_later_step_of_the_project(miniature: Miniature) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP3-a")))
    wait_until((miniature.folder / "children").exists, 30, "at work")
    signal_all([process.pid, *miniature.processes()], signal.SIGKILL)
    process.communicate(timeout=30)
    assert any(path.name.startswith("STEP3-") for path in scratch(miniature))
    script = miniature.folder / "scripts" / "STEP4.py"
    alone = start([sys.executable, str(script), "--project", str(miniature.projects / "p")], miniature.variables)
    _, err = alone.communicate(timeout=60)
    assert alone.returncode == 0, err
    assert not scratch(miniature)


@pytest.mark.parametrize("name", ["dieonce-STEP4-a", "passing-STEP4-a"])
def test_what_passes_is_tried_again_as_an_attempt_of_its_own(miniature: Miniature, name: str) -> None:
    told = miniature.run(str(miniature.archive("p", name)))
    assert told["exit_code"] == 0
    assert miniature.tasks()[f"STEP4 {name}"] == ["failed", "succeeded"]
    assert counted(told)["STEP4"] == {"done": 1}, "the summary counts what became of each item"


def test_a_step_whose_workers_keep_dying_is_given_up(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", *(f"die-STEP3-{number}" for number in range(9)))))
    codes = failures(told)
    assert len(codes) == 9 and set(codes.values()) == {"worker_died", "step_given_up"}
    assert miniature.counts()["STEP3 die-STEP3-0 begin"] <= 2
    assert sum(number for line, number in miniature.counts().items() if line.startswith("STEP3")) == 5
    assert counted(told)["STEP4"] == {"done": 9}, "other steps go on"


def test_a_silent_worker_is_stopped_and_named(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "hang-STEP3-a", "b")))
    assert failures(told) == {"STEP3 hang-STEP3-a": "stalled"}
    assert counted(told)["STEP6"] == {"done": 1, "skipped": 1}


def test_an_item_that_takes_too_long_is_stopped(miniature: Miniature) -> None:
    path = miniature.folder / "steps.toml"
    path.write_text(path.read_text().replace("timeout = 172800", "timeout = 1"))
    told = miniature.run(str(miniature.archive("p", "slow-STEP6-a")))
    assert failures(told) == {"STEP6 slow-STEP6-a": "timeout"}
    assert not any(is_alive(int(pid)) for pid in (miniature.folder / "children").read_text().split())


def test_a_missing_prerequisite_ends_the_step_once_with_its_remedy(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "missing-STEP3-a", "b", "c")), POOL_CPU="1")
    assert told["exit_code"] == 3
    assert failures(told) == dict.fromkeys(("STEP3 missing-STEP3-a", "STEP3 b", "STEP3 c"), "model_missing")
    begun = [line for line in miniature.counts() if line.startswith("STEP3")]
    assert begun == ["STEP3 missing-STEP3-a begin"], "the biggest comes first; the others are not even begun"


def test_fail_fast_begins_nothing_after_a_failure(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "fail-STEP2-a", "b", "c")), "--fail-fast", POOL_CPU="1")
    assert counted(told)["STEP2"] == {"failed": 1, "skipped": 2}
    again = miniature.answer("retry", POOL_CPU="1")
    assert counted(again)["STEP2"] == {"failed": 1, "skipped": 2}, "it fails again, and stops again"


@pytest.mark.parametrize("times", [1, 2], ids=["Ctrl-C once", "Ctrl-C twice"])
def test_an_interrupt_leaves_no_process_and_no_partial_file_and_resume_goes_on(
    miniature: Miniature, times: int
) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", "a", "slow-STEP5-b")))
    wait_until((miniature.folder / "children").exists, 30, "the slow one at work")
    wait_until(lambda: miniature.counts()["STEP6 a end"] == 1, 30, "the other one done")
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    wait_until(lambda: not miniature.processes(), 5, "every process gone")
    assert not any(is_alive(int(pid)) for pid in (miniature.folder / "children").read_text().split())
    assert not scratch(miniature), "nothing half done"
    assert miniature.status() == "interrupted"
    assert 0 < miniature.answer("status")["progress"] < 1
    (recorded,) = miniature.answer("history")["runs"]
    assert recorded["counts"]["interrupted"] >= 3, "STEP5 and STEP6 of the slow one, and STEP7, are left"
    assert sum(recorded["counts"].values()) == 12
    before = miniature.counts()
    resumed = miniature.start("resume", "--json")
    wait_until(lambda: miniature.counts()["STEP5 slow-STEP5-b begin"] == 2, 30, "the slow one at work again")
    assert interrupt(resumed) == 130
    assert miniature.counts() - before == {"STEP5 slow-STEP5-b begin": 1}, "only what was at work was begun again"


@pytest.mark.parametrize("way", [[], ["--detach"]], ids=["on a terminal", "detached"])
def test_an_interrupted_run_goes_on_as_a_person_asks_for_it(miniature: Miniature, way: list[str]) -> None:
    process = miniature.start("run", str(miniature.archive("p", "a", "b")), FAKE_SECONDS="0.3")
    miniature.wait_for_begin("STEP3")
    assert interrupt(process) == 130
    resumed = miniature.derush("resume", *way)
    assert resumed.returncode == 0, resumed.stderr
    wait_until(lambda: miniature.status() == "succeeded", 60, "the run done")
    assert miniature.counts()["STEP7 p end"] == 1


def ends(miniature: Miniature, run_id: str) -> list[str]:
    """How a run ended, each time, as its events say; it has the time of its end too."""
    assert miniature.rows("SELECT ended_at FROM executions WHERE id = ?", run_id) != [(None,)]
    found = miniature.rows("SELECT data FROM events WHERE run_id = ? AND event = 'run_ended' ORDER BY id", run_id)
    return [json.loads(data)["status"] for (data,) in found]


def test_a_queued_run_is_cancelled_before_its_turn(miniature: Miniature) -> None:
    first = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP2-a")))
    wait_until((miniature.folder / "children").exists, 30, "the first at work")
    second = miniature.start("run", "--json", str(miniature.archive("q", "b")))
    wait_until(lambda: _queued(miniature) == 1, 30, "the second queued")
    run_id = str(miniature.rows("SELECT id FROM executions WHERE kind = 'run' AND status = 'queued'")[0][0])
    assert miniature.derush("cancel", run_id).returncode == 0
    assert told_by(second)["status"] == miniature.status(run_id) == "cancelled"
    assert ends(miniature, run_id) == ["cancelled"]
    assert interrupt(first) == 130


def test_a_run_that_is_interrupted_before_its_turn_ends_at_once_and_is_resumed(miniature: Miniature) -> None:
    first = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP2-a")))
    wait_until((miniature.folder / "children").exists, 30, "the first at work")
    second = miniature.start("run", "--json", str(miniature.archive("q", "b")))
    queued = "SELECT id FROM executions WHERE kind = 'run' AND status = 'queued' AND owner IS NOT NULL"
    wait_until(lambda: miniature.rows(queued), 30, "the second in the queue")
    run_id = str(miniature.rows(queued)[0][0])
    second.send_signal(signal.SIGINT)
    told = told_by(second)
    assert second.returncode == told["exit_code"] == 130
    assert told["status"] == miniature.status(run_id) == "interrupted"
    assert ends(miniature, run_id) == ["interrupted"]
    assert not any(line.startswith("STEP1 q") for line in miniature.counts()), "it began nothing"
    assert interrupt(first) == 130
    wait_until(lambda: not miniature.processes(), 5, "every process gone")
    assert miniature.answer("resume", run_id)["status"] == "succeeded"


_STOPPED_AS_IT_IS_RECORDED = """
import os, signal, sys
from importlib import import_module
from services.cli.app import main
command = import_module("services.cli.run")
record = command.record_run
def record_and_stop(*arguments):
    recorded = record(*arguments)
    os.kill(os.getpid(), signal.{name})
    return recorded
command.record_run = record_and_stop
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_is_stopped_as_it_is_recorded_is_interrupted(miniature: Miniature, name: str) -> None:
    script = _STOPPED_AS_IT_IS_RECORDED.format(name=name)
    archive = str(miniature.archive("p", "a"))
    process = start([sys.executable, "-c", script, "run", "--json", archive], miniature.variables)
    told = told_by(process)
    assert process.returncode == told["exit_code"] == 130
    assert told["status"] == miniature.status() == "interrupted"
    assert ends(miniature, miniature.newest()) == ["interrupted"]
    assert miniature.answer("resume")["status"] == "succeeded"


def test_ctrl_c_on_a_terminal_before_the_work_begins_interrupts_the_run(miniature: Miniature) -> None:
    """It goes to every process there: those too that are asked whether the steps can work."""
    command = miniature.command("run", "--json", str(miniature.archive("p", "a")))
    process = start(["setsid", *command], miniature.variables)  # a group of its own, as a terminal's shell makes it
    wait_until(lambda: miniature.status() == "running" and descendants(process.pid), 30, "the steps are asked")
    os.killpg(process.pid, signal.SIGINT)
    told = told_by(process)
    assert process.returncode == told["exit_code"] == 130
    assert told["status"] == miniature.status() == "interrupted"
    assert not miniature.counts()
    assert miniature.answer("resume")["status"] == "succeeded"


def test_the_events_of_runs_that_ended_long_ago_are_dropped(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a"))
    miniature.run(archive)
    old = miniature.newest()
    miniature.run(archive, EVENTS_KEEP_DAYS="0")
    miniature.run(archive, EVENTS_KEEP_DAYS="0")
    assert [event for (event,) in miniature.rows("SELECT event FROM events WHERE run_id = ?", old)] == ["run_ended"]
    assert miniature.rows("SELECT count(*) FROM executions WHERE run_id = ?", old)[0][0] > 7, "its tree is kept"


def test_what_a_killed_worker_left_is_swept_up_by_the_next(miniature: Miniature) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP3-a")))
    wait_until((miniature.folder / "children").exists, 30, "at work")
    (worker,) = miniature.workers("STEP3")
    os.kill(worker, signal.SIGKILL)  # the worker alone: what it started lives on
    children = miniature.folder / "children"
    wait_until(lambda: len(children.read_text().split()) == 2, 30, "the second attempt at work")
    first, second = (int(pid) for pid in children.read_text().split())
    assert not is_alive(first), "what the worker had started is ended with it"
    assert is_alive(second)
    assert interrupt(process) == 130
    assert not list(miniature.projects.rglob("half"))


def test_pause_finishes_what_runs_and_starts_nothing_new(miniature: Miniature) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", *"abcdef")), FAKE_SECONDS="0.3")
    miniature.wait_for_begin("STEP2")
    assert miniature.derush("pause").returncode == 0
    wait_until(lambda: _held(miniature) == "paused", 10, "the run paused")
    wait_until(lambda: _running(miniature) == 0, 10, "what was at work finished")
    quiet = miniature.counts()
    assert miniature.answer("status")["held"]["code"] == "paused"
    assert miniature.counts() == quiet, "nothing was begun meanwhile"
    assert all(quiet[line.replace("begin", "end")] == 1 for line in quiet if line.endswith("begin"))
    assert miniature.derush("resume").returncode == 0
    assert told_by(process)["exit_code"] == 0
    assert set(miniature.counts().values()) == {1}


def _held(miniature: Miniature) -> str | None:
    held = miniature.rows("SELECT held FROM executions WHERE id = ?", miniature.newest())[0][0]
    return (json.loads(held) or {}).get("code") if held else None


def _running(miniature: Miniature) -> int:
    return int(miniature.rows("SELECT count(*) FROM executions WHERE kind = 'task' AND status = 'running'")[0][0])


def test_one_video_is_cancelled_and_the_rest_goes_on(miniature: Miniature) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", "a", "slow-STEP3-b")))
    wait_until((miniature.folder / "children").exists, 30, "at work")
    assert miniature.derush("cancel", "--video", "slow-STEP3-b").returncode == 0
    told = told_by(process)
    assert counted(told)["STEP3"] == {"done": 1, "cancelled": 1}
    assert counted(told)["STEP5"] == {"done": 1, "cancelled": 1}
    assert counted(told)["STEP7"] == {"done": 1}
    assert told["exit_code"] == 0 and told["status"] == "succeeded"


def test_a_step_is_cancelled(miniature: Miniature) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP4-a", "b")))
    wait_until((miniature.folder / "children").exists, 30, "at work")
    assert miniature.derush("cancel", "--step", "4").returncode == 0
    told = told_by(process)
    assert counted(told)["STEP4"]["cancelled"] >= 1
    assert counted(told)["STEP3"] == {"done": 2}


def test_a_run_is_cancelled(miniature: Miniature) -> None:
    process = miniature.start("run", "--json", str(miniature.archive("p", "a", "slow-STEP3-b", "c")))
    wait_until((miniature.folder / "children").exists, 30, "at work")
    assert miniature.derush("cancel").returncode == 0
    assert told_by(process)["status"] == miniature.status() == "cancelled"
    assert not miniature.processes()


def test_retry_does_only_what_failed_and_what_depends_on_it(miniature: Miniature) -> None:
    archive = miniature.archive("p", "a", "full-STEP4-b")
    broken = miniature.folder / "full"
    broken.touch()
    told = miniature.run(str(archive))
    assert failures(told) == {"STEP4 full-STEP4-b": "disk_full"}
    once = miniature.counts()
    broken.unlink()
    again = miniature.answer("retry")
    assert again["exit_code"] == 0 and again["execution_id"] == told["execution_id"]
    more = miniature.counts() - once
    assert {line for line in more if "begin" in line} == {
        "STEP4 full-STEP4-b begin", "STEP5 full-STEP4-b begin", "STEP6 full-STEP4-b begin",
    }  # fmt: skip
    assert miniature.tasks()["STEP4 full-STEP4-b"] == ["failed", "succeeded"]
    assert miniature.tasks()["STEP4 a"] == ["succeeded"]


def test_retry_from_a_step_on_does_that_and_what_follows_by_force(miniature: Miniature) -> None:
    miniature.run(str(miniature.archive("p", "a", "b")))
    once = miniature.counts()
    again = miniature.answer("retry", "--from", "STEP5", "--video", "a")
    assert again["exit_code"] == 0
    begun = {line for line in miniature.counts() - once if "begin" in line}
    assert begun == {"STEP5 a begin", "STEP6 a begin", "STEP7 p begin"}


def test_accept_lets_what_depends_on_a_failure_go_on(miniature: Miniature) -> None:
    told = miniature.run(str(miniature.archive("p", "a", "fail-STEP4-b")))
    assert counted(told)["STEP6"] == {"done": 1, "skipped": 1}
    again = miniature.answer("accept", "--video", "fail-STEP4-b")
    assert again["exit_code"] == 0 and again["failures"] == []
    assert counted(again)["STEP6"] == {"done": 2}
    assert miniature.tasks()["STEP4 fail-STEP4-b"] == ["accepted"]


def test_a_run_that_waits_for_room_is_interrupted_and_resumed(miniature: Miniature) -> None:
    (miniature.folder / "full").touch()
    free = os.statvfs(miniature.folder).f_bavail * os.statvfs(miniature.folder).f_frsize / 1e9
    process = miniature.start(
        "run", "--json", str(miniature.archive("p", "full-STEP3-a")), DISK_RESERVE_GB=f"{free + 1000:.3f}"
    )
    wait_until(lambda: miniature.status() and _held(miniature) == "disk_full", 30, "the run waits for room")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    (miniature.folder / "full").unlink()
    again = miniature.answer("resume")
    assert again["exit_code"] == 0, "the interrupted task goes on when there is room"
    assert miniature.tasks()["STEP3 full-STEP3-a"] == ["succeeded"], "waiting for room is no attempt"


def test_runs_queue_by_priority(miniature: Miniature) -> None:
    first = miniature.start("run", "--json", str(miniature.archive("p", "slow-STEP2-a")))
    wait_until((miniature.folder / "children").exists, 30, "the first at work")
    low = miniature.start("run", "--json", str(miniature.archive("q", "low")))
    wait_until(lambda: _queued(miniature) == 1, 30, "the second queued")
    high = miniature.start("run", "--json", "--priority", "5", str(miniature.archive("r", "high")))
    wait_until(lambda: _queued(miniature) == 2, 30, "the third queued")
    assert interrupt(first) == 130
    for process in (low, high):
        assert told_by(process)["exit_code"] == 0
    lines = Path(miniature.variables["FAKE_COUNTS"]).read_text().splitlines()
    assert lines.index("STEP1 r begin") < lines.index("STEP1 q begin"), "the more urgent one went first"


def _queued(miniature: Miniature) -> int:
    return int(miniature.rows("SELECT count(*) FROM executions WHERE kind = 'run' AND status = 'queued'")[0][0])


@pytest.mark.parametrize("most", ["1", "2"], ids=["one at a time", "two at a time"])
def test_two_runs_on_the_same_inputs_at_the_same_moment_do_the_work_once(miniature: Miniature, most: str) -> None:
    archive = str(miniature.archive("p", *"abc"))
    both = [miniature.start("run", "--json", archive, MAX_CONCURRENT_RUNS=most, FAKE_SECONDS="0.05") for _ in range(2)]
    told = [told_by(process, seconds=90) for process in both]
    assert [each["exit_code"] for each in told] == [0, 0]
    assert set(miniature.counts().values()) == {1}
    statuses = [{status for counts in counted(each).values() for status in counts} for each in told]
    assert {"up_to_date"} in statuses, "one of them found everything done"


def test_a_second_run_on_a_busy_project_is_refused_by_choice(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "slow-STEP3-a"))
    first = miniature.start("run", "--json", archive)
    wait_until((miniature.folder / "children").exists, 30, "the first at work")
    told = miniature.run(archive, "--if-busy", "refuse", MAX_CONCURRENT_RUNS="2")
    assert told["exit_code"] == 3
    assert {failure["code"] for failure in told["failures"]} == {"project_busy"}
    assert interrupt(first) == 130


def test_a_detached_run_outlives_its_starter(miniature: Miniature) -> None:
    started = miniature.derush("run", "--detach", str(miniature.archive("p", "a")))
    run_id = started.stdout.strip()
    assert started.returncode == 0 and run_id.startswith("exec_")
    wait_until(lambda: miniature.status(run_id) == "succeeded", 60, "the run done")
    assert miniature.counts()["STEP7 p end"] == 1


def test_a_plan_is_edited_and_carried_out(miniature: Miniature) -> None:
    archive = miniature.archive("p", "a")
    planned = miniature.derush("plan", "--workflow", "full", "--file", str(archive))
    path = miniature.folder / "plan.yaml"
    path.write_text(
        planned.stdout.replace("validation:\n  - [derush", 'validation:\n  - [python, -c, "print(6 * 7)"]\n  - [derush')
    )
    dry = json.loads(miniature.derush("run", "--plan", str(path), "--dry-run", "--json").stdout)
    assert not miniature.counts() and not dry["refusals"]
    assert {step["stage"] for step in dry["steps"] if step["to_do"]} >= {"step1", "step6.test", "validation.1"}
    told = miniature.answer("run", "--plan", str(path))
    assert told["exit_code"] == 0, told["failures"]
    commands = miniature.rows(
        "SELECT stage, status, message FROM executions WHERE run_id = ? AND kind = 'task' AND step IS NULL",
        miniature.newest(),
    )
    assert ("validation.1", "succeeded", "42") in commands
    assert {status for _, status, _ in commands} == {"succeeded"}


def test_a_failing_validation_fails_the_run(miniature: Miniature) -> None:
    archive = miniature.archive("p", "a")
    planned = miniature.derush("plan", "--workflow", "full", "--file", str(archive))
    path = miniature.folder / "plan.yaml"
    path.write_text(
        planned.stdout.replace(
            "validation:\n  - [derush", 'validation:\n  - [python, -c, "raise SystemExit(9)"]\n  - [derush'
        )
    )
    told = miniature.answer("run", "--plan", str(path))
    assert told["exit_code"] == 1
    assert [(failure["step"], failure["code"]) for failure in told["failures"]] == [("validation.1", "check_failed")]
    assert counted(told)["STEP7"] == {"done": 1}


def test_a_failed_check_is_done_again_alone(miniature: Miniature) -> None:
    mended = miniature.folder / "mended"
    planned = miniature.derush("plan", "--workflow", "full", "--file", str(miniature.archive("p", "a")))
    path = miniature.folder / "plan.yaml"
    path.write_text(planned.stdout.replace("validation:\n", f"validation:\n  - [test, -e, '{mended}']\n"))
    told = miniature.answer("run", "--plan", str(path))
    assert failures(told) == {"validation.1 validation": "check_failed"}
    once = miniature.counts()
    mended.touch()
    assert miniature.answer("retry")["status"] == "succeeded"
    assert miniature.counts() == once, "no step was begun again"


def test_validation_is_made_once_the_failure_of_the_last_step_is_accepted(miniature: Miniature) -> None:
    validated = miniature.folder / "validated"
    archive = miniature.archive("fail-STEP7-p", "a")
    planned = miniature.derush("plan", "--workflow", "full", "--file", str(archive))
    path = miniature.folder / "plan.yaml"
    text = re.sub(r"test: \[[^\]]+\]", "test: []", planned.stdout[: planned.stdout.index("validation:")])
    path.write_text(f"{text}validation:\n  - [touch, '{validated}']\n")
    assert failures(miniature.answer("run", "--plan", str(path))) == {"STEP7 fail-STEP7-p": "said_so"}
    assert not validated.exists()
    again = miniature.answer("accept", "--step", "7")
    assert again["status"] == "succeeded" and again["exit_code"] == 0
    assert validated.exists()
    assert miniature.answer("status")["progress"] == 1


def test_the_tree_of_executions_is_whole(miniature: Miniature) -> None:
    miniature.run(str(miniature.archive("p", "a", "fail-STEP5-b")))
    run_id = miniature.newest()
    rows = miniature.rows("SELECT id, parent_execution_id, run_id, kind, step, status FROM executions")
    ids = {row[0]: row for row in rows}
    for execution_id, parent, root, kind, _step, _status in rows:
        assert root == run_id
        assert (parent is None) == (execution_id == run_id)
        if kind == "task":
            assert ids[parent][3] == "step" and ids[ids[parent][1]][3] == "run"
    steps = {row[4]: row[5] for row in rows if row[3] == "step" and row[4]}
    assert steps == {step_id: "failed" if step_id == "STEP5" else "succeeded" for step_id in ALL_STEPS}
    order = [row[0] for row in miniature.rows("SELECT event FROM events ORDER BY id")]
    assert order[0] == "run_queued" and order[1] == "run_started" and order[-1] == "run_ended"
    assert (
        order.count("task_started")
        == order.count("task_ended")
        - miniature.rows("SELECT count(*) FROM executions WHERE kind = 'task' AND status = 'skipped'")[0][0]
    )


def test_a_run_may_be_looked_at_as_often_as_one_likes(miniature: Miniature) -> None:
    videos = [f"v{number}" for number in range(10)]
    run_id = miniature.derush("run", "--detach", str(miniature.archive("p", *videos))).stdout.strip()
    seen: list[float] = []
    while not seen or miniature.status(run_id) not in {"succeeded", "failed"}:
        looked = miniature.derush("status", run_id, "--json")
        assert looked.returncode == 0, looked.stderr
        seen.append(json.loads(looked.stdout)["progress"])
    assert seen == sorted(seen), "progress never falls"
    assert miniature.status(run_id) == "succeeded"


def test_items_that_kill_their_workers_take_no_good_ones_with_them(miniature: Miniature) -> None:
    archives = [str(miniature.archive(f"p{number}", "die-STEP3-a", "good")) for number in range(6)]
    told = miniature.run(*archives)
    assert len(told["failures"]) == 6 and {failure["code"] for failure in told["failures"]} == {"worker_died"}
    assert counted(told)["STEP6"]["done"] == 6


@pytest.mark.parametrize(
    "asked", [["cancel", "--video", "nothere"], ["retry", "--from", "STEP9"], ["accept", "--step", "9"]]
)
def test_what_a_run_does_not_have_is_refused(miniature: Miniature, asked: list[str]) -> None:
    miniature.run(str(miniature.archive("p", "fail-STEP3-a")))
    before = miniature.counts()
    refused = miniature.derush(*asked)
    assert refused.returncode == 2 and "no_such_part" in refused.stderr
    assert miniature.counts() == before


def test_a_dry_run_is_not_what_a_retry_means(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "fail-STEP3-a"))
    real = miniature.run(archive)["execution_id"]
    miniature.run(archive, "--dry-run")
    assert miniature.answer("retry")["execution_id"] == real
