"""`derush serve` as a process: who it lets start, how it ends, what it survives."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.accounts import Accounts
from services.database import open_database
from services.executions import Event, Execution, Store, new_id, utc_now
from tests.conftest import REPOSITORY, is_alive, wait_until
from tests.panel.conftest import PASSWORD

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def serve(places: dict[str, str], port: int) -> Iterator[Serve]:
    begun: list[subprocess.Popen[str]] = []

    def start(**changes: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "serve"], cwd=REPOSITORY, text=True, start_new_session=True,
            env={**places, "PANEL_PORT": str(port), **changes}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        begun.append(child)
        return child

    yield start
    for child in begun:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def ask(port: int, path: str, token: str | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=10
        ) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def ready(port: int) -> bool:
    try:
        return ask(port, "/readyz")[0] == 200
    except OSError:
        return False


def history(places: dict[str, str]) -> tuple[Store, Accounts]:
    database = open_database(Path(places["DATA_DIR"]), None)
    return Store(database), Accounts(database)


def test_the_first_start_prints_a_link_and_the_next_after_a_password_none(
    serve: Serve, port: int, places: dict[str, str]
) -> None:
    child = serve()
    wait_until(lambda: ready(port), 30)
    os.killpg(child.pid, signal.SIGTERM)
    said, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    assert re.search(rf"http://127\.0\.0\.1:{port}/link/[\w-]{{20,}}\n", said)
    subprocess.run(
        [sys.executable, "-m", "services.cli", "password"], cwd=REPOSITORY, env=places, input=f"{PASSWORD}\n", text=True,
        check=True,
    )  # fmt: skip
    child = serve()
    wait_until(lambda: ready(port), 30)
    os.killpg(child.pid, signal.SIGTERM)
    said, _ = child.communicate(timeout=20)
    assert "/link/" not in said and f"http://127.0.0.1:{port}/" in said


def test_it_refuses_to_start_twice_on_the_same_data(serve: Serve, port: int) -> None:
    first = serve()
    wait_until(lambda: ready(port), 30)
    second = serve(PANEL_PORT=str(port + 1 if port < 65_000 else port - 1))
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 2
    assert "panel_runs" in said and str(first.pid) in said


def test_others_can_reach_it_only_behind_a_password(serve: Serve, port: int, places: dict[str, str]) -> None:
    refused = serve(PANEL_HOST="0.0.0.0")
    said, _ = refused.communicate(timeout=30)
    assert refused.returncode == 2 and "password_needed" in said and "derush password" in said
    history(places)[1].set_password(PASSWORD)
    serve(PANEL_HOST="0.0.0.0")
    wait_until(lambda: ready(port), 30)


def test_a_port_that_is_taken_is_said_so(serve: Serve, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        child = serve()
        said, _ = child.communicate(timeout=30)
    assert child.returncode == 2 and "port_in_use" in said and "--port" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_at_once_though_somebody_watches_and_starts_again(
    serve: Serve, port: int, places: dict[str, str], number: signal.Signals
) -> None:
    """The master alone is killed: its worker must not stay, or the next start would find the data taken."""
    store, accounts = history(places)
    token = accounts.create_token("test", ["read"])
    run_id, now = new_id(), utc_now()
    store.save([Execution(id=run_id, run_id=run_id, kind="run", queued_at=now)])
    child = serve()
    wait_until(lambda: ready(port), 30)
    stream = urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{port}/live", headers={"Authorization": f"Bearer {token}"}),
        timeout=20,
    )
    assert stream.readline()
    worker = int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0])
    began = time.monotonic()
    os.kill(child.pid, number)
    child.wait(20)
    wait_until(lambda: not is_alive(worker), 20, "the end of the worker")
    assert time.monotonic() - began < 10
    again = serve()
    wait_until(lambda: ready(port), 30)
    assert again.poll() is None
    assert ask(port, "/metrics", token)[0] == 200


def test_events_go_on_where_they_were_after_a_restart(serve: Serve, port: int, places: dict[str, str]) -> None:
    store, accounts = history(places)
    token = accounts.create_token("test", ["read"])
    run_id, now = new_id(), utc_now()
    store.save([Execution(id=run_id, run_id=run_id, kind="run", queued_at=now)])

    def say(*numbers: int) -> None:
        store.save([], [Event(run_id=run_id, at=now, event="warning", data={"n": n}) for n in numbers])

    def listen(last: str | None) -> Iterator[tuple[str, int]]:
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last} if last else {})}
        address = f"http://127.0.0.1:{port}/api/v1/executions/{run_id}/events"
        event_id = ""
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as stream:
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    event_id = value
                if name == "data":
                    yield event_id, int(re.findall(r'"n":(\d+)', value)[0])

    child = serve()
    wait_until(lambda: ready(port), 30)
    say(1, 2)
    events = listen(None)
    (_first_id, first), (second_id, second) = next(events), next(events)
    assert [first, second] == [1, 2]
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    say(3, 4)
    serve()
    wait_until(lambda: ready(port), 30)
    events = listen(second_id)
    assert [next(events)[1], next(events)[1]] == [3, 4]
    say(5)
    assert next(events)[1] == 5
