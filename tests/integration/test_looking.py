"""`derush status`, `history` and `show`, on runs that really took place."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from config.contract import Exit
from services.database import open_database
from services.executions import Event, Execution, Store, new_id, utc_now
from services.plans import Plan, PlanTask
from services.processes import identity
from tests.conftest import REPOSITORY, wait_until

HOSTILE = "[red]evil\n\x1b[31m\udce9.zip"
DERUSH = [sys.executable, "-m", "services.cli"]
SCHEMA = json.loads((REPOSITORY / "docs/schemas/status.json").read_text())
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class History:
    """A place with three runs, oldest first: one archive; the same again; with a broken archive beside it."""

    variables: dict[str, str]
    told: list[dict[str, Any]]

    def derush(self, *arguments: str, code: int = 0) -> str:
        """Run `derush`, on a wide screen that is no terminal, and return what it prints."""
        ended = subprocess.run(
            [*DERUSH, *arguments], cwd=REPOSITORY, env=self.variables, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout

    def told_by(self, *arguments: str) -> Any:
        return json.loads(self.derush(*arguments, "--json"))


def place_in(folder: Path) -> History:
    """A place without any run."""
    names = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR", "DATA_DIR", "CACHE_ROOT_DIR")
    places = {name: str(folder / name.lower()) for name in names}
    own = {"DERUSH_ENV_FILE": str(folder / "no.env"), "COLUMNS": "400", "STEP1_MIN_SIZE_MB": "0"}
    for path in places.values():
        Path(path).mkdir()
    return History({**os.environ, **places, **own}, [])


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("past")
    made = place_in(folder)
    rushes = folder / "rushes"
    rushes.mkdir()
    with zipfile.ZipFile(rushes / "good.zip", "w") as archive:
        archive.writestr("a.mov", b"some bytes")
    for _ in range(2):
        made.told.append(json.loads(made.derush("run", str(rushes), "--steps", "1", "--json")))
    (rushes / HOSTILE).write_bytes(b"PK\x03\x04 and nothing that a zip would go on with")
    made.told.append(json.loads(made.derush("run", str(rushes), "--steps", "1", "--json", code=Exit.SOME_FAILED)))
    return made


def test_what_a_run_warned_of_is_told_with_it(tmp_path: Path) -> None:
    place, packed = place_in(tmp_path), tmp_path / "odd.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("trailing. /a.mov", b"some bytes")
    place.derush("run", str(packed), "--steps", "1")
    status = place.told_by("status")
    jsonschema.validate(status, SCHEMA)
    (warned,) = (each for each in status["warnings"] if each["subject"])
    assert (warned["code"], warned["step"], warned["subject"]) == ("renamed", "STEP1", str(packed))
    for command in ("status", "show"):
        assert f"! STEP1 odd.zip: {warned['message']}" in place.derush(command)


def test_status_tells_a_run_as_its_schema_says(past: History) -> None:
    told = past.told_by("status")
    jsonschema.validate(told, SCHEMA)
    assert told["execution_id"] == past.told[-1]["execution_id"]
    assert (told["status"], told["progress"], told["remaining_seconds"]) == ("failed", 0.5, 0)
    assert told["counts"] == {"succeeded": 1, "failed": 1}
    (step,) = told["steps"]
    assert (step["step"], step["status"], step["done"], step["total"]) == ("STEP1", "failed", 2, 2)
    (error,) = step["errors"]
    assert (Path(error["subject"]).name, error["code"]) == (HOSTILE, "damaged_archive")


def test_a_run_is_found_by_the_beginning_of_its_id_or_of_one_of_its_parts(past: History) -> None:
    first = past.told[0]["execution_id"]
    assert past.told_by("status", first[5:13])["execution_id"] == first
    step = past.told_by("status", first)["steps"][0]["execution_id"]
    assert past.told_by("status", step)["execution_id"] == first
    assert past.told_by("status", "last")["execution_id"] == past.told[-1]["execution_id"]
    assert json.loads(past.derush("status", "zzz", "--json", code=Exit.USAGE))["error"]["code"] == "no_such_execution"


@pytest.mark.parametrize("command", [["status"], ["show"], ["show", "--all"], ["history"], ["status", "--watch"]])
def test_hostile_names_reach_a_terminal_as_harmless_text(past: History, command: list[str]) -> None:
    shown = past.derush(*command)
    assert not CONTROL.search(shown)
    if command[0] == "show" or command == ["status"]:
        assert "[red]evil��[31m�.zip" in shown


def test_status_says_what_to_do_about_a_failure(past: History) -> None:
    shown = past.derush("status")
    run_id = past.told[-1]["execution_id"].removeprefix("exec_")
    assert "Copy or download the archive again" in shown
    assert f"derush retry {run_id}" in shown
    assert "derush resume" not in shown
    assert "derush retry" not in past.derush("status", past.told[0]["execution_id"])


def test_history_lists_the_newest_first_page_by_page(past: History) -> None:
    ids = [told["execution_id"] for told in reversed(past.told)]
    page = past.told_by("history", "--limit", "2")
    assert [run["execution_id"] for run in page["runs"]] == ids[:2]
    assert page["next_before"] == ids[1]
    rest = past.told_by("history", "--limit", "2", "--before", page["next_before"])
    assert ([run["execution_id"] for run in rest["runs"]], rest["next_before"]) == (ids[2:], None)
    assert [run["counts"] for run in page["runs"]] == [{"up_to_date": 1, "failed": 1}, {"up_to_date": 1}]
    assert rest["runs"][0]["counts"] == {"done": 1}
    assert 0 < rest["runs"][0]["seconds"] < 100


def test_history_may_be_narrowed(past: History) -> None:
    assert [run["status"] for run in past.told_by("history", "--status", "failed")["runs"]] == ["failed"]
    assert len(past.told_by("history", "--text", "RUSHES")["runs"]) == 3
    assert past.told_by("history", "--text", "nowhere")["runs"] == []
    assert "no such run" in past.derush("history", "--text", "nowhere")
    refused = json.loads(past.derush("history", "--status", "odd", "--json", code=Exit.USAGE))
    assert refused["error"]["code"] == "no_such_status"


def test_show_tells_the_tree_the_failed_first(past: History) -> None:
    told = past.told_by("show")
    (step,) = told["steps"]
    assert [task["status"] for task in step["tasks"]] == ["failed", "succeeded"]
    assert (step["not_shown"], "artefacts" in step["tasks"][0]) == (0, False)
    assert Path(step["tasks"][0]["log_path"]).is_file()
    assert "artefacts" in past.told_by("show", "--all")["steps"][0]["tasks"][0]
    assert past.told_by("show", step["execution_id"])["steps"][0]["execution_id"] == step["execution_id"]


def test_show_tells_one_task_with_its_history(past: History) -> None:
    task = past.told_by("show")["steps"][0]["tasks"][0]
    told = past.told_by("show", task["execution_id"])
    assert (told["execution_id"], told["run_id"]) == (task["execution_id"], past.told[-1]["execution_id"])
    assert [event["event"] for event in told["events"]] == ["task_started", "task_ended"]
    assert [attempt["attempt"] for attempt in told["attempts"]] == [1]
    shown = past.derush("show", task["execution_id"])
    assert "task_ended" in shown
    assert "is damaged or cut off" in shown


def test_without_any_run_status_says_so(run_derush: Callable[..., Any]) -> None:
    ended = run_derush("status")
    assert ended.returncode == Exit.USAGE
    assert "derush run --demo" in ended.stderr
    assert "no run yet" in run_derush("history").stdout


@dataclass(frozen=True)
class Going:
    """A run that this test carries out itself, as far as the store can tell."""

    store: Store
    run: Execution
    step: Execution
    variables: dict[str, str]

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*DERUSH, *arguments], cwd=REPOSITORY, env=self.variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )  # fmt: skip

    def beside(self, **values: Any) -> str:
        """Record another run, later than this one, and return its id."""
        now = utc_now()
        run_id = new_id()
        known = {
            "queued_at": now,
            "heartbeat_at": now,
            "owner": identity(),
            "plan": self.run.plan,
            "message": "Another",
        }
        self.store.save([Execution(id=run_id, run_id=run_id, kind="run", **{**known, **values})])
        return run_id

    def derush(self, *arguments: str) -> str:
        out, err = self.begin(*arguments).communicate(timeout=60)
        assert out, err
        return out

    def task(self, name: str, **values: Any) -> Execution:
        row = Execution(
            id=new_id(), run_id=self.run.id, parent_execution_id=self.step.id, kind="task", number=2, stage="step3",
            step="STEP3", item_kind="video", subject=f"/p/docs/{name}.mp4", queued_at=utc_now(), **values,
        )  # fmt: skip
        self.store.save([row])
        return row

    def end(self) -> None:
        self.run.status, self.run.ended_at, self.run.seconds = "succeeded", utc_now(), 1.0
        self.store.save(
            [self.run], [Event(run_id=self.run.id, execution_id=self.run.id, at=utc_now(), event="run_ended")]
        )


@pytest.fixture
def going(places: dict[str, str]) -> Iterator[Going]:
    plan = Plan(
        workflow="some", objective="Going on",
        sequential_tasks=(PlanTask(id="step3", name="Scenes", step="STEP3", files=("/p",)),),
    )  # fmt: skip
    run_id, now = new_id(), utc_now()
    run = Execution(
        id=run_id, run_id=run_id, kind="run", queued_at=now, started_at=now, heartbeat_at=now, status="running",
        owner=identity(), plan=plan.record(), message=plan.objective,
    )  # fmt: skip
    step = Execution(
        id=new_id(), run_id=run_id, parent_execution_id=run_id, kind="step", number=1, stage="step3", step="STEP3",
        queued_at=now, status="running",
    )  # fmt: skip
    with closing(open_database(Path(places["DATA_DIR"]), None)) as database:
        store = Store(database)
        store.save([run, step])
        yield Going(store, run, step, places)


def test_watching_tells_every_change_until_the_run_ends(going: Going) -> None:
    watching = going.begin("status", "--watch", "--json")
    assert watching.stdout is not None
    told = [json.loads(watching.stdout.readline())]
    row = going.task("a", status="running", done=1, total=4)
    told.append(json.loads(watching.stdout.readline()))
    row.status, row.outcome, row.seconds = "succeeded", "done", 1.0
    going.store.save([row])
    told.append(json.loads(watching.stdout.readline()))
    going.end()
    rest, _ = watching.communicate(timeout=60)
    told += [json.loads(line) for line in rest.splitlines()]
    for each in told:
        jsonschema.validate(each, SCHEMA)
    assert [(each["status"], each["progress"]) for each in told] == [
        ("running", 0), ("running", 0.25), ("running", 1), ("succeeded", 1),
    ]  # fmt: skip
    assert watching.returncode == Exit.OK


def test_without_a_terminal_watching_prints_a_line_a_change(going: Going) -> None:
    watching = going.begin("status", "--watch")
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("0% running")
    going.task("a", status="running", done=1, total=4)
    assert "STEP3 0/1" in watching.stdout.readline()
    going.end()
    rest, _ = watching.communicate(timeout=60)
    assert len(rest.splitlines()) == 1
    assert "succeeded" in rest


def test_ctrl_c_ends_the_looking_and_not_the_run(going: Going) -> None:
    watching = going.begin("status", "--watch")
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=60)
    assert watching.returncode == Exit.INTERRUPTED
    assert going.store.get(going.run.id).status == "running"


def test_on_a_terminal_watching_redraws(going: Going) -> None:
    going.task("clip of the day", status="running", done=1, total=4, unit="frames", started_at=utc_now())
    controller, terminal = pty.openpty()
    variables = {**going.variables, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "50"}
    watching = subprocess.Popen([*DERUSH, "status", "--watch"], cwd=REPOSITORY, env=variables, stdout=terminal)
    os.close(terminal)
    seen = b""

    def drawn() -> bool:
        nonlocal seen
        seen += os.read(controller, 65536)
        return seen.count(b"clip of the day") >= 2

    wait_until(drawn, 60, "a second drawing")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=60) == Exit.INTERRUPTED
    os.close(controller)
    assert b"1/4 frames" in seen
    assert "━".encode() in seen


def test_a_run_whose_supervisor_is_gone_is_not_shown_as_running(going: Going) -> None:
    row = going.task("a", status="running")
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    going.run.owner = identity(gone.pid)
    going.store.save([going.run])
    assert '"status": "running"' in going.begin("status", "--json").communicate(timeout=60)[0]
    gone.communicate("\n", timeout=60)
    shown, _ = going.begin("status").communicate(timeout=60)
    assert "interrupted" in shown
    assert f"derush resume {going.run.id.removeprefix('exec_')}" in shown
    assert {going.store.get(each).status for each in (going.run.id, row.id)} == {"interrupted"}


def test_of_very_many_tasks_show_tells_some(going: Going) -> None:
    ended = {"status": "succeeded", "outcome": "done"}
    rows = [going.task(f"{n:03}", **({"status": "failed"} if n == 70 else ended)) for n in range(80)]
    told = json.loads(going.begin("show", "--json").communicate(timeout=60)[0])
    (step,) = told["steps"]
    assert step["tasks"][0]["execution_id"] == rows[70].id
    assert (len(step["tasks"]), step["not_shown"]) == (50, 30)
    told = json.loads(going.begin("show", "--all", "--json").communicate(timeout=60)[0])
    assert (len(told["steps"][0]["tasks"]), told["steps"][0]["not_shown"]) == (80, 0)
    assert "and 30 more: --all shows them" in going.begin("show").communicate(timeout=60)[0]


PAUSED = {"code": "paused", "message": "A person paused it."}


def test_without_an_id_the_run_at_work_is_shown_and_not_one_that_waits_behind_it(going: Going) -> None:
    going.beside(status="queued")
    going.beside(status="running", held=PAUSED)
    assert json.loads(going.derush("status", "--json"))["execution_id"] == going.run.id
    assert going.run.id in going.derush("show")


def test_without_a_run_at_work_a_held_one_is_shown_then_one_that_waits(going: Going) -> None:
    going.end()
    waiting = going.beside(status="queued")
    assert json.loads(going.derush("status", "--json"))["execution_id"] == waiting
    held = going.beside(status="running", held=PAUSED, queued_at="2020-01-01T00:00:00.000000+00:00")
    assert json.loads(going.derush("status", "--json"))["execution_id"] == held


def test_a_paused_run_is_called_paused_wherever_it_is_told(going: Going) -> None:
    going.run.held = PAUSED
    going.store.save([going.run])
    lines = [line for line in going.derush("history").splitlines() if going.run.id[5:13] in line]
    assert len(lines) == 1 and "paused" in lines[0] and "running" not in lines[0]
    (told,) = json.loads(going.derush("history", "--json"))["runs"]
    assert (told["status"], told["held"]) == ("running", PAUSED)
    for command in ("status", "show"):
        first = going.derush(command).splitlines()[0]
        assert "paused" in first and "running" not in first
    watching = going.begin("status", "--watch")
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("0% paused")
    going.end()
    watching.communicate(timeout=60)


def test_pause_and_resume_mean_the_run_that_they_can_do_something_about(going: Going) -> None:
    waiting = going.beside(status="queued")
    paused = going.beside(status="running", held=PAUSED, queued_at="2020-01-01T00:00:00.000000+00:00")
    going.begin("pause").communicate(timeout=60)
    asked = json.loads(going.derush("resume", "--json"))
    assert asked == {"schema": "derush.asked/1", "execution_id": paused, "asked": "resume"}
    requests = {
        run_id: [event.data["action"] for event in going.store.events_after(run_id, 0, names=["requested"])]
        for run_id in (going.run.id, waiting, paused)
    }
    assert requests == {going.run.id: ["pause"], waiting: [], paused: ["resume"]}


def test_a_run_that_is_over_is_told_so_in_a_sentence(going: Going) -> None:
    going.end()
    _, said = going.begin("pause", going.run.id).communicate(timeout=60)
    assert f"{going.run.id} has succeeded." in " ".join(said.split())
