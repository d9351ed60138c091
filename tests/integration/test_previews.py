"""What `derush run --dry-run` says before anything is done, with real scripts; and the filter on what is delivered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from config.contract import Exit
from services.database import open_database
from services.executions import Store
from tests.conftest import REPOSITORY, wait_until
from tests.integration.miniature import ALL_STEPS, Miniature

SCHEMA = json.loads((REPOSITORY / "docs/schemas/preview.json").read_text())
COUNTS = ("to_do", "up_to_date", "unknown", "failed", "skipped")
RunDerush = Callable[..., subprocess.CompletedProcess[str]]


def preview(miniature: Miniature, *arguments: str, code: int = 0, **variables: str) -> dict[str, Any]:
    ended = miniature.derush("run", "--dry-run", "--json", *arguments, **variables)
    assert ended.returncode == code, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    jsonschema.validate(told, SCHEMA)
    return told


def counted(told: dict[str, Any]) -> dict[str, dict[str, int]]:
    """For each step how many tasks stand how; what there is none of is left out."""
    return {
        step["step"]: {name: step[name] for name in COUNTS if step[name]}
        for step in told["steps"]
        if step["step"]  # what is a command has none
    }


def test_a_new_archive_is_to_do_and_what_it_brings_is_unknown(miniature: Miniature) -> None:
    archive = miniature.archive("p", "a", "b")
    told = preview(miniature, str(archive))
    (given,) = told["inputs"]
    assert given == {
        "path": str(archive), "form": "archive", "bytes": 3, "clips": None, "project": "p.list", "is_new": True,
    }  # fmt: skip
    assert counted(told) == {"STEP1": {"to_do": 1}} | {step_id: {"unknown": 1} for step_id in ALL_STEPS[1:]}
    assert [step["is_least"] for step in told["steps"][:7]] == [False, True, True, True, True, True, False]
    assert told["is_complete"] and not told["refusals"] and told["seconds"] > 0


def test_nothing_is_done_recorded_or_left_behind(miniature: Miniature, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.name != "derush.sqlite3.lock"}
    archive = miniature.archive("p", "a")
    preview(miniature, str(archive), TMPDIR=str(tmp_path))
    new = {path for path in tmp_path.rglob("*")} - before
    assert {path.name for path in new if path.is_file()} <= {"p.list", "derush.sqlite3", "derush.sqlite3.lock"}
    assert not miniature.counts() and not miniature.projects.exists()
    assert miniature.rows("SELECT count(*) FROM executions") == [(0,)]
    wait_until(lambda: not miniature.processes(), 5, "every asked script gone")


def test_everything_up_to_date_takes_no_time_and_needs_no_room(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a", "b"))
    miniature.run(archive)
    told = preview(miniature, archive)
    assert counted(told) == {
        step_id: {"up_to_date": 1 if step_id in {"STEP1", "STEP7"} else 2} for step_id in ALL_STEPS
    }
    assert sum(step["seconds"] for step in told["steps"] if not step["is_check"]) == 0
    assert [place["needed_bytes"] for place in told["places"]] == [0, 0, 0]
    assert all(step["is_measured"] for step in told["steps"] if step["step"])
    assert {status for counts in miniature.run(archive)["steps"].values() for status in counts["counts"]} == {
        "up_to_date"
    }, "the run did what was said"


def test_a_lost_artefact_is_to_do_and_what_is_made_of_it_is_unknown(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a", "b"))
    miniature.run(archive)
    (miniature.projects / "p" / "docs" / "b_STEP3.txt").unlink()
    told = preview(miniature, str(miniature.projects / "p"))
    assert counted(told)["STEP3"] == {"to_do": 1, "up_to_date": 1}
    assert counted(told)["STEP4"] == {"up_to_date": 2}
    assert counted(told)["STEP5"] == counted(told)["STEP6"] == {"up_to_date": 1, "unknown": 1}
    assert counted(told)["STEP7"] == {"unknown": 1}
    assert told["inputs"] == [
        {
            "path": str(miniature.projects / "p"), "form": "project", "bytes": None, "clips": None, "project": "p",
            "is_new": False,
        }
    ]  # fmt: skip
    assert miniature.counts()["STEP3 b begin"] == 1, "nothing was done again"


def test_with_force_everything_is_to_do(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", "a", "b"))
    miniature.run(archive)
    told = preview(miniature, str(miniature.projects / "p"), "--force", "--steps", "3-6")
    assert counted(told) == {step_id: {"to_do": 2} for step_id in ("STEP3", "STEP4", "STEP5", "STEP6")}
    assert miniature.counts()["STEP3 a begin"] == 1


def test_five_hundred_clips_are_looked_at_in_seconds(miniature: Miniature) -> None:
    archive = str(miniature.archive("p", *(f"clip{number:03}" for number in range(500))))
    miniature.run(archive, "--steps", "1-3")
    started = time.monotonic()
    told = preview(miniature, archive, "--steps", "1-3")
    assert time.monotonic() - started < 20
    assert told["is_complete"] and counted(told)["STEP3"] == {"up_to_date": 500}


def test_a_script_that_does_not_answer_keeps_nobody_waiting(miniature: Miniature) -> None:
    archive = miniature.archive("p", "a")
    miniature.run(str(archive))
    (miniature.folder / "scripts" / "STEP3.py").write_text("import time\ntime.sleep(600)\n")
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from config.settings import load_settings\n"
        "from services.cli.store import open_store\n"
        "from services.launching import plan_for\n"
        "from services.options import Options\n"
        "from services.previews import preview\n"
        "settings = load_settings()\n"
        "plan = plan_for([Path(sys.argv[1])], None, None)\n"
        "told = preview(open_store(settings), settings, plan, Options(), seconds=3)\n"
        "print(json.dumps(told.record()))\n"
    )
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code, str(archive)], cwd=REPOSITORY, env=miniature.variables, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert time.monotonic() - started < 20
    told = json.loads(ended.stdout)
    assert not told["is_complete"] and not told["refusals"]
    assert counted(told)["STEP3"] == counted(told)["STEP5"] == {"unknown": 1}
    assert counted(told)["STEP4"] == {"up_to_date": 1}
    wait_until(lambda: not miniature.processes(), 5, "the silent script gone")


def test_a_script_that_cannot_start_is_a_refusal(miniature: Miniature) -> None:
    archive = miniature.archive("p", "a")
    (miniature.folder / "scripts" / "STEP4.py").write_text("import a_module_that_is_not_there\n")
    told = preview(miniature, str(archive), code=Exit.BUG)
    (refusal,) = told["refusals"]
    assert (refusal["stage"], refusal["code"]) == ("step4", "worker_died")
    assert "a_module_that_is_not_there" in refusal["message"]


# The real steps


def test_every_missing_prerequisite_is_told_at_once(run_derush: RunDerush, tmp_path: Path) -> None:
    ended = run_derush("run", "--demo", "--dry-run", "--json", MODELS_DIR=str(tmp_path / "none"))
    told = json.loads(ended.stdout)
    assert ended.returncode == Exit.PREREQUISITE
    assert {(refusal["stage"], refusal["code"]) for refusal in told["refusals"]} == {
        (stage, "model_missing") for stage in ("step3", "step4", "step5")
    }
    assert all(refusal["remedy"] for refusal in told["refusals"])


def test_an_engine_that_is_none_is_wrong_usage(run_derush: RunDerush) -> None:
    ended = run_derush("run", "--demo", "--dry-run", "--engine", "abacus")
    assert ended.returncode == Exit.USAGE
    assert "abacus" in ended.stdout and "1 to do" in ended.stdout, "the rest is told all the same"


def test_what_surely_does_not_fit_is_refused(run_derush: RunDerush, tmp_path: Path) -> None:
    with (tmp_path / "huge.zip").open("wb") as archive:
        archive.write(b"PK\x03\x04")
        archive.truncate(1 << 43)
    ended = run_derush("run", str(tmp_path / "huge.zip"), "--dry-run", "--json")
    told = json.loads(ended.stdout)
    assert ended.returncode == Exit.PREREQUISITE
    assert [refusal["code"] for refusal in told["refusals"]] == ["disk_too_small"]
    places = {place["setting"]: place for place in told["places"]}
    assert places["PROJECTS_DIR"]["needed_bytes"] > 1 << 43 and not places["PROJECTS_DIR"]["is_enough"]


def test_what_goes_to_one_disk_is_taken_together(run_derush: RunDerush, tmp_path: Path) -> None:
    """An archive that fits, but not together with its proxies and its delivery on the same disk."""
    stat = os.statvfs(tmp_path)
    with (tmp_path / "large.zip").open("wb") as archive:
        archive.write(b"PK\x03\x04")
        archive.truncate(int(stat.f_bavail * stat.f_frsize * 0.3))
    told = json.loads(run_derush("run", str(tmp_path / "large.zip"), "--dry-run", "--json").stdout)
    assert not told["refusals"], "the factors are compact footage's: it is for a person to decide"
    assert not any(place["is_enough"] for place in told["places"])
    assert all(place["needed_bytes"] < place["free_bytes"] for place in told["places"]), "each alone would fit"


@pytest.fixture
def rushes(tmp_path: Path) -> Path:
    """A folder with a large clip and a small one."""
    folder = tmp_path / "rushes"
    folder.mkdir()
    (folder / "large.mov").write_bytes(bytes(1_000_000))
    (folder / "small.mov").write_bytes(bytes(999_999))
    return folder


def test_a_run_names_what_it_leaves_out(run_derush: RunDerush, rushes: Path, places: dict[str, str]) -> None:
    ended = run_derush("run", str(rushes), "--steps", "1", "--json", STEP1_MIN_SIZE_MB="1")
    told = json.loads(ended.stdout)
    small = str(rushes / "small.mov")
    assert told["exit_code"] == 0 and told["left_out"]["count"] == 1
    assert [(each["path"], each["code"]) for each in told["left_out"]["named"]] == [(small, "too_small")]
    assert "small.mov" in ended.stderr, "who reads the JSON sees it beside it"
    project = Path(places["PROJECTS_DIR"]) / "rushes"
    assert [path.name for path in project.glob("*.mov")] == ["large.mov"]
    # The record has it too: the panel shows runs that a shell began.
    with closing(open_database(Path(places["DATA_DIR"]), None)) as database:
        store = Store(database)
        run = store.get(told["execution_id"])
        assert run.metrics["left_out"] == told["left_out"] and run.metrics["counts"] == {"done": 1}
        (warning,) = store.events_after(run.id, 0, names=["warning"])
        assert (warning.data["item"], warning.data["code"], warning.data["step"]) == (small, "too_small", "STEP1")


def test_a_person_reads_what_was_left_out_also_when_all_is_up_to_date(run_derush: RunDerush, rushes: Path) -> None:
    for _ in range(2):
        ended = run_derush("run", str(rushes), "--steps", "1", "--min-size", "1")
        assert "1 file left out: small.mov (too small)" in ended.stdout
    looked = run_derush("run", str(rushes), "--dry-run", "--min-size", "1")
    assert "1 file left out: small.mov (too small)" in looked.stdout


def test_where_everything_is_left_out_the_way_to_take_it_is_told(run_derush: RunDerush, rushes: Path) -> None:
    ended = run_derush("run", str(rushes), "--kind", "archives")
    assert ended.returncode == Exit.USAGE and "nothing_found" in ended.stderr
    assert "2 left out, of another kind: large.mov, small.mov" in ended.stderr and "--kind all" in ended.stderr
    assert "--min-size" not in ended.stderr
    named = run_derush("run", str(rushes), "--keyword", "nothing is called so")
    assert named.returncode == Exit.USAGE and "Leave `--keyword` out" in named.stderr
    assert "--min-size" not in named.stderr and "--kind" not in named.stderr
    looked = run_derush("run", str(rushes), "--kind", "archives", "--dry-run")
    assert looked.returncode == Exit.USAGE and "--kind all" in looked.stdout


def test_a_run_carried_out_by_another_process_filters_as_it_was_asked_to(
    run_derush: RunDerush, rushes: Path, places: dict[str, str]
) -> None:
    started = run_derush("run", str(rushes), "--steps", "1", "--min-size", "0.5", "--kind", "videos", "--detach")
    run_id = started.stdout.strip()
    project = Path(places["PROJECTS_DIR"]) / "rushes"
    wait_until(lambda: len(list(project.glob("*.mov"))) == 2, 60, "both clips there")
    wait_until(
        lambda: json.loads(run_derush("status", run_id, "--json").stdout)["status"] == "succeeded", 60, "the run over"
    )


@pytest.mark.parametrize("size", ["-1", "nan", "much"])
def test_a_size_that_is_none_is_wrong_usage(run_derush: RunDerush, rushes: Path, size: str) -> None:
    assert run_derush("run", str(rushes), f"--min-size={size}", "--dry-run").returncode == Exit.USAGE


def test_hostile_names_reach_a_terminal_as_harmless_text(run_derush: RunDerush, rushes: Path) -> None:
    (rushes / "[red]\x1b[31m\n\udce9.mov").write_bytes(b"small")
    for more in (["--dry-run"], ["--steps", "1"]):
        shown = run_derush("run", str(rushes), "--min-size", "1", *more).stdout
        assert "[red]�[31m��.mov (too small)" in shown and "\x1b" not in shown
