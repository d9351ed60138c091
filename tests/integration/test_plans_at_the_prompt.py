"""Plans as a person writes and runs them, and runs in the background, on the miniature."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.contract import Exit
from tests.conftest import REPOSITORY, wait_until
from tests.integration.miniature import Miniature


def written(miniature: Miniature, *tasks: dict[str, Any], validation: tuple[list[str], ...] = ()) -> Path:
    """Write a plan of these tasks."""
    content = {
        "schema": "derush.plan/1", "workflow": "mine", "objective": "", "sequential_tasks": list(tasks),
        "validation": list(validation),
    }  # fmt: skip
    path = miniature.folder / "plan.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize("way", [["--dry-run"], []], ids=["dry run", "run"])
def test_a_program_that_is_not_there_is_refused_before_anything_is_done(miniature: Miniature, way: list[str]) -> None:
    archive = str(miniature.archive("p", "a"))
    extract = {"id": "extract", "name": "Extraction", "step": "STEP1", "files": [archive]}
    plan = written(miniature, extract, validation=(["./no such tool", "-x"],))
    ended = miniature.derush("run", "--plan", str(plan), *way)
    assert ended.returncode == Exit.USAGE
    line = plan.read_text().splitlines().index("- - ./no such tool") + 1
    assert f"{plan}:{line}: there is no program `./no such tool`" in ended.stderr
    assert not miniature.counts() and miniature.status() is None


def test_relative_files_of_a_plan_are_the_same_wherever_it_is_run_from(miniature: Miniature) -> None:
    task = {"id": "extract", "name": "Extraction", "step": "STEP1", "files": ["samples/no-such-archive.zip"]}
    ended = miniature.derush("run", "--plan", str(written(miniature, task)))
    assert ended.returncode == Exit.USAGE
    assert f"{REPOSITORY}/samples/no-such-archive.zip does not exist" in " ".join(ended.stderr.split())


def test_a_retrack_does_tracking_and_reduction_again_and_a_track_only_what_is_not_done(miniature: Miniature) -> None:
    miniature.run(str(miniature.archive("p", "a", "b")))
    once = miniature.counts()
    project = str(miniature.projects / "p")
    for request, times in (("suis a.mp4", 1), ("refais le suivi de a.mp4", 2)):
        plan = miniature.folder / f"{times}.yaml"
        assert miniature.derush("plan", request, "-o", str(plan)).returncode == 0
        assert yaml.safe_load(plan.read_text())["sequential_tasks"][0]["files"] == [f"{project}/docs/a.mp4"]
        assert miniature.run("--plan", str(plan))["exit_code"] == 0
        assert {line: miniature.counts()[line] for line in ("STEP5 a end", "STEP6 a end")} == {
            "STEP5 a end": times, "STEP6 a end": times,
        }  # fmt: skip
    others = {line: number for line, number in miniature.counts().items() if line not in _of_a()}
    assert others == {line: number for line, number in once.items() if line not in _of_a()}, "only a, only two steps"


def _of_a() -> set[str]:
    return {f"{step} a {what}" for step in ("STEP5", "STEP6") for what in ("begin", "end")}


def test_what_goes_on_in_the_background_says_how_to_follow_it(miniature: Miniature) -> None:
    started = miniature.derush("run", str(miniature.archive("p", "a", "fail-STEP3-b")), "--detach", "--json")
    told = json.loads(started.stdout)
    assert told.keys() == {"schema", "execution_id", "follow"} and told["schema"] == "derush.started/1"
    run_id = told["execution_id"]
    assert told["follow"] == f"derush status {run_id} --watch"
    followed = miniature.derush(*told["follow"].split()[1:])
    assert "failed" in followed.stdout.splitlines()[-1]
    again = miniature.derush("retry", run_id, "--detach")
    assert again.stdout == f"{run_id}\n"
    assert re.search(rf"derush status {run_id} --watch", again.stderr)
    wait_until(lambda: miniature.status(run_id) == "failed", 60, "the second end")
    assert json.loads(miniature.derush("retry", run_id, "--detach", "--json").stdout) == told
    wait_until(lambda: miniature.status(run_id) == "failed", 60, "the third end")


def test_a_run_whose_process_cannot_be_started_has_failed(miniature: Miniature) -> None:
    """Nobody waits for a run that nobody carries out."""
    blocked = miniature.folder / "a file"
    blocked.touch()
    archive = str(miniature.archive("p", "a"))
    ended = miniature.derush("run", archive, "--detach", "--json", LOGS_DIR=str(blocked))
    told = json.loads(ended.stdout)
    assert ended.returncode == told["exit_code"] != Exit.OK
    assert told["error"]["code"] == "cannot_start" and "LOGS_DIR" in told["error"]["remedy"]
    assert miniature.status() == "failed"
    assert miniature.derush("retry", "--detach").returncode == Exit.OK
    wait_until(lambda: miniature.status() == "succeeded", 60, "the run's end")


def test_a_run_that_had_nothing_to_do_ends_with_one_line(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a"))
    assert "What was done" in miniature.derush("run", archive, "--no-log").stdout
    again = miniature.derush("run", archive, "--no-log", DISK_WARNING_GB="1000000")
    *_, last = again.stdout.splitlines()
    assert last.startswith("Everything was up to date (7 items") and "Delivered" not in again.stdout
    warned = [line for line in again.stdout.splitlines() if "DISK_WARNING_GB" in line]
    assert len(warned) == len({line.partition("(")[0] for line in warned}) >= 1, "once for each place"
