"""The workflow's page: what its form asks for, that it starts one run, and how runs are told while they go on and after."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from config.settings import Settings
from services import launching
from services.errors import ServiceError
from services.executions import Event, Execution, Store
from services.options import Options
from services.planner import make_plan, workflows
from services.plans import Plan
from services.processes import identity
from services.run_request import input_path
from services.status import global_status
from services.survival import Orphans
from services.workflow_progress import Follower, Said, WorkflowProgress
from tests.panel.conftest import csrf
from tests.panel.made_runs import BigRun, make_run, moment
from tests.panel.pages import assert_inert, words_of
from web.panel import Panel
from web.workflow import ENGINES
from workflow_scripts.step5.engines import ENGINES as STEP5_ENGINES

# What a run is told as


def progress_of(store: Store) -> WorkflowProgress:
    return WorkflowProgress(store, lambda run_id: global_status(store, run_id))


def going_on(videos: int = 3) -> BigRun:
    """A run at work: of the last video STEP5 is at frame 50, the supervisor is this process.

    It is paused, so that how long it will still take is not guessed anew at every look.
    """
    made = BigRun(videos, status="running")
    made.run.held = {"code": "paused", "message": "Paused."}
    made.run.owner, made.run.heartbeat_at = identity(), moment(100)
    at_work = made.of("STEP5")[-1]
    at_work.status, at_work.outcome, at_work.ended_at = "running", None, None
    at_work.done, at_work.total, at_work.unit = 50, 200, "frames"
    for task in (made.of("STEP6")[-1], made.of("STEP7")[0]):
        task.status, task.outcome, task.started_at, task.ended_at = "queued", None, None, None
    return made


def ended(task: Execution, **error: str) -> Event:
    facts = {"outcome": "failed" if error else "done", "error": error or None}
    return Event(run_id=task.run_id, execution_id=task.id, at=moment(1), event="task_ended", data=facts)


def names(said: Iterator[Said]) -> list[str]:
    return [each.name for each in said]


def test_progress_tells_the_step_and_the_file_at_hand(store: Store) -> None:
    made = going_on().save(store)
    (said,) = Follower(progress_of(store), made.run.id).news()
    assert said.name == "progress" and said.id is None
    assert {key: said.data[key] for key in ("step", "current", "total", "filename", "message")} == {
        "step": "STEP5", "current": 2, "total": 3, "filename": "clip_0002.mp4", "message": "50 of 200 frames",
    }  # fmt: skip
    assert 0.5 < said.data["progress"] < 1 and said.data["status"] == "running"


def test_what_is_told_again_is_only_what_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = going_on().save(store)
    monkeypatch.setattr("services.workflow_progress.LOOK_SECONDS", 0.0)
    follower = Follower(progress_of(store), made.run.id)
    assert names(follower.news()) == ["progress"] and names(follower.news()) == []
    made.of("STEP5")[-1].done = 60
    store.save(made.of("STEP5"))
    (said,) = follower.news()
    assert said.data["message"] == "60 of 200 frames"


def test_a_run_that_waits_says_for_what(store: Store) -> None:
    waiting = make_run("queued", 5.0)
    waiting.owner = identity()
    store.save([waiting])
    (said,) = Follower(progress_of(store), waiting.id).news()
    assert (said.data["status"], said.data["step"], said.data["message"]) == ("queued", "STEP1", "waits for its turn")


def test_complete_counts_what_was_found_done_and_left(store: Store) -> None:
    made = BigRun(5, failing=2)
    left_out = {"count": 3, "named": [{"path": "/in/a.zip", "form": "archive", "bytes": 9, "code": "too_small"}]}
    made.run.metrics = {"left_out": left_out}
    made.save(store)
    (said,) = Follower(progress_of(store), made.run.id).news()
    assert said.name == "complete" and said.data["status"] == "failed"
    assert said.data["counts"] == {
        "scanned": 4, "matched": 1, "left_out": 3, "done": 21, "up_to_date": 0, "failed": 2, "skipped": 4,
        "cancelled": 0, "accepted": 0, "left_for_a_person": 2,
    }  # fmt: skip


def test_each_error_is_told_once_also_to_who_comes_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = going_on()
    first, second, third = made.of("STEP3")
    facts = {"code": "decode_failed", "message": "It cannot be decoded.", "remedy": "Have it delivered again."}
    made.events = [ended(first, **facts), ended(second)]
    made.save(store)
    monkeypatch.setattr("services.workflow_progress.LOOK_SECONDS", 0.0)
    told = list(Follower(progress_of(store), made.run.id).news())
    assert [said.name for said in told] == ["error", "progress"]
    assert told[0].data == {
        "execution_id": first.id, "run_id": made.run.id, "step": "STEP3", "filename": "clip_0000.mp4", "project": "day", **facts,
    }  # fmt: skip
    progress = progress_of(store)
    back = Follower(progress, made.run.id, after=told[0].id or 0)
    assert names(back.news()) == ["progress"]
    store.save([], [ended(third, **facts)])
    (said,) = back.news()
    assert said.data["filename"] == "clip_0002.mp4" and (said.id or 0) > (told[0].id or 0)
    assert names(back.news()) == []
    assert names(Follower(progress, made.run.id).news()) == ["error", "error", "progress"]


def test_what_is_tried_again_by_itself_has_not_failed_yet(store: Store) -> None:
    made = going_on()
    task = made.of("STEP3")[0]
    again = Event(
        run_id=task.run_id, execution_id=task.id, at=moment(2), event="task_retried", data={"previous": task.id, "delay": 1.5}
    )  # fmt: skip
    made.events = [ended(task, code="stalled", message="It was silent.", remedy="Look."), again]
    made.save(store)
    assert names(Follower(progress_of(store), made.run.id).news()) == ["progress"]


@pytest.mark.parametrize("page", [1, 2, 3])
def test_where_a_page_of_events_ends_makes_no_error(store: Store, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr("services.workflow_progress._PAGE", page)
    made = going_on()
    facts = {"code": "stalled", "message": "It was silent.", "remedy": "Look."}
    for task in made.of("STEP3"):
        data = {"previous": task.id, "delay": 1.5}
        retried = Event(run_id=task.run_id, execution_id=task.id, at=moment(2), event="task_retried", data=data)
        made.events += [ended(task, **facts), *([retried] if task is not made.of("STEP3")[1] else [])]
    made.save(store)
    error, progress = Follower(progress_of(store), made.run.id).news()
    assert (error.name, error.data["execution_id"], progress.name) == ("error", made.of("STEP3")[1].id, "progress")


def test_a_run_that_could_not_be_carried_out_is_an_error_too(store: Store) -> None:
    run = make_run("failed", 0.0, error={"code": "disk_too_small", "message": "No room.", "remedy": "Make room."})
    end = Event(run_id=run.id, execution_id=run.id, at=moment(2), event="run_ended", data={"status": "failed"})
    store.save([run], [end])
    error, complete = Follower(progress_of(store), run.id).news()
    assert (error.data["code"], error.data["filename"], error.data["remedy"]) == ("disk_too_small", None, "Make room.")
    assert complete.name == "complete" and complete.data["message"] == "No room. Make room."


def test_without_a_name_the_run_at_work_is_watched_then_the_newest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.workflow_progress.LOOK_SECONDS", 0.0)
    follower = Follower(progress_of(store), None)
    assert names(follower.news()) == []
    earlier = make_run("succeeded", 10.0)
    store.save([earlier])
    assert [(said.name, said.data["execution_id"]) for said in follower.news()] == [("complete", earlier.id)]
    made = going_on().save(store)  # begun by a command line, earlier than the other was queued
    assert [(said.name, said.data["execution_id"]) for said in follower.news()] == [("progress", made.run.id)]


def test_a_run_is_looked_at_once_for_all_who_watch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = going_on().save(store)
    looks: list[str] = []
    progress = WorkflowProgress(store, lambda run_id: looks.append(run_id) or global_status(store, run_id))  # type: ignore[func-returns-value]
    followers = [Follower(progress, made.run.id) for _ in range(40)]
    with ThreadPoolExecutor(40) as pool:
        told = list(pool.map(lambda follower: names(follower.news()), followers))
    assert told == [["progress"]] * 40 and len(looks) == 1


# The stream and the page


def events_in(answer: TestResponse, until: str) -> list[tuple[str, Any]]:
    """Read a stream up to the first event of a name."""
    text = ""
    for block in answer.response:
        text += block.decode() if isinstance(block, bytes) else block
        found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)
        if until in [name for name, _data in found]:
            answer.close()
            return [(name, json.loads(data)) for name, data in found]
    raise AssertionError(f"the stream ended: {text}")


def test_the_stream_begins_with_how_the_run_is(client: FlaskClient, store: Store) -> None:
    made = BigRun(2, failing=1)
    made.events = [ended(made.of("STEP3")[0], code="decode_failed", message="No.", remedy="Again.")]
    made.save(store)
    answer = client.get(f"/workflow/progress?run={made.run.id}")
    assert answer.mimetype == "text/event-stream" and answer.headers["Cache-Control"] == "no-store"
    found = events_in(answer, "complete")
    assert [name for name, _data in found] == ["error", "complete"]
    last = store.newest_event_id()
    for path, headers in (
        (f"&after={last}", {}),
        ("", {"Last-Event-ID": str(last)}),
        ("&after=0", {"Last-Event-ID": str(last)}),
    ):
        answer = client.get(f"/workflow/progress?run={made.run.id}{path}", headers=headers)
        assert [name for name, _data in events_in(answer, "complete")] == ["complete"]


def test_the_page_s_stream_has_its_parts_as_well(client: FlaskClient, store: Store) -> None:
    made = going_on().save(store)
    found = events_in(client.get(f"/workflow/progress?run={made.run.id}&parts=1"), "progress")
    parts = {data["id"]: data["html"] for name, data in found if name == "fragment"}
    assert set(parts) == {"run", "state", "told"}
    assert "clip_0002.mp4" in parts["run"] and "50 of 200 frames" in parts["run"]
    assert re.search(r'<button id="start"[^>]* disabled', parts["state"]) and made.run.message in parts["state"]


@pytest.mark.parametrize("path", ["/workflow", "/workflow/progress"])
def test_a_run_that_is_not_there_is_said_so(client: FlaskClient, path: str) -> None:
    assert client.get(f"{path}?run=exec_000000000000").status_code == 404
    assert client.get(f"{path}?run=%00").status_code == 404


def test_the_page_shows_what_waits_for_a_person(client: FlaskClient, store: Store) -> None:
    made = BigRun(4, failing=2)
    named = [{"path": "/in/<b>tiny.zip", "form": "archive", "bytes": 900, "code": "too_small", "message": ""}]
    made.run.metrics = {"left_out": {"count": 1, "named": named}}
    made.save(store)
    page = client.get(f"/workflow?run={made.tasks[5].id}").text  # the id of a task leads to its run
    assert "clip_0000.mp4" in page and "Have the file delivered again." in page
    assert "&lt;b&gt;tiny.zip" in page and "900\u00a0B" in page
    assert f'href="/executions/{made.run.id}#errors"' in page
    assert_inert(page)


def test_a_name_that_is_no_utf8_does_not_break_the_page(client: FlaskClient, store: Store) -> None:
    made = going_on()
    made.of("STEP5")[-1].subject = "/work/projets/day/docs/d\udce9j\udce0.mp4"
    made.save(store)
    page = client.get("/workflow")
    assert page.status_code == 200 and "d\ufffdj\ufffd.mp4" in page.text
    assert events_in(client.get("/workflow/progress?parts=1"), "progress")


def test_the_engines_that_are_offered_are_those_of_step5() -> None:
    assert set(ENGINES) == set(STEP5_ENGINES)


# Launching


def form(client: FlaskClient, folder: Path, **changes: object) -> MultiDict[str, Any]:
    filled = {
        "csrf_token": csrf(client), "key": "a key", "inputs": str(folder), "by": "workflow", "workflow": "full",
        "steps": [f"STEP{number}" for number in range(1, 8)], "kind": "all", "min_size_mb": "1", "device": "auto",
        "engine": "", "priority": "0",
    }  # fmt: skip
    return MultiDict({**filled, **changes})


def launch(client: FlaskClient, folder: Path, **changes: object) -> TestResponse:
    return client.post("/workflow/launch", data=form(client, folder, **changes))


def only_run(store: Store) -> Execution:
    (run,) = store.runs()
    return run


def test_the_form_starts_a_run_and_shows_it(
    client: FlaskClient, store: Store, rushes: Path, started: list[str], opened: Panel
) -> None:
    answer = launch(
        client,
        rushes,
        steps=["STEP1", "STEP2"],
        kind="videos",
        min_size_mb="2.5",
        keywords="Camille, day 2 ,",
        priority="7",
        force="1",
        engine="opencv_yunet",
    )
    run = only_run(store)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/workflow?run={run.id}")
    assert started == [run.id] and run.priority == 7 and run.status == "queued"
    assert [task.step for task in Plan.from_record(run.plan or {}).tasks] == ["STEP1", "STEP2"]
    chosen = {
        "kind": "videos",
        "min_size_mb": 2.5,
        "keywords": ["Camille", "day 2"],
        "force": True,
        "fail_fast": False,
        "engine": "opencv_yunet",
        "device": "auto",
    }
    assert {name: run.parameters[name] for name in chosen} == chosen
    entry = opened.accounts.audit_entries()[0]
    assert (entry.action, entry.target, entry.who) == ("start run", run.id, "you")
    assert run.message in client.get(f"/workflow?run={run.id}").text


def test_htmx_is_sent_to_the_run(client: FlaskClient, store: Store, rushes: Path, started: list[str]) -> None:
    answer = client.post("/workflow/launch", data=form(client, rushes), headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, f"/workflow?run={only_run(store).id}")


def test_the_same_form_sent_often_starts_one_run(
    app: Flask, client: FlaskClient, store: Store, rushes: Path, started: list[str], opened: Panel
) -> None:
    sent = form(client, rushes)
    cookie = client.get_cookie("derush")
    assert cookie

    def send(_number: int) -> str:
        browser = app.test_client()
        browser.set_cookie("derush", cookie.value)
        answer = browser.post("/workflow/launch", data=sent)
        return answer.headers["Location"] if answer.status_code == 303 else answer.text

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(16)))
    assert answers == {f"/workflow?run={only_run(store).id}"}
    assert started == [only_run(store).id]
    assert [entry.action for entry in opened.accounts.audit_entries()].count("start run") == 1


def test_a_key_does_not_start_something_else(
    client: FlaskClient, store: Store, rushes: Path, started: list[str]
) -> None:
    launch(client, rushes)
    answer = launch(client, rushes, force="1", queue="1")
    assert answer.status_code == 409 and "key_used" in answer.text and len(started) == 1


def test_while_a_run_goes_on_another_is_only_queued_if_that_is_asked_for(
    client: FlaskClient, store: Store, rushes: Path, started: list[str]
) -> None:
    going_on().save(store)
    refused = launch(client, rushes)
    assert refused.status_code == 409 and "MAX_CONCURRENT_RUNS" in refused.text and not started
    assert launch(client, rushes, demo="1").status_code == 409
    assert launch(client, rushes, queue="1").status_code == 303
    assert len(started) == 1 and len(store.active_runs()) == 2


def test_the_demo_is_taken_whole_whatever_else_is_filled_in(
    client: FlaskClient, store: Store, rushes: Path, started: list[str]
) -> None:
    assert launch(client, rushes, demo="1", workflow="verify", priority="?").status_code == 303
    run = only_run(store)
    assert run.message == "full: demo_rushes.zip" and run.parameters["min_size_mb"] == 0


def test_plain_words_choose_the_workflow(
    client: FlaskClient, store: Store, rushes: Path, started: list[str], panel_settings: Settings
) -> None:
    (panel_settings.projects_dir / "Bruxelles").mkdir(parents=True)
    answer = launch(client, rushes, by="words", request="réduis et archive le projet Bruxelles", inputs=[])
    assert answer.status_code == 303, answer.text
    plan = Plan.from_record(only_run(store).plan or {})
    assert plan.workflow == "reduce-and-archive"
    assert plan.tasks[0].files == (str(panel_settings.projects_dir / "Bruxelles"),)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"inputs": "/etc"}, "path_not_allowed"),
        ({"inputs": [], "more": "/etc/passwd\n"}, "path_not_allowed"),
        ({"inputs": "rushes"}, "path_not_allowed"),
        ({"inputs": "\0"}, "wrong_input"),
        ({"inputs": []}, "no_input"),
        ({"workflow": "../full"}, "no_such_workflow"),
        ({"steps": []}, "wrong_steps"),
        ({"steps": ["STEP9"]}, "wrong_steps"),
        ({"min_size_mb": "-1"}, "wrong_input"),
        ({"min_size_mb": "nan"}, "wrong_input"),
        ({"min_size_mb": "much"}, "wrong_input"),
        ({"priority": "9" * 5000}, "wrong_input"),
        ({"engine": "--help"}, "wrong_input"),
        ({"device": "tpu"}, "wrong_input"),
        ({"kind": "all --force"}, "wrong_input"),
        ({"by": "words", "request": " "}, "no_request"),
        ({"by": "words", "request": "x" * 2001}, "wrong_input"),
        ({"by": "words", "request": "fais les rushes de /etc/passwd", "inputs": []}, "no_input"),
        ({"by": "words", "request": "mow the lawn"}, "no_workflow_fits"),
    ],
)
def test_what_cannot_be_started_is_refused_with_what_to_do(
    client: FlaskClient, store: Store, rushes: Path, started: list[str], changes: dict[str, Any], code: str
) -> None:
    answer = client.post("/workflow/launch", data=form(client, rushes, **changes), headers={"HX-Request": "true"})
    assert answer.status_code in {400, 404} and code in answer.text
    assert answer.headers["HX-Retarget"] == "#messages"
    assert not started and not store.runs()


def test_a_link_out_of_the_allowed_folders_is_no_way_out(
    client: FlaskClient, rushes: Path, started: list[str], panel_settings: Settings
) -> None:
    (rushes / "out").symlink_to("/etc")
    panel_settings.projects_dir.mkdir()
    (panel_settings.projects_dir / "out").symlink_to("/etc")
    for path in (rushes / "out", panel_settings.projects_dir / "out", panel_settings.projects_dir / ".." / ".."):
        assert "path_not_allowed" in launch(client, path).text, path
    assert not started


def test_who_may_only_look_starts_nothing(
    app: Flask, opened: Panel, client: FlaskClient, rushes: Path, started: list[str]
) -> None:
    program = app.test_client()
    headers = {"Authorization": f"Bearer {opened.accounts.create_token('looker', ['read'])}"}
    assert program.post("/workflow/launch", data=form(client, rushes), headers=headers).status_code == 403
    assert program.post("/workflow/preview", data=form(client, rushes), headers=headers).status_code == 403
    assert client.post("/workflow/launch", data={**form(client, rushes), "csrf_token": ""}).status_code == 400
    assert not started


def test_a_process_that_cannot_be_started_leaves_a_failed_run(
    client: FlaskClient, store: Store, rushes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_run_id: str, _settings: Settings) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(launching, "start_detached", fail)
    answer = launch(client, rushes)
    run = only_run(store)
    assert answer.status_code == 409 and "Cannot allocate memory" in answer.text
    assert run.status == "failed" and (run.error or {})["code"] == "cannot_start"


def test_a_supervisor_that_dies_at_once_is_noticed(
    store: Store, panel_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told for a minute that a run waits which nobody carries out."""
    monkeypatch.setattr(launching, "start_detached", lambda _run_id, _settings: 2**22 - 1)
    plan = make_plan(workflows()["verify"], objective="look", files=["/nowhere"])
    launched = launching.launch(store, panel_settings, plan, Options())
    Orphans(store).look()
    (said,) = Follower(progress_of(store), launched.run.id).news()
    assert (said.name, said.data["status"]) == ("complete", "interrupted")


def test_the_preview_is_that_of_the_form(client: FlaskClient, store: Store, rushes: Path) -> None:
    """The steps' own scripts are asked; nothing is recorded."""
    (rushes / "tiny.mp4").write_bytes(b"x" * 900)
    (rushes / "day.mp4").write_bytes(b"x" * 2_000_000)
    answer = client.post(
        "/workflow/preview", data=form(client, rushes, steps=["STEP1"]), headers={"HX-Request": "true"}
    )
    assert answer.status_code == 200 and "<html" not in answer.text
    text = words_of(answer.text)
    assert "STEP1" in text and "tiny.mp4 900 B · too small" in text and "rushes" in text
    assert re.search(r"STEP1 Extraction 1 0 0 0 0", text), text
    assert "<html" in client.post("/workflow/preview", data=form(client, rushes, steps=["STEP1"])).text
    assert not store.runs()


def test_a_preview_says_what_keeps_a_run_from_beginning(client: FlaskClient, rushes: Path) -> None:
    answer = client.post("/workflow/preview", data=form(client, rushes, steps=["STEP1"]))
    assert answer.status_code == 200 and "nothing_found" in answer.text


def test_further_places_are_a_setting(panel_settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ServiceError):
        input_path(str(other), panel_settings)
    assert input_path(str(other), replace(panel_settings, browse_roots=(str(other),))) == other
