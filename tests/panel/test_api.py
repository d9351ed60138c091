"""The API: who may, what comes in, what goes out; and that its document says so."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.settings import Settings
from services.executions import Event, Store
from services.planner import make_plan, workflows
from services.processes import identity
from services.upload_places import Announced
from services.uploads import Uploads
from tests.panel.conftest import csrf
from tests.panel.made_runs import BigRun, make_run, moment, save_many
from tests.panel.pages import assert_inert
from web.panel import Panel

RUN = "exec_0123456789ab"


class Program:
    """A program with a token."""

    def __init__(self, app: Flask, scope: str) -> None:
        self._client = app.test_client()
        word = app.extensions["derush"].accounts.create_token(f"a program that may {scope}", [scope])
        self.headers = {"Authorization": f"Bearer {word}"}

    def get(self, path: str, **headers: str) -> TestResponse:
        return self._client.get(path, headers={**self.headers, **headers})

    def post(self, path: str, body: object = None, **headers: str) -> TestResponse:
        sent = {"json": body} if body is not None else {}
        return self._client.post(path, headers={**self.headers, **headers}, **sent)  # type: ignore[arg-type]

    def delete(self, path: str) -> TestResponse:
        return self._client.delete(path, headers=self.headers)


@pytest.fixture
def reader(app: Flask) -> Program:
    return Program(app, "read")


@pytest.fixture
def runner(app: Flask) -> Program:
    return Program(app, "run")


@pytest.fixture
def admin(app: Flask) -> Program:
    return Program(app, "admin")


def code_of(answer: TestResponse) -> str:
    assert answer.mimetype == "application/json"
    error = answer.get_json()["error"]
    assert set(error) == {"code", "message", "remedy"} and error["message"] and error["remedy"]
    return str(error["code"])


# Who may


def routes(app: Flask) -> list[tuple[str, str, str]]:
    """Every route of the API: its method, an address, and the scope that it asks for."""
    found = []
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<int:\w+>", "1", rule.rule)
        path = re.sub(r"<\w+>", "x", path)
        scope = getattr(app.view_functions[rule.endpoint], "derush_scope", "read")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"} if path.startswith("/api/") else ():
            found.append((method, path, scope))
    return found


def test_every_route_asks_for_its_scope(app: Flask, anonymous: FlaskClient) -> None:
    programs = {scope: Program(app, scope) for scope in ("read", "run")}
    asked = routes(app)
    assert len(asked) > 40 and {scope for _method, _path, scope in asked} == {"read", "run", "admin"}
    for method, path, scope in asked:
        assert anonymous.open(path, method=method).status_code == 401, path
        if scope == "read":
            continue
        below = programs["run" if scope == "admin" else "read"]
        answer = anonymous.open(path, method=method, headers=below.headers)
        assert (answer.status_code, code_of(answer)) == (403, "not_allowed"), path


def test_what_changes_something_needs_more_than_looking(app: Flask) -> None:
    assert {scope for method, _path, scope in routes(app) if method != "GET"} == {"run", "admin"}


def test_a_session_needs_the_word_of_its_pages(client: FlaskClient) -> None:
    refused = client.post("/api/v1/doctor")
    assert (refused.status_code, code_of(refused)) == (400, "csrf")
    assert client.post("/api/v1/doctor", headers={"X-CSRFToken": csrf(client)}).status_code == 202


# What comes in


@pytest.mark.parametrize(
    ("sent", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_json"),
        (b"[]", "application/json", 400, "bad_json"),
        (b'"{}"', "application/json", 400, "bad_json"),
        (b"null", "application/json", 400, "bad_json"),
        (b'{"priority": NaN}', "application/json", 400, "bad_json"),
        (b'{"priority": ' + b"9" * 5000 + b"}", "application/json", 400, "bad_json"),
        (b'{"a":' * 50_000, "application/json", 400, "bad_json"),
        (b'{"request": "\xff"}', "application/json", 400, "bad_json"),
        (b'{"request": "\\ud800"}', "application/json", 400, "wrong_input"),
        (b'{"inputs": ["\\u0000"]}', "application/json", 400, "wrong_input"),
        (b'{"inputs": "/rushes"}', "application/json", 400, "wrong_input"),
        (b'{"force": "yes"}', "application/json", 400, "wrong_input"),
        (b'{"force": true, "made_up": 1}', "application/json", 400, "wrong_input"),
        (b'{"priority": 101}', "application/json", 400, "wrong_input"),
        (b'{"priority": 1e400}', "application/json", 400, "wrong_input"),
        (b'{"plan": {}, "demo": true}', "application/json", 400, "wrong_input"),
        (b'{"inputs": ["/etc"]}', "application/json", 400, "path_not_allowed"),
        (b'{"inputs": []}', "application/json", 400, "no_input"),
        (b'{"workflow": "mow"}', "application/json", 404, "no_such_workflow"),
        (b'{"demo": true, "steps": ["STEP8"]}', "application/json", 400, "wrong_steps"),
        (b'{"request": "mow the lawn"}', "application/json", 400, "no_workflow_fits"),
        (b'{"plan": {"schema": "derush.plan/1"}}', "application/json", 400, "wrong_document"),
        (b'{"demo": true}', "text/plain", 415, "not_json"),
        (b"demo=true", "application/x-www-form-urlencoded", 415, "not_json"),
        (b"{" + b" " * (1 << 20) + b"}", "application/json", 413, "too_large"),
    ],
)
def test_a_body_is_read_strictly(
    app: Flask, runner: Program, started: list[str], store: Store, sent: bytes, kind: str, status: int, code: str
) -> None:
    for path in ("/api/v1/runs", "/api/v1/runs/preview", "/api/v1/plans"):
        answer = app.test_client().post(path, data=sent, content_type=kind, headers=runner.headers)
        assert (answer.status_code, code_of(answer)) == (status, code), answer.text
    assert not started and not store.runs()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=ten",
        "status=odd",
        f"text={'x' * 201}",
        "text=%00",
        "made_up=1",
        f"limit={'9' * 400}",
    ],
)
def test_a_query_is_read_strictly(reader: Program, query: str) -> None:
    answer = reader.get(f"/api/v1/runs?{query}")
    assert (answer.status_code, code_of(answer)) == (400, "wrong_input")


@pytest.mark.parametrize("run_id", [RUN, "last", "x" * 5000, "%00", "%ff", "d%C3%A9j%C3%A0"])
@pytest.mark.parametrize(
    "part", ["", "/status", "/tree", "/tasks", "/attempts", "/artefacts", "/matrix", "/history", "/events"]
)
def test_what_is_not_there_is_said_so(reader: Program, run_id: str, part: str) -> None:
    answer = reader.get(f"/api/v1/executions/{run_id}{part}")
    assert (answer.status_code, code_of(answer)) == (404, "no_such_execution")


def test_another_address_or_method_is_answered_in_the_same_form(reader: Program) -> None:
    assert code_of(reader.get("/api/v1/nothing")) == "not_found"
    answer = reader.delete("/api/v1/runs")
    assert (answer.status_code, code_of(answer)) == (405, "not_allowed_here")
    assert set(answer.headers["Allow"].replace(",", " ").split()) == {"GET", "HEAD", "OPTIONS", "POST"}


# Runs


def test_runs_are_listed_page_by_page(reader: Program, store: Store) -> None:
    made = [run.id for run in reversed(save_many(store, 23))]
    found, before = [], ""
    while before is not None:
        page = reader.get(f"/api/v1/runs?limit=10{before and f'&before={before}'}").get_json()
        found += [run["id"] for run in page["runs"]]
        before = page["next"]
    assert found == made
    failed = reader.get("/api/v1/runs?status=failed").get_json()["runs"]
    assert {run["status"] for run in failed} == {"failed"} and len(failed) == 3
    assert [run["message"] for run in reader.get("/api/v1/runs?text=DAY%2017").get_json()["runs"]] == [
        "full: day 17.zip"
    ]


def test_a_run_is_started_once_for_a_key(
    runner: Program, started: list[str], store: Store, opened: Panel, rushes: Path
) -> None:
    body = {"inputs": [str(rushes)], "steps": ["STEP1", "STEP2"], "kind": "videos", "priority": 3}
    first = runner.post("/api/v1/runs", body, **{"Idempotency-Key": "tuesday"})
    again = runner.post("/api/v1/runs", body, **{"Idempotency-Key": "tuesday"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert started == [first.get_json()["execution_id"]] == [again.get_json()["execution_id"]]
    run = store.get(started[0])
    assert run.priority == 3 and run.parameters["kind"] == "videos"
    other = runner.post("/api/v1/runs", {**body, "force": True}, **{"Idempotency-Key": "tuesday"})
    assert (other.status_code, code_of(other)) == (409, "key_used")
    refused = runner.post("/api/v1/runs", {**body, "queue": False})
    assert (refused.status_code, code_of(refused)) == (409, "run_goes_on")
    assert runner.post("/api/v1/runs", body).status_code == 201 and len(started) == 2
    assert [entry.who for entry in opened.accounts.audit_entries()[:2]] == ["token a program that may run"] * 2


def test_a_plan_is_made_shown_and_sent_back(runner: Program, started: list[str], store: Store, rushes: Path) -> None:
    asked = runner.post("/api/v1/plans", {"request": "do the rushes", "inputs": [str(rushes)]}).get_json()
    assert asked["workflow"] == "full" and "do the rushes" in asked["yaml"] and asked["why"]
    assert not store.runs()
    plan = asked["plan"]
    assert runner.post("/api/v1/runs", {"plan": plan}).status_code == 201
    assert store.get(started[0]).plan == plan
    plan["sequential_tasks"][0]["files"] = ["/etc"]
    assert code_of(runner.post("/api/v1/runs", {"plan": plan})) == "path_not_allowed"
    plan["sequential_tasks"][0]["files"] = []
    plan["sequential_tasks"][1]["depends"] = ["step9"]
    assert code_of(runner.post("/api/v1/runs", {"plan": plan})) == "wrong_document"


def test_whoever_may_start_runs_may_not_start_any_program(
    runner: Program, admin: Program, started: list[str], opened: Panel
) -> None:
    plan = make_plan(workflows()["verify"], objective="look", files=[]).record()
    assert runner.post("/api/v1/runs", {"plan": plan}).status_code == 201
    plan["sequential_tasks"][0]["command"] = ["sh", "-c", "id > /tmp/mine"]
    refused = runner.post("/api/v1/runs", {"plan": plan})
    assert (refused.status_code, code_of(refused)) == (403, "not_allowed") and len(started) == 1
    assert opened.accounts.audit_entries()[0].outcome == "refused: the plan has commands of its own"
    for field in ("test", "validation"):
        changed = make_plan(workflows()["full"], objective="look", files=[]).record()
        task = changed["sequential_tasks"][0]
        changed[field] = [["sh"]] if field == "validation" else changed.get(field)
        task["test"] = ["sh"] if field == "test" else task["test"]
        changed = {name: value for name, value in changed.items() if value is not None}
        assert runner.post("/api/v1/runs", {"plan": changed}).status_code == 403, field
    assert admin.post("/api/v1/runs", {"plan": plan}).status_code == 201 and len(started) == 2


def test_a_preview_starts_nothing(runner: Program, store: Store, rushes: Path) -> None:
    (rushes / "day.mp4").write_bytes(b"x" * 2_000_000)
    answer = runner.post("/api/v1/runs/preview", {"inputs": [str(rushes)], "steps": ["STEP1"]})
    found = answer.get_json()
    assert answer.status_code == 200, answer.text
    assert [(step["step"], step["to_do"]) for step in found["steps"]] == [("STEP1", 1)] and found["refusals"] == []
    assert not store.runs()


def test_the_workflows_are_listed(reader: Program) -> None:
    found = {it["name"]: it for it in reader.get("/api/v1/workflows").get_json()["workflows"]}
    assert set(found) == set(workflows()) and found["full"]["steps"] == [f"STEP{number}" for number in range(1, 8)]


# Executions


@pytest.fixture
def big(store: Store, panel_settings: Settings) -> BigRun:
    made = BigRun(6, failing=2, project=str(panel_settings.projects_dir / "day"))
    made.run.metrics = {"frames_per_second": float("inf"), "left_out": {"count": 0, "named": []}}
    path = panel_settings.projects_dir / "day" / "docs" / "clip_0003_scenes.csv"
    path.parent.mkdir(parents=True)
    path.write_text("No\n1\n")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    made.of("STEP3")[3].artefacts = [
        {"kind": "scenes", "path": str(path), "bytes": 5, "sha256": sha256},
        {"kind": "gone", "path": str(path.with_name("gone.csv")), "bytes": 5, "sha256": sha256},
        {"kind": "elsewhere", "path": "/etc/passwd", "bytes": 5},
    ]
    made.events = [
        Event(run_id=made.run.id, execution_id=made.run.id, at=moment(number), event="warning", data={"n": number})
        for number in range(25)
    ]
    return made.save(store)


def test_a_run_tells_all_it_knows(reader: Program, big: BigRun) -> None:
    found = reader.get(f"/api/v1/executions/{big.run.id}").get_json()
    assert found["kind"] == "run" and found["plan"]["workflow"] == "full"
    assert found["metrics"]["frames_per_second"] is None  # JSON has no infinity
    task = reader.get(f"/api/v1/executions/{big.of('STEP3')[0].id}").get_json()
    assert task["error"]["remedy"] and task["parent_execution_id"] == big.steps["STEP3"].id


def test_the_tree_and_the_tasks_come_page_by_page(reader: Program, big: BigRun) -> None:
    for part, expected in (("tree", 1 + 7 + len(big.tasks)), ("tasks", len(big.tasks))):
        found, after = [], -1
        while after is not None:
            page = reader.get(f"/api/v1/executions/{big.run.id}/{part}?limit=7&after={after}").get_json()
            assert len(page["executions"]) <= 7
            found += [row["id"] for row in page["executions"]]
            after = page["next"]
        assert len(found) == len(set(found)) == expected
    failed = reader.get(f"/api/v1/executions/{big.run.id}/tasks?status=failed").get_json()["executions"]
    assert [row["subject"].rpartition("/")[2] for row in failed] == ["clip_0000.mp4", "clip_0001.mp4"]
    of_step = reader.get(f"/api/v1/executions/{big.steps['STEP3'].id}/tasks").get_json()["executions"]
    assert len(of_step) == 6 and {row["step"] for row in of_step} == {"STEP3"}
    attempts = reader.get(f"/api/v1/executions/{failed[0]['id']}/attempts").get_json()["executions"]
    assert [row["id"] for row in attempts] == [failed[0]["id"]]


def test_artefacts_say_where_they_can_be_fetched(reader: Program, big: BigRun) -> None:
    found = reader.get(f"/api/v1/executions/{big.run.id}/artefacts").get_json()["artefacts"]
    assert [(it["kind"], it["url"] is not None) for it in found] == [
        ("scenes", True),
        ("gone", False),
        ("elsewhere", False),
    ]
    assert reader.get(found[0]["url"]).get_data() == b"No\n1\n"


def test_the_matrix_has_a_row_for_each_video(reader: Program, big: BigRun) -> None:
    found = reader.get(f"/api/v1/executions/{big.run.id}/matrix").get_json()
    assert found["columns"][2] == "step3" and found["letters"]["f"] == "failed"
    videos = [row for row in found["rows"] if not row["is_project"]]
    assert [row["cells"][2] for row in videos] == ["f", "f", "s", "s", "s", "s"]


def test_the_history_comes_page_by_page(reader: Program, big: BigRun) -> None:
    found, after = [], 0
    while after is not None:
        page = reader.get(f"/api/v1/executions/{big.run.id}/history?limit=10&after={after}").get_json()
        found += [event["data"]["n"] for event in page["events"]]
        after = page["next"]
    assert found == list(range(25))


def numbers_in(answer: TestResponse, until: int | None = None) -> list[int]:
    text = ""
    for block in answer.response:
        text += block.decode() if isinstance(block, bytes) else block
        if until is not None and f'"n":{until}}}' in text:
            break
    answer.close()
    return [int(number) for number in re.findall(r'"n":(\d+)', text)]


def test_events_are_streamed_from_where_one_was(reader: Program, big: BigRun, store: Store) -> None:
    path = f"/api/v1/executions/{big.of('STEP3')[0].id}/events"
    answer = reader.get(f"{path}?follow=false")
    assert answer.mimetype == "text/event-stream" and numbers_in(answer) == list(range(25))
    ids = [event.id for event in store.events_after(big.run.id, 0)]
    assert numbers_in(reader.get(f"{path}?follow=false&after={ids[19]}")) == [20, 21, 22, 23, 24]
    assert numbers_in(reader.get(f"{path}?follow=false", **{"Last-Event-ID": str(ids[22])})) == [23, 24]
    stream = reader.get(f"{path}?after={ids[23]}")
    blocks = iter(stream.response)
    next(blocks)
    store.save([], [Event(run_id=big.run.id, at=moment(99), event="warning", data={"n": 99})])
    assert numbers_in(stream, until=99) == [24, 99]


def test_the_status_of_a_run_that_works_on_a_project(reader: Program, big: BigRun, store: Store) -> None:
    found = reader.get(f"/api/day/status/{big.run.id}")
    assert found.status_code == 200 and found.get_json()["schema"] == "derush.status/1"
    assert found.get_json() == reader.get(f"/api/v1/executions/{big.of('STEP5')[0].id}/status").get_json()
    for name in ("night", "v1", "..", "%00", "x" * 3000):
        answer = reader.get(f"/api/{name}/status/{big.run.id}")
        assert (answer.status_code, answer.mimetype) == (404, "application/json"), name
    waiting = make_run("queued", 0.0)  # what its archive brings is known to nobody yet
    waiting.owner = identity()
    store.save([waiting])
    assert reader.get(f"/api/anything/status/{waiting.id}").get_json()["status"] == "queued"


@pytest.mark.parametrize(
    ("action", "body", "status", "came_to"),
    [
        ("pause", None, 400, "run_not_going_on"),
        ("resume", None, 400, "run_not_going_on"),
        ("cancel", {}, 400, "run_not_going_on"),
        ("retry", None, 202, "reopened"),
        ("retry", {"step": "3", "video": "clip_0001"}, 202, "reopened"),
        ("retry", {"step": "STEP5", "onwards": True}, 202, "reopened"),
        ("accept", {"code": "decode_failed"}, 202, "reopened"),
        ("accept", {"step": "STEP3", "video": "no such clip"}, 404, "no_such_part"),
        ("retry", {"step": "STEP3", "made_up": 1}, 400, "wrong_input"),
    ],
)
def test_what_may_be_asked_of_a_run(
    runner: Program, big: BigRun, started: list[str], opened: Panel, action: str, body: Any, status: int, came_to: str
) -> None:
    answer = runner.post(f"/api/v1/executions/{big.run.id}/{action}", body)
    assert answer.status_code == status, answer.text
    if status == 202:
        assert answer.get_json() == {"execution_id": big.run.id, "action": action, "came_to": came_to}
        assert started == [big.run.id] and opened.accounts.audit_entries()[0].action == action
        (asked,) = opened.store.events_after(big.run.id, 0, names=["requested"])
        assert asked.data["action"] == action
    else:
        assert code_of(answer) == came_to and not started


# Files, logs, system


def test_folders_below_the_roots_are_listed_and_no_others(runner: Program, rushes: Path) -> None:
    for name in ("déjà vu.mp4", "d\udce9j\udce0.mp4"):
        (rushes / name).write_bytes(b"x")
    roots = runner.get("/api/v1/browse").get_json()["entries"]
    assert roots[0]["path"] == str(rushes)
    found = runner.get(f"/api/v1/browse?path={rushes}").get_json()["entries"]
    assert [(it["name"], it["kind"], it["size"]) for it in found if not it["problem"]] == [("déjà vu.mp4", "video", 1)]
    assert len([it for it in found if it["problem"]]) == 1  # a name that is no UTF-8 can be told, and not be asked for
    for path in ("/etc", f"{rushes}/../..", str(rushes.parent)):
        assert code_of(runner.get(f"/api/v1/browse?path={path}")) == "path_not_allowed"


def test_uploads_are_listed(reader: Program, panel_settings: Settings) -> None:
    uploads = Uploads(panel_settings)
    going = uploads.create(Announced(10, "day.zip", ("card 1",), "drop", ""))
    uploads.append(going.id, 0, [b"12345"], 5)
    whole = uploads.create(Announced(2, "a.mp4", (), "drop", ""))
    uploads.append(whole.id, 0, [b"12"], 2)
    found = {it["id"]: it for it in reader.get("/api/v1/uploads").get_json()["uploads"]}
    assert (found[going.id]["offset"], found[going.id]["length"], found[going.id]["path"]) == (5, 10, None)
    assert found[going.id]["expires"] and found[whole.id]["path"] == str(panel_settings.uploads_dir / "drop" / "a.mp4")


def test_logs_are_listed_read_and_searched(reader: Program, panel_settings: Settings) -> None:
    folder = panel_settings.logs_dir / "step3"
    folder.mkdir(parents=True)
    lines = [f"2026-03-01 08:00:00 {'ERROR' if n % 100 == 0 else 'INFO'} line {n} \udcff" for n in range(3000)]
    (folder / "a.log").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
    listed = reader.get("/api/v1/logs?folder=step3").get_json()
    assert [log["name"] for log in listed["logs"]] == ["step3/a.log"] and reader.get(
        "/api/v1/logs?folder=step4"
    ).get_json()["total"] == 0
    read, after = [], 0
    while True:
        page = reader.get(f"/api/v1/logs/lines?name=step3/a.log&after={after}").get_json()
        read += [line["text"] for line in page["lines"]]
        after = page["end"]
        if page["is_last"]:
            break
    assert read == [line.replace("\udcff", "\ufffd") for line in lines]
    errors = reader.get("/api/v1/logs/lines?name=step3/a.log&after=0&level=ERROR").get_json()["lines"]
    assert {line["level"] for line in errors} == {"ERROR"}
    hits = reader.get("/api/v1/logs/search?name=step3/a.log&q=LINE 29&limit=3").get_json()
    assert [hit["words"] + hit["after"][:2] for hit in hits["hits"]] == [
        "line 2999",
        "line 2998",
        "line 2997",
    ] and hits["next"]
    whole = reader.get("/api/v1/logs/file?name=step3/a.log", Range="bytes=0-9")
    assert (whole.status_code, whole.get_data()) == (206, b"2026-03-01")
    stream = reader.get(f"/api/v1/logs/follow?name=step3/a.log&after={page['end'] - 20}")
    said = b"".join(
        block for block, _ in zip(stream.response, range(2), strict=False) if isinstance(block, bytes)
    ).decode()
    stream.close()
    assert "line 2999" in said and f"id: {page['end']}" in said


@pytest.mark.parametrize("name", ["../data/derush.sqlite3", "/etc/passwd", "step9/none.log", "step3"])
def test_no_log_is_read_that_is_none(reader: Program, panel_settings: Settings, name: str) -> None:
    (panel_settings.logs_dir / "step3").mkdir(parents=True)
    for part in ("lines", "search", "file", "follow"):
        words = "&q=x" if part == "search" else ""
        answer = reader.get(f"/api/v1/logs/{part}?name={name}{words}")
        assert (answer.status_code, code_of(answer)) == (404, "no_such_log"), part


def test_projects_are_told_by_their_records(reader: Program, panel_settings: Settings) -> None:
    records = panel_settings.projects_dir / "day" / ".derush"
    records.mkdir(parents=True)
    (records / "a.json").write_text(json.dumps({"steps": {"STEP2": {"ended_at": moment(1)}}, "failures": {}}))
    (project,) = reader.get("/api/v1/projects").get_json()["projects"]
    assert (project["name"], project["videos"], project["done"]) == ("day", 1, {"STEP2": 1})
    (video,) = reader.get("/api/v1/projects/day").get_json()["videos"]
    assert video["video"] == "a" and set(video["steps"]) == {"STEP2"}
    for name in ("night", "%00", "é" * 300):
        answer = reader.get(f"/api/v1/projects/{name}")
        assert (answer.status_code, code_of(answer)) == (404, "no_such_project"), name


def test_the_system_tells_itself_and_no_secret(app: Flask, reader: Program, panel_settings: Settings) -> None:
    assert reader.get("/api/v1/me").get_json() == {"name": "token a program that may read", "scopes": ["read"]}
    machine = reader.get("/api/v1/machine").get_json()
    assert machine["cores"] == os.cpu_count() and machine["memory_total"] > 1e8
    environments = {it["name"]: it for it in reader.get("/api/v1/environments").get_json()["environments"]}
    assert environments["env"]["is_home"] and environments["env"]["job"] is None
    assert all(model["sha256"] for model in reader.get("/api/v1/models").get_json()["models"])
    assert reader.get("/api/v1/doctor").get_json()["checks"] == []
    settings = {it["name"]: it for it in reader.get("/api/v1/settings").get_json()["settings"]}
    assert settings["LEMONFOX_API_KEY"]["is_secret"] and settings["LEMONFOX_API_KEY"]["value"] == ""
    assert settings["PROJECTS_DIR"]["value"] == str(panel_settings.projects_dir)


def test_a_token_is_made_used_and_ended(app: Flask, admin: Program, opened: Panel) -> None:
    body = {"name": "nightly", "scope": "run", "expires_at": "2999-01-01T00:00:00+01:00"}
    word = admin.post("/api/v1/tokens", body).get_json()["token"]
    bearer = {"Authorization": f"Bearer {word}"}
    assert app.test_client().get("/api/v1/me", headers=bearer).get_json()["scopes"] == ["read", "run"]
    token = next(it for it in admin.get("/api/v1/tokens").get_json()["tokens"] if it["name"] == "nightly")
    assert word not in admin.get("/api/v1/tokens").text and token["expires_at"].startswith("2998-12-31T23:00:00")
    ended = admin.delete(f"/api/v1/tokens/{token['id']}")
    assert ended.get_json()["revoked_at"] and app.test_client().get("/api/v1/me", headers=bearer).status_code == 401
    assert admin.delete("/api/v1/tokens/999").status_code == 404
    assert admin.delete(f"/api/v1/tokens/{2**70}").status_code == 400
    for wrong in (
        {"name": " "},
        {"scope": "everything"},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "tomorrow"},
    ):
        assert admin.post("/api/v1/tokens", {**body, **wrong}).status_code == 400, wrong
    entries = admin.get("/api/v1/audit?text=nightly").get_json()["entries"]
    assert [entry["action"] for entry in entries] == ["revoke token", "create token"]


def test_the_audit_log_comes_page_by_page(admin: Program, opened: Panel) -> None:
    for number in range(12):
        opened.accounts.record("thing", "you", "", str(number))
    first = admin.get("/api/v1/audit?limit=10").get_json()
    second = admin.get(f"/api/v1/audit?limit=10&before={first['next']}").get_json()
    assert [entry["target"] for entry in first["entries"] + second["entries"]] == [str(n) for n in range(11, -1, -1)]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/environments/env/rebuild", 409, "home_environment"),
        ("/api/v1/environments/none/rebuild", 404, "no_such_environment"),
        ("/api/v1/environments/env/stop", 404, "no_such_job"),
        ("/api/v1/models/stop", 404, "no_such_job"),
    ],
)
def test_maintenance_that_makes_no_sense_is_refused(admin: Program, path: str, status: int, code: str) -> None:
    answer = admin.post(path)
    assert (answer.status_code, code_of(answer)) == (status, code)


def test_fetching_no_model_is_refused(admin: Program, opened: Panel) -> None:
    assert code_of(admin.post("/api/v1/models/fetch", {"name": "made up"})) == "no_such_model"
    assert opened.accounts.audit_entries()[0].outcome == "refused: no_such_model"


# The document


@pytest.fixture
def document(reader: Program) -> Any:
    return reader.get("/api/v1/openapi.json").get_json()


def test_every_route_is_in_the_document_with_its_scope_and_errors(app: Flask, document: Any) -> None:
    declared = {
        (method.upper(), re.sub(r"\{(\w+)\}", lambda found: "1" if found[1] == "token_id" else "x", path)): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    own = {("GET", "/api/v1/openapi.json"), ("GET", "/api/v1/docs")}
    assert set(declared) == {(method, path) for method, path, _scope in routes(app)} - own
    for method, path, scope in routes(app):
        operation = declared.get((method, path))
        if operation:
            assert operation["security"][0] == {"token": [scope]} and operation["summary"]
            assert {"400", "401", "403", "404", "409", "415", "503"} <= set(operation["responses"])
            mistake = operation["responses"]["404"]["content"]["application/json"]["schema"]
            assert mistake == {"$ref": "#/components/schemas/Mistake"}


def test_nothing_in_the_document_leads_to_nothing(document: Any) -> None:
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert named <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_the_page_shows_every_route_and_how_to_ask(client: FlaskClient, document: Any) -> None:
    page = client.get("/api/v1/docs").text
    for path, item in document["paths"].items():
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in page and path in page
    assert "curl -H &#34;Authorization: Bearer $TOKEN&#34; -X POST" in page
    assert_inert(page)
