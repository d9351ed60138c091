"""A real panel starts a real run, which goes on by itself: seven steps that take milliseconds, everything else as it is."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import REPOSITORY, wait_until
from tests.integration.miniature import Miniature, make_miniature

PATIENCE = 60


@dataclass
class Panel:
    """A panel in a process of its own, and a browser's session with it."""

    made: Miniature
    port: int
    process: subprocess.Popen[str]
    cookie: str = ""
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = body if isinstance(body, str | None) else json.dumps(body)
        kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
        kind |= {"Content-Type": "application/x-www-form-urlencoded"} if isinstance(body, str) else {}
        connection.request(method, path, sent, {"Cookie": self.cookie, "X-CSRFToken": self.token, **kind, **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.getheader("Set-Cookie"):
            self.cookie = str(answer.getheader("Set-Cookie")).partition(";")[0]
        return answer.status, dict(answer.getheaders()), text

    def sign_in(self, link: str) -> None:
        self.ask("GET", link)
        page = self.ask("GET", "/workflow")[2]
        self.token = page.partition('name="csrf-token" content="')[2].partition('"')[0]

    def form(self, archive: Path, key: str) -> str:
        """Fill the form in: without a size, for the miniature's STEP1 knows none."""
        chosen = [("inputs", str(archive)), ("by", "workflow"), ("workflow", "full"), ("key", key), ("min_size_mb", "")]
        return urlencode([*chosen, *(("steps", f"STEP{number}") for number in range(1, 8))])

    def follow(self, path: str, until: str, **headers: str) -> list[Said]:
        """Read a stream of events until one of a name; those of pages are left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path, headers={"Cookie": self.cookie, **headers})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        found: list[Said] = []
        said = Said()
        deadline = time.monotonic() + PATIENCE
        while not (found and found[-1].name == until):
            assert time.monotonic() < deadline, f"no {until} in {found}"
            line = answer.readline().decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "event":
                said.name = value
            elif name == "id":
                said.id = int(value)
            elif name == "data":
                said.data = json.loads(value)
            elif not line and said.name:
                found.append(said)
                said = Said()
        connection.close()
        return found


@dataclass
class Said:
    """An event of a stream."""

    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    id: int | None = None


@pytest.fixture
def panel(tmp_path: Path, places: dict[str, str]) -> Iterator[Panel]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    (tmp_path / "in").mkdir()
    made = make_miniature(tmp_path, {**places, "BROWSE_ROOTS": str(tmp_path / "in"), "PANEL_PORT": str(port)})
    log = (tmp_path / "panel.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "serve"], cwd=REPOSITORY, env=made.variables, stdout=log, stderr=log,
        text=True, start_new_session=True,
    )  # fmt: skip
    started = Panel(made, port, process)
    path = tmp_path / "panel.log"
    wait_until(lambda: "Ctrl-C ends it" in path.read_text() and _listens(port), PATIENCE, "the panel")
    link = re.search(r"(/link/\S+)", path.read_text())
    assert link
    started.sign_in(link[1])
    yield started
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def test_a_launch_is_one_run_whoever_watches_and_however_late(panel: Panel) -> None:
    """Sent eight times at once; followed by two from the beginning, by one who comes late; the same truth for all."""
    archive = panel.made.archive("day", "a", "fail-STEP3-b", "c")
    with ThreadPoolExecutor(10) as pool:
        watchers = [pool.submit(panel.follow, "/workflow/progress", "complete") for _ in range(2)]
        sent = panel.form(archive, "one key")
        answers = list(pool.map(lambda _: panel.ask("POST", "/workflow/launch", sent)[:2], range(8)))
        assert [status for status, _headers in answers] == [303] * 8, panel.ask("POST", "/workflow/launch", sent)
        told = [watcher.result(PATIENCE) for watcher in watchers]
    (location,) = {headers["Location"] for _status, headers in answers}
    run_id = location.partition("run=")[2]
    assert panel.made.rows("SELECT id, status FROM executions WHERE kind = 'run'") == [(run_id, "failed")]

    for said in told:
        kinds = [each.name for each in said]
        assert kinds[0] == "progress" and kinds[-1] == "complete" and kinds.count("error") == 1
        done = [each.data["progress"] for each in said if each.name == "progress"]
        assert all(0 <= part <= 1 for part in done)
        (error,) = (each for each in said if each.name == "error")
        assert (error.data["step"], error.data["filename"]) == ("STEP3", "fail-STEP3-b.mp4") and error.data["remedy"]
    late = panel.follow(f"/workflow/progress?run={run_id}", "complete")
    assert [each.name for each in late] == ["error", "complete"] and late[-1].data == told[0][-1].data == told[1][
        -1
    ].data
    back = panel.follow(f"/workflow/progress?run={run_id}", "complete", **{"Last-Event-ID": str(late[0].id)})
    assert [each.name for each in back] == ["complete"]
    counts = late[-1].data["counts"]
    assert (counts["scanned"], counts["matched"], counts["failed"], counts["left_for_a_person"]) == (1, 1, 1, 1)
    page = panel.ask("GET", location)[2]
    assert "fail-STEP3-b.mp4" in page and re.search(r'<button id="start" class="primary">', page)


def test_what_the_command_line_starts_is_followed_too_and_another_must_be_queued(panel: Panel) -> None:
    slow = panel.made.archive("night", "slow-STEP3-a")
    panel.made.derush("run", str(slow), "--detach")
    panel.made.wait_for_begin("STEP3", PATIENCE)
    (*_, said) = panel.follow("/workflow/progress", "progress")
    assert said.data["objective"] == "full: night.list"
    page = panel.ask("GET", "/workflow")[2]
    assert "full: night.list" in page and re.search(r'<button id="start"[^>]* disabled', page)

    archive = panel.made.archive("day", "a")
    status, _headers, text = panel.ask("POST", "/workflow/launch", panel.form(archive, "second"), **{"HX-Request": "1"})
    assert status == 409 and "run_goes_on" in text
    queued = panel.ask("POST", "/workflow/launch", panel.form(archive, "second") + "&queue=1")
    assert queued[0] == 303
    second = queued[1]["Location"].partition("run=")[2]
    (*_, said) = panel.follow(f"/workflow/progress?run={second}", "progress")
    assert (said.data["status"], said.data["message"]) == ("queued", "waits for its turn")

    first = panel.made.rows("SELECT id FROM executions WHERE kind = 'run' AND status = 'running'")[0][0]
    asked = panel.ask("POST", f"/api/v1/executions/{first}/cancel", {})
    assert asked[0] == 202 and json.loads(asked[2]) == {"execution_id": first, "action": "cancel", "came_to": "asked"}
    (*_, ended) = panel.follow(f"/workflow/progress?run={first}", "complete")
    assert ended.data["status"] == "cancelled"
    (*_, ended) = panel.follow(f"/workflow/progress?run={second}", "complete")
    assert ended.data["status"] == "succeeded"


def test_the_run_goes_on_when_the_panel_is_killed(panel: Panel) -> None:
    archive = panel.made.archive("day", *(f"clip{number}" for number in range(6)))
    panel.made.variables["FAKE_SECONDS"] = "0.2"
    assert panel.ask("POST", "/workflow/launch", panel.form(archive, "key"))[0] == 303
    panel.made.wait_for_begin("STEP2", PATIENCE)
    os.killpg(panel.process.pid, signal.SIGKILL)
    wait_until(lambda: panel.made.status() == "succeeded", PATIENCE, "the run's end")


def test_a_failure_is_accepted_through_the_api_and_the_run_goes_on(panel: Panel) -> None:
    archive = panel.made.archive("day", "a", "fail-STEP3-b")
    status, _headers, text = panel.ask("POST", "/api/v1/runs", {"inputs": [str(archive)]}, **{"Idempotency-Key": "k"})
    launched = json.loads(text)
    assert status == 201 and launched["is_new"]
    again = panel.ask("POST", "/api/v1/runs", {"inputs": [str(archive)]}, **{"Idempotency-Key": "k"})
    assert again[0] == 200 and json.loads(again[2]) == {**launched, "is_new": False}
    run_id = launched["execution_id"]
    (*_, ended) = panel.follow(f"/workflow/progress?run={run_id}", "complete")
    assert ended.data["status"] == "failed"

    said = panel.follow(launched["events"], "run_ended")
    assert said[0].name == "run_queued" and [each.id for each in said] == sorted(each.id or 0 for each in said)
    body = {"step": "STEP3", "video": "fail-STEP3-b"}
    asked = panel.ask("POST", f"/api/v1/executions/{run_id}/accept", body)
    assert asked[0] == 202 and json.loads(asked[2])["came_to"] == "reopened"
    further = panel.follow(launched["events"], "run_ended", **{"Last-Event-ID": str(said[-1].id)})
    assert [each.name for each in further if each.name == "task_accepted"] == ["task_accepted"]
    # A status may be half a second old.
    wait_until(lambda: json.loads(panel.ask("GET", launched["status"])[2])["status"] == "succeeded", 10, "success")
    status, _headers, text = panel.ask("GET", f"/api/day/status/{run_id}")
    assert status == 200 and json.loads(text)["execution_id"] == run_id
    assert panel.ask("GET", f"/api/night/status/{run_id}")[0] == 404


def test_a_failed_run_is_explained_in_french(panel: Panel) -> None:
    """On its page and in what keeps the page of the workflow true, with the English words and their names beneath."""
    french = {"Accept-Language": "fr"}
    archive = panel.made.archive("day", "die-STEP3-b")
    _status, headers, _text = panel.ask("POST", "/workflow/launch", panel.form(archive, "key"))
    run_id = headers["Location"].partition("run=")[2]
    told = panel.follow(f"/workflow/progress?run={run_id}&parts=1", "complete", **french)
    assert next(said.data["message"] for said in told if said.name == "error").startswith("The worker of STEP3")

    page = panel.ask("GET", f"/executions/{run_id}", **french)[2]
    watched = panel.ask("GET", headers["Location"], **french)[2]
    for text in (page, watched):
        assert "Le programme qui traitait ce fichier s’est arrêté brusquement." in text
        assert "Regardez le journal, puis relancez\u00a0; si cela recommence, écartez le fichier." in text
        assert re.search(r'<small class="detail" lang="en">The worker of STEP3 was killed by signal 9', text)
    assert "Le programme qui traitait" not in panel.ask("GET", f"/executions/{run_id}")[2]
    failed = json.loads(panel.ask("GET", f"/api/v1/executions/{run_id}/status", **french)[2])["steps"][2]["errors"]
    assert [error["message"][:19] for error in failed] == ["The worker of STEP3"]
