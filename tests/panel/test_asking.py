"""What the buttons of a run's pages ask for: written down, said truthfully, and done by a real supervisor."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from config.settings import load_settings
from services.executions import Execution, Store, utc_now
from services.processes import identity
from tests.conftest import wait_until
from tests.integration.miniature import Miniature, make_miniature
from tests.panel.conftest import csrf, sign_in
from tests.panel.made_runs import BigRun, make_run
from tests.panel.pages import buttons, matrix_rows, text_of
from web import create_app
from web.panel import Panel


def requests_of(store: Store, run: Execution) -> list[tuple[str, dict[str, Any]]]:
    said = store.events_after(run.id, 0, names=["requested"])
    return [
        (str(event.data["action"]), {name: value for name, value in event.data["target"].items() if value})
        for event in said
    ]


@pytest.fixture
def post(client: FlaskClient) -> Callable[..., Any]:
    """Press a button, as a browser without scripts does."""
    token = csrf(client)

    def press(address: str, **headers: str) -> Any:
        return client.post(address, data={"csrf_token": token}, headers=headers)

    return press


def going_on(store: Store, videos: int = 2, failing: int = 1) -> BigRun:
    """A run that this very process seems to carry out."""
    made = BigRun(videos, failing=failing, status="running")
    made.run.owner, made.run.heartbeat_at = identity(), utc_now()
    return made.save(store)


def test_buttons_ask_the_supervisor_and_say_so(client: FlaskClient, store: Store, post: Callable[..., Any]) -> None:
    made = going_on(store)
    failed = next(task for task in made.of("STEP3") if task.status == "failed")
    for address in (
        f"/executions/{made.run.id}/pause",
        f"/executions/{made.run.id}/resume",
        f"/executions/{made.steps['STEP3'].id}/retry",
        f"/executions/{made.run.id}/retry?step=step3&code=decode_failed",
        f"/executions/{failed.id}/accept",
        f"/executions/{made.run.id}/retry?from=step5",
        f"/executions/{made.run.id}/retry?row={failed.brought_by}",
        f"/executions/{made.run.id}/cancel",
    ):
        answer = post(address)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/executions/{made.run.id}"), answer.text
    assert requests_of(store, made.run) == [
        ("pause", {}), ("resume", {}), ("retry", {"execution": made.steps["STEP3"].id}),
        ("retry", {"step": "step3", "code": "decode_failed"}), ("accept", {"execution": failed.id}),
        ("retry", {"step": "step5", "onwards": True}), ("retry", {"execution": failed.id}), ("cancel", {}),
    ]  # fmt: skip
    page = text_of(client, f"/executions/{made.run.id}")
    assert "Asked to pause" in page and "Asked to cancel" in page
    assert store.get(made.run.id).status == "running"  # nobody says that it is done before it is
    said = post(f"/executions/{made.run.id}/pause", **{"HX-Request": "true"})
    assert said.status_code == 200 and said.text.startswith('<div class="message good">Asked to pause')


def test_what_was_asked_is_in_the_audit_log(store: Store, post: Callable[..., Any], opened: Panel) -> None:
    made = going_on(store)
    post(f"/executions/{made.run.id}/retry?step=step3&code=decode_failed")
    assert post(f"/executions/{made.run.id}/retry?step=step9").status_code == 404
    ended = make_run("succeeded", 60.0)
    store.save([ended])
    assert post(f"/executions/{ended.id}/pause").status_code == 400
    written = [(entry.action, entry.target, entry.outcome) for entry in opened.accounts.audit_entries()]
    assert written[:2] == [
        ("pause", ended.id, "refused: run_not_going_on"), ("retry", f"{made.run.id} step3 decode_failed", "done"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("{run}/explode", 404, "not_found"), ("{run}/retry?step=step9", 404, "no_such_part"), ("exec_000000000000/pause", 404, "no_such_execution"),
        ("{run}/retry?code=odd", 404, "no_such_part"), ("{run}/retry?row=exec_0", 409, "nothing_to_do"), ("{run}/retry?video=none", 404, "no_such_part"),
    ],
)  # fmt: skip
def test_what_there_is_not_cannot_be_asked_for(
    store: Store, post: Callable[..., Any], address: str, status: int, code: str
) -> None:
    made = going_on(store)
    answer = post(f"/executions/{address.replace('{run}', made.run.id)}")
    assert answer.status_code == status and code in answer.text
    assert requests_of(store, made.run) == []


def test_a_run_that_rests_is_cancelled_at_once(client: FlaskClient, store: Store, post: Callable[..., Any]) -> None:
    run = make_run("interrupted", 0.0)
    store.save([run])
    post(f"/executions/{run.id}/cancel")
    assert store.get(run.id).status == "cancelled" and requests_of(store, run) == []
    assert "Cancelled." in text_of(client, f"/executions/{run.id}")


def test_asking_takes_the_session_s_token_and_a_scope(
    app: Flask, client: FlaskClient, store: Store, opened: Panel
) -> None:
    made = going_on(store)
    address = f"/executions/{made.run.id}/cancel"
    assert client.post(address).status_code == 400
    assert app.test_client().post(address).status_code == 302
    for scope, status in (("read", 403), ("run", 303)):
        word = opened.accounts.create_token(scope, [scope])
        answer = app.test_client().post(address, headers={"Authorization": f"Bearer {word}"})
        assert answer.status_code == status
    assert requests_of(store, made.run) == [("cancel", {})]


def test_a_run_whose_supervisor_died_is_said_to_be_interrupted(store: Store, post: Callable[..., Any]) -> None:
    made = BigRun(1, status="running")
    made.run.owner = {**identity(), "pid": 1, "started": "another"}
    made.save(store)
    answer = post(f"/executions/{made.run.id}/pause", Accept="application/json")
    assert answer.status_code == 400 and "interrupted" in answer.json["error"]["message"]
    assert store.get(made.run.id).status == "interrupted"


# With a real supervisor


@pytest.fixture
def miniature(tmp_path: Path, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Miniature:
    """An installation with steps of milliseconds, which this process's settings name too: what it starts works there."""
    made = make_miniature(tmp_path, places)
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def browser(miniature: Miniature) -> FlaskClient:
    return sign_in(create_app(load_settings()))


def ended(miniature: Miniature, run_id: str) -> bool:
    return miniature.status(run_id) in {"succeeded", "failed", "cancelled"} and not miniature.processes()


def test_an_ended_run_is_taken_up_again_by_a_process_of_its_own(miniature: Miniature, browser: FlaskClient) -> None:
    told = miniature.run(str(miniature.archive("day one", "a", "passing-STEP3-b", "fail-STEP4-c")))
    run_id = told["execution_id"]
    page = text_of(browser, f"/executions/{run_id}")
    assert "Its name says fail." in page and "Rename it." in page
    failed = re.search(r"/executions/(exec_\w+)/accept", page.partition('id="errors"')[2])
    assert failed and f"/executions/{failed[1]}/accept" in buttons(page)
    token = csrf(browser)
    answer = browser.post(f"/executions/{failed[1]}/accept", data={"csrf_token": token}, headers={"HX-Request": "true"})
    assert "taken up again" in answer.text
    wait_until(lambda: ended(miniature, run_id), 60, "the run's end")
    assert miniature.status(run_id) == "succeeded" and miniature.tasks()["STEP4 fail-STEP4-c"] == ["accepted"]
    browser.post(f"/executions/{run_id}/retry?from=step6", data={"csrf_token": token})
    wait_until(lambda: miniature.tasks()["STEP6 a"] == ["succeeded", "succeeded"], 60, "STEP6 done again")
    wait_until(lambda: ended(miniature, run_id), 60, "the run's end")
    rows = matrix_rows(text_of(browser, f"/executions/{run_id}/videos"))
    assert rows["a.mov"][1:6] == ["s"] * 5 and rows["fail-STEP4-c.mov"][3] == "a"


def test_a_run_that_goes_on_does_what_the_page_asks(miniature: Miniature, browser: FlaskClient) -> None:
    archive = str(miniature.archive("day", "slow-STEP3-a", "b"))
    started = miniature.derush("run", archive, "--detach", "--json")
    run_id = json.loads(started.stdout)["execution_id"]
    miniature.wait_for_begin("STEP3")
    token = {"csrf_token": csrf(browser)}
    browser.post(f"/executions/{run_id}/pause", data=token)
    wait_until(
        lambda: "paused" in text_of(browser, f"/executions/{run_id}").partition("run-head")[2][:2000], 30, "paused"
    )
    page = text_of(browser, f"/executions/{run_id}/videos")
    row = re.search(r'<tr id="(exec_\w+)"><th[^>]*><a[^>]*>slow-STEP3-a', page)
    assert row
    browser.post(f"/executions/{run_id}/cancel?row={row[1]}", data=token)
    browser.post(f"/executions/{run_id}/resume", data=token)
    wait_until(lambda: ended(miniature, run_id), 60, "the run's end")
    found = miniature.tasks()
    assert found["STEP3 slow-STEP3-a"] == ["cancelled"] and found["STEP6 b"] == ["succeeded"]


def test_only_what_failed_with_one_error_is_tried_again(miniature: Miniature, browser: FlaskClient) -> None:
    told = miniature.run(str(miniature.archive("day", "fail-STEP3-a", "die-STEP3-b", "fail-STEP4-c")))
    page = text_of(browser, f"/executions/{told['execution_id']}")
    assert "said_so" in page and "worker_died" in page
    before = {name: len(attempts) for name, attempts in miniature.tasks().items()}
    miniature.derush("retry", told["execution_id"], "--step", "STEP3", "--code", "said_so")
    after = {name: len(attempts) for name, attempts in miniature.tasks().items()}
    assert {name for name in after if after[name] != before[name]} == {"STEP3 fail-STEP3-a"}
    refused = miniature.derush("accept", told["execution_id"], "--code", "odd")
    assert refused.returncode == 2 and "no such part that failed with odd" in refused.stderr


def test_the_command_of_a_page_starts_the_same_run(miniature: Miniature, browser: FlaskClient) -> None:
    odd = miniature.archive('l\'été "x" $(touch y) `z`', "a")
    first = miniature.run(str(odd), "--steps", "1-3", "--force", "--priority=-5", "--fail-fast")["execution_id"]
    page = text_of(browser, f"/executions/{first}/commands")
    command = shlex.split(unescape(re.search(r"<code>(derush run [^<]+)</code>", page)[1]))  # type: ignore[index]
    second = miniature.run(*command[2:])["execution_id"]
    columns = "plan, parameters, priority"
    assert first != second
    assert miniature.rows(f"SELECT {columns} FROM executions WHERE id = ?", first) == miniature.rows(
        f"SELECT {columns} FROM executions WHERE id = ?", second
    )
