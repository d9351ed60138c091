"""The panel under load: events to 50 listeners, pages over 10,000 runs, the end of a large log, memory; beside Prefect's server.

The history has 10,000 runs. A process says 1,000 events a second about one run while 50 streams follow it: how long an
event takes from being written to being read is measured for every event on every stream. The page is the list of
executions, whole and as HTML, asked for one after the other, first alone, then under that load. Beside it stands what
Prefect's own pages ask its server for, the same number of ended runs in its database: JSON alone, which its page has
still to draw. Prefect is installed on first use below `.cache/`, and its history is made there once.

    envs/env/bin/python scripts/bench/panel.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)
LISTENERS, RATE, RUNS, ROWS = 50, 1_000, 10_000, 100
LARGE_LOG, LOG_BYTES = "step3/large.log", 1 << 31
MADE = re.compile(rb'"made":(\d+)')

from scripts.bench.other_tools import OTHERS, PYTHON, at_home, install
from services.accounts import Accounts
from services.commands import Child, environment
from services.database import open_database
from services.executions import Execution, Store, new_id, utc_now


@dataclass
class Stream:
    """One listener: its socket, and what it has read."""

    connection: socket.socket
    rest: bytes = b""
    delays: list[float] = field(default_factory=list)
    count: int = 0
    is_over: bool = False


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, in under 50 s once all is installed")
    quick = parser.parse_args().quick
    seconds, asked, peer_runs = (6, 60, 1_000) if quick else (30, 300, RUNS)
    install()
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as server:
        get = asker(server.address, {"Authorization": f"Bearer {server.token}"})
        alone = milliseconds(lambda: get("/executions"), asked)
        log = milliseconds(lambda: get(f"/logs/{LARGE_LOG}"), 20)
        streams, under_load = loaded(server, get, seconds)
        memory = server.memory_mb()
    with prefect(peer_runs) as ask_prefect:
        peer = milliseconds(ask_prefect, asked)
    report(alone, log, streams, under_load, memory, peer, seconds)
    return 0


@dataclass(frozen=True)
class Server:
    """A panel that serves: where, a token for it, its data, and a run that is going on."""

    address: tuple[str, int]
    token: str
    data_dir: Path
    run_id: str
    process: psutil.Process

    def memory_mb(self) -> float:
        """Return what the server and the processes it started hold, what they share counted twice."""
        family = [self.process, *self.process.children(recursive=True)]
        return float(sum(each.memory_info().rss for each in family) / 1e6)


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Serve a panel over a long history and a large log."""
    data_dir, logs = folder / "data", folder / "logs"
    run_id, token = fill(data_dir)
    write_log(logs / LARGE_LOG)
    port = free_port()
    changes: dict[str, str | None] = {
        "DERUSH_ENV_FILE": str(folder / "none.env"), "DATA_DIR": str(data_dir), "LOGS_DIR": str(logs), "DATABASE_URL": None,
        "PROJECTS_DIR": str(folder / "projects"), "PANEL_HOST": "127.0.0.1", "PANEL_PORT": str(port),
    }  # fmt: skip
    child = Child(
        [sys.executable, "-m", "web.server"], changes=changes, stdout=subprocess.DEVNULL, stderr=None, cwd=REPOSITORY
    )
    address = ("127.0.0.1", port)
    try:
        wait_for(lambda: asker(address, {})("/readyz"), child)
        yield Server(address, token, data_dir, run_id, psutil.Process(child.process.pid))
    finally:
        child.stop()


def fill(data_dir: Path) -> tuple[str, str]:
    """Make the history: 10,000 ended runs of a few tasks, and one that goes on; returns its id and a token."""
    database = open_database(data_dir, None)
    store = Store(database)
    for first in range(0, RUNS, 500):
        store.save([row for number in range(first, first + 500) for row in an_ended_run(number)])
    run_id, now = new_id(), utc_now()
    owner = {"pid": os.getpid()}
    going = Execution(id=run_id, run_id=run_id, kind="run", status="running", queued_at=now, started_at=now,
                      heartbeat_at=now, owner=owner, message="a run that says much")  # fmt: skip
    store.save([going])
    token = Accounts(database).create_token("bench", ["read"])
    database.close()
    return run_id, token


def an_ended_run(number: int) -> list[Execution]:
    """Return a run that ended long ago, with three tasks."""
    run_id = new_id()
    at = (datetime(2025, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=number)).isoformat(timespec="microseconds")
    shared: dict[str, Any] = {"run_id": run_id, "status": "failed" if number % 20 == 0 else "succeeded", "queued_at": at, "started_at": at,
              "ended_at": at, "seconds": 61.5}  # fmt: skip
    run = Execution(id=run_id, kind="run", message=f"everything with delivery {number}.zip", **shared)
    tasks = (
        Execution(id=new_id(), kind="task", parent_execution_id=run_id, number=n, stage="step3", step="STEP3",
                  subject=f"/footage/clip {n}.mp4", outcome="done", **shared)
        for n in range(1, 4)
    )  # fmt: skip
    return [run, *tasks]


def write_log(path: Path) -> None:
    """Write a log of 2 GB: a hole, which reads as zeros, and a million lines at its end."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as log:
        log.truncate(LOG_BYTES - 100_000_000)
        log.seek(0, os.SEEK_END)
        line = b"2026-11-21T12:00:00.000Z INFO STEP3 clip_0001.mp4: 1200 of 3600 frames, 118.2 frames a second\n"
        log.write(line * (100_000_000 // len(line)))


def asker(address: tuple[str, int], headers: Mapping[str, str]) -> Callable[[str], bytes]:
    """Return a function that asks for a path and reads the whole answer."""

    def get(path: str) -> bytes:
        request = urllib.request.Request(f"http://{address[0]}:{address[1]}{path}", headers=dict(headers))
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    return get


def milliseconds(ask: Callable[[], object], times: int) -> list[float]:
    """Ask so often, after one time to warm up; returns how long each took."""
    ask()
    return [timed(ask) for _ in range(times)]


def timed(ask: Callable[[], object]) -> float:
    """Return how many milliseconds an answer took."""
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1e3


def loaded(server: Server, get: Callable[[str], bytes], seconds: int) -> tuple[list[Stream], list[float]]:
    """Follow a run 50 times while it says 1,000 things a second, and ask for pages meanwhile."""
    streams = [follow(server) for _ in range(LISTENERS)]
    emit = [sys.executable, str(Path(__file__).with_name("emit_events.py"))]
    emitter = subprocess.Popen([*emit, str(server.data_dir), server.run_id, str(RATE), str(seconds)])
    pages: list[float] = []
    over = threading.Event()

    def ask_now_and_then() -> None:
        while not over.wait(0.2):
            pages.append(timed(lambda: get("/executions")))

    reader = threading.Thread(target=ask_now_and_then)
    reader.start()
    read_all(streams, deadline=time.monotonic() + seconds + 60)
    over.set()
    reader.join()
    assert emitter.wait() == 0
    return streams, pages


def follow(server: Server) -> Stream:
    """Open a stream of a run's events and read until it has begun."""
    connection = socket.create_connection(server.address, timeout=30)
    path = f"/api/v1/executions/{server.run_id}/events"
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.address[1]}", f"Authorization: Bearer {server.token}")
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = connection.recv(1 << 16)
    assert head.startswith(b"HTTP/1.1 200"), head
    connection.setblocking(False)
    return Stream(connection)


def read_all(streams: Sequence[Stream], deadline: float) -> None:
    """Read every stream until it has brought the last event."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.connection, selectors.EVENT_READ, stream)
        while not all(stream.is_over for stream in streams):
            assert time.monotonic() < deadline, "the streams did not come to their end"
            for key, _ready in selector.select(1.0):
                read(key.data)
                if key.data.is_over:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]


def read(stream: Stream) -> None:
    """Take what has come: the delay of every whole event."""
    block = stream.rest + stream.connection.recv(1 << 20)
    now = time.time_ns()
    whole, _cut, stream.rest = block.rpartition(b"\n\n")
    made = MADE.findall(whole)
    stream.count += len(made)
    stream.delays.extend((now - int(at)) / 1e6 for at in made)
    stream.is_over = b"event: run_ended" in whole


@contextmanager
def prefect(runs: int) -> Iterator[Callable[[], bytes]]:
    """Serve Prefect over as many ended runs; yields what its page of runs asks its server for."""
    home = REPOSITORY / ".cache" / f"bench-panel-{runs}"
    changes = at_home(str(home))
    if not (home / "filled").exists():
        home.mkdir(parents=True, exist_ok=True)
        print(f"making a history of {runs} runs for Prefect, once", flush=True)
        subprocess.run(
            [str(PYTHON), str(OTHERS / "prefect_history.py"), str(runs)], env=environment(changes), check=True
        )
        (home / "filled").touch()
    port = free_port()
    command = [str(PYTHON), "-m", "prefect", "server", "start", "--port", str(port), "--host", "127.0.0.1"]
    child = Child(command, changes=changes, stdout=subprocess.DEVNULL, cwd=home)
    asked = json.dumps({"limit": ROWS, "page": 1, "sort": "START_TIME_DESC"}).encode()
    address = f"http://127.0.0.1:{port}/api/flow_runs/paginate"

    def ask() -> bytes:
        request = urllib.request.Request(address, data=asked, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    try:
        wait_for(ask, child)
        assert len(json.loads(ask())["results"]) == ROWS
        yield ask
    finally:
        child.stop()


def wait_for(ask: Callable[[], object], child: Child, seconds: float = 90) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
            return
        except OSError:
            assert child.process.poll() is None, f"the server ended with {child.process.returncode}"
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.1)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def quantile(values: Sequence[float], percent: int) -> float:
    """Return the value below which so many percent lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def report(
    alone: list[float], log: list[float], streams: list[Stream], under_load: list[float], memory: float,
    peer: list[float], seconds: int,
) -> None:  # fmt: skip
    """Print what was measured, and the figures as one JSON object."""
    expected = RATE * seconds
    assert all(stream.count == expected for stream in streams), [stream.count for stream in streams]
    delays = [delay for stream in streams for delay in stream.delays]
    page, other = quantile(alone, 95), quantile(peer, 95)
    print(f"{len(delays):,} events on {len(streams)} streams, none lost: median {quantile(delays, 50):.0f} ms")
    print(
        f"page of {ROWS} of {RUNS:,} runs: median {quantile(alone, 50):.1f} ms; under load {quantile(under_load, 50):.1f} ms, 95th {quantile(under_load, 95):.1f} ms"
    )
    print(f"prefect's answer to its page: median {quantile(peer, 50):.1f} ms, 95th {other:.1f} ms")
    figures = {
        "event_p99_ms": round(quantile(delays, 99), 1),
        "page_p95_ms": round(page, 1),
        "log_tail_ms": round(max(log), 1),
        "rss_mb": round(memory, 1),
        "page_over_peer": round(page / other, 2),
        "page_p95_under_load_ms": round(quantile(under_load, 95), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
