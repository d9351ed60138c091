"""What the command line says: of runs and their ends, of many and of one, of itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command

from config.contract import Exit
from config.settings import REPOSITORY, read_settings
from services import doctor
from services.cli.app import COMMANDS, app_for, overview
from services.cli.style import amount, state
from services.cli.summary import print_summary, summary
from services.listening import Result
from tests.conftest import as_one_who_needs_rights

LITTLE_SPACE = {"code": "little_space", "step": "STEP5", "item": None}


def warning(place: str, free: int) -> dict[str, Any]:
    return {**LITTLE_SPACE, "message": f"{place} (/mnt/a) has {free} GB free, less than DISK_WARNING_GB=200"}


def told(counts: dict[str, dict[str, int]], **changes: Any) -> dict[str, Any]:
    """What a run of two seconds came to, by the outcomes of its steps."""
    steps = {step_id: {"title": "A step", "seconds": 1.0, "counts": entry} for step_id, entry in counts.items()}
    return {**summary(Result("exec_0123456789ab"), read_settings({})), "seconds": 2.0, "steps": steps, **changes}


def printed(record: dict[str, Any]) -> str:
    screen = io.StringIO()
    print_summary(Console(file=screen, width=200), record, read_settings({}))
    return screen.getvalue()


def test_a_run_that_had_nothing_to_do_ends_with_one_line() -> None:
    record = told({"STEP2": {"up_to_date": 4}, "STEP7": {"up_to_date": 1}}, warnings=[warning("ARCHIVES_DIR", 79)])
    said = "Everything was up to date (5 items looked at in 2.0 s): `--force` does it again.\n"
    assert printed(record) == said


@pytest.mark.parametrize("counts", [{"done": 1}, {"failed": 1}, {"skipped": 1}, {"cancelled": 1}, {"interrupted": 1}])
def test_a_run_that_did_something_says_what_and_where(counts: dict[str, int]) -> None:
    shown = printed(told({"STEP2": {"up_to_date": 4}, "STEP3": counts}, warnings=[warning("ARCHIVES_DIR", 79)]))
    assert "What was done" in shown and "Projects" in shown and "ARCHIVES_DIR" in shown


@pytest.mark.parametrize(
    ("counts", "is_there"),
    [({"done": 1}, True), ({"up_to_date": 1, "failed": 1}, True), ({"failed": 1}, False), ({"skipped": 2}, False), (None, False)],
)  # fmt: skip
def test_a_delivery_is_shown_where_there_is_one(counts: dict[str, int] | None, is_there: bool) -> None:
    shown = printed(told({"STEP1": {"done": 1}} | ({"STEP7": counts} if counts else {})))
    assert [name in shown for name in ("Delivered", "Archived")] == [is_there, is_there]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("205 Locked.zip is protected.", "205 Locked.zip is protected."),
        ("The archive is refused.", "205 Locked.zip: The archive is refused."),
        ("205 Locked.zip: broken.", "205 Locked.zip: broken."),
        ("205 Locked.zip.part is there.", "205 Locked.zip: 205 Locked.zip.part is there."),
    ],
)
def test_what_failed_is_named_once(message: str, said: str) -> None:
    failure = {
        "step": "STEP1",
        "item": "/in/205 Locked.zip",
        "project": None,
        "code": "c",
        "message": message,
        "remedy": "r",
    }
    shown = printed(told({"STEP1": {"failed": 1}}, failures=[failure]))
    assert f"    {said}\n" in shown


def test_what_a_video_lacks_is_said_also_where_there_was_nothing_to_do() -> None:
    lacks = {"code": "incomplete_video", "step": "STEP7", "item": "/p/one", "message": "b is not delivered."}
    assert printed(told({"STEP7": {"up_to_date": 1}}, warnings=[lacks])).splitlines()[0] == "! one: b is not delivered."


@pytest.mark.parametrize(("count", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_one_is_not_many(count: int, said: str) -> None:
    assert amount(count, "file") == said
    artefacts = [{"bytes": 1_000_000}] * count
    assert f"Made {said} ({count}.0 MB)" in printed(told({"STEP2": {"done": 1}}, artefacts=artefacts))


def test_what_every_worker_warns_of_is_taken_once_a_run() -> None:
    about_a_clip = {"code": "odd", "step": "STEP5", "item": "/p/a.mp4", "message": "3 frames are odd."}
    result = Result("exec_0123456789ab")
    given = [
        warning("ARCHIVES_DIR", 79), about_a_clip, warning("ARCHIVES_DIR", 78), warning("CACHE_ROOT_DIR", 78), about_a_clip,
    ]  # fmt: skip
    assert [result.is_new_warning(each) for each in given] == [True, True, False, True, True]
    wanted = [warning("ARCHIVES_DIR", 79), about_a_clip, warning("CACHE_ROOT_DIR", 78), about_a_clip]
    assert summary(result, read_settings({}))["warnings"] == wanted


@pytest.mark.parametrize(
    ("status", "hold", "said"),
    [
        ("running", None, "running"), ("running", "paused", "paused"), ("running", "disk_full", "held"),
        ("running", "project_busy", "running"), ("queued", None, "queued"), ("failed", None, "failed"),
    ],
)  # fmt: skip
def test_a_paused_run_is_called_paused(status: str, hold: str | None, said: str) -> None:
    assert state(status, hold).plain == said


def test_the_overview_has_every_command_and_says_what_it_says_of_itself() -> None:
    every, shown = get_command(app_for([])), get_command(overview())
    assert every.commands.keys() == shown.commands.keys() == COMMANDS.keys()  # type: ignore[attr-defined]
    for name, command in every.commands.items():  # type: ignore[attr-defined]
        listed = shown.commands[name]  # type: ignore[attr-defined]
        assert listed.hidden == command.hidden
        assert _first_words(listed.short_help) == _first_words(command.help), name


def _first_words(text: str) -> list[str]:
    return text.replace("\n", " ").split()[:2]


def test_no_command_line_shows_a_name_in_two_pairs_of_brackets() -> None:
    for name, command in get_command(app_for([])).commands.items():  # type: ignore[attr-defined]
        usage = [part for each in command.params for part in each.get_usage_pieces(None)]
        assert not any("[[" in part for part in usage), name


def test_the_version_is_that_of_the_project(run_derush: Callable[..., Any]) -> None:
    declared = next(line for line in (REPOSITORY / "pyproject.toml").read_text().splitlines() if "version" in line)
    ended = run_derush("--version")
    assert (ended.returncode, ended.stdout) == (Exit.OK, f"Derush {json.loads(declared.partition('=')[2])}\n")


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [(["--help"], "services.commands"), (["logs"], "sqlalchemy"), (["status"], "services.launcher")],
)
def test_what_a_light_command_does_not_need_is_not_imported(
    run_derush: Callable[..., Any], arguments: list[str], heavy: str
) -> None:
    run_derush("history")
    imported = run_derush(*arguments, PYTHONPROFILEIMPORTTIME="1").stderr
    assert "services.cli.app" in imported
    assert f" {heavy}\n" not in imported


def test_an_unknown_command_is_named_with_the_nearest(run_derush: Callable[..., Any]) -> None:
    ended = run_derush("stauts")
    assert ended.returncode == Exit.USAGE
    assert "status" in ended.stderr


# The doctor looks at the history of runs


def check_of(what: str, **variables: str) -> doctor.Check:
    settings = read_settings(variables)
    looked_at = [*doctor.folders(settings), *doctor.history(settings)]
    return next(check for check in looked_at if check.what == what)


def test_the_doctor_begins_no_history(tmp_path: Path) -> None:
    assert check_of("history of runs", DATA_DIR=str(tmp_path / "data")).state == "good"
    assert not list(tmp_path.iterdir())


def test_the_doctor_opens_the_history_that_is_there(places: dict[str, str], run_derush: Callable[..., Any]) -> None:
    run_derush("history")
    found = check_of("history of runs", DATA_DIR=places["DATA_DIR"])
    assert (found.state, found.found) == ("good", str(Path(places["DATA_DIR"]) / "derush.sqlite3"))


@pytest.mark.parametrize(
    ("url", "remedy"),
    [("mysql://host/name", "postgresql://user@host/name"), ("postgresql://me:secret@127.0.0.1:1/x", "DATABASE_URL")],
)
def test_the_doctor_names_a_database_that_cannot_be_used(tmp_path: Path, url: str, remedy: str) -> None:
    found = check_of("history of runs", DATA_DIR=str(tmp_path), DATABASE_URL=url)
    assert found.state == "missing"
    assert remedy in found.remedy
    assert "secret" not in str(found)


def test_the_doctor_names_a_damaged_history(tmp_path: Path) -> None:
    (tmp_path / "derush.sqlite3").write_text("this is no database at all")
    found = check_of("history of runs", DATA_DIR=str(tmp_path))
    assert found.state == "missing" and "damaged" in found.found and "backup" in found.remedy


def test_the_doctor_names_a_data_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = check_of("DATA_DIR", DATA_DIR=str(tmp_path / "file"))
    assert found.state == "missing" and "DATA_DIR" in found.remedy


def test_the_doctor_names_a_data_folder_without_rights(places: dict[str, str], run_derush: Callable[..., Any]) -> None:
    run_derush("history")
    data = Path(places["DATA_DIR"])
    looking = (
        "import json; from config.settings import load_settings; from services import doctor\n"
        "settings = load_settings()\n"
        "print(json.dumps([c.record() for look in (doctor.folders, doctor.history) for c in look(settings)]))"
    )
    for rights, said in ((0o555, "written"), (0o000, "Permission denied")):
        data.chmod(rights)
        command = [*as_one_who_needs_rights(), sys.executable, "-c", looking]
        ended = subprocess.run(command, cwd=REPOSITORY, env=places, capture_output=True, text=True, timeout=60)
        data.chmod(0o755)
        checks = {check["what"]: check for check in json.loads(ended.stdout)}
        assert checks["DATA_DIR"]["state"] == checks["history of runs"]["state"] == "missing"
        assert said in checks["history of runs"]["found"]
