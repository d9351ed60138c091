"""What the machine around a run may do to it: clocks jump, databases are locked, disks fill up, processes stop and die."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO

import pytest

from tests.conftest import as_one_who_needs_rights, has_open, is_alive, missing, wait_until
from tests.integration.miniature import ALL_STEPS, Miniature
from tests.integration.processes import interrupt, signal_all, start, told_by

LOCKED_SECONDS = 5.0
"""How long a lock is held where nothing tells that somebody met it: many times as long as anybody waits to try again."""
HOLD_THE_LOCK = """\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""
MOUNT_AND_WAIT = """\
import subprocess, sys
size, place = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", place], check=True)
print("mounted", flush=True)
sys.stdin.read()
"""
SLEEP = """\
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
"""libfaketime 0.9.10 refuses the call that Python sleeps with since 3.11 (an absolute, monotonic clock_nanosleep)."""
STALL_SECONDS = 4.0
"""What is taken for silence where that is long."""
DISK_BYTES = 8_000_000
RESERVE_GB = "0.002"


@contextmanager
def running(
    miniature: Miniature, *arguments: str, output: IO[str] | None = None, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Start `derush`, and leave nothing of it when a test fails in the middle."""
    process = start(miniature.command(*arguments), {**miniature.variables, **variables}, output=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            interrupt(process)
        signal_all(miniature.processes(), signal.SIGKILL)


def counted(miniature: Miniature, what: str) -> int:
    return sum(number for line, number in miniature.counts().items() if line.endswith(what))


def everything(videos: Sequence[str]) -> set[str]:
    """What is to be done with the videos of an archive p: `STEP3 a`."""
    return {"STEP1 p", "STEP7 p", *(f"{step_id} {video}" for step_id in ALL_STEPS[1:6] for video in videos)}


def assert_all_is_done_once(miniature: Miniature, *videos: str) -> None:
    """Every step did every video once, by the steps' own count and by the rows; nothing half done is left."""
    wanted = everything(videos)
    assert miniature.counts() == {f"{name} {what}": 1 for name in wanted for what in ("begin", "end")}
    assert miniature.tasks() == {name: ["succeeded"] for name in wanted}
    statuses = miniature.rows("SELECT DISTINCT status FROM executions WHERE run_id = ?", miniature.newest())
    assert statuses == [("succeeded",)]
    assert_nothing_is_left(miniature)


def assert_nothing_is_left(miniature: Miniature) -> None:
    wait_until(lambda: not miniature.processes(), 10, "every process gone")
    assert not list(miniature.projects.rglob("half")) and not list(miniature.projects.rglob("*.tmp"))


# A clock that jumps


def clock_variables(miniature: Miniature, clock: Path) -> dict[str, str]:
    """Return what makes a process, and all it starts, read the time of day from a file."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        missing("libfaketime: apt-get install faketime")
    (miniature.folder / "sitecustomize.py").write_text(SLEEP)
    for script in (miniature.folder / "scripts").iterdir():  # workers are started without PYTHONPATH
        script.write_text(SLEEP + script.read_text())
    return {
        "LD_PRELOAD": str(found[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "PYTHONPATH": str(miniature.folder),
    }  # fmt: skip


def set_clock(clock: Path, offset: str) -> None:
    """Set the clock at once: no process ever reads half of a file."""
    new = clock.with_suffix(".new")
    new.write_text(offset)
    new.replace(clock)


@pytest.mark.parametrize("jumps", [("+2h", "+4h"), ("-1d", "-2d")], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_harms_no_run(miniature: Miniature, jumps: tuple[str, str]) -> None:
    """It jumps while a retry waits, and again in the middle of a task."""
    steps, clock = miniature.folder / "steps.toml", miniature.folder / "clock"
    steps.write_text(steps.read_text().replace("backoff = 0.05", "backoff = 2.0"))
    set_clock(clock, "+0")
    fake = clock_variables(miniature, clock)
    archive = str(miniature.archive("p", "passing-STEP3-a", "b", "slow-STEP6-c"))
    started = time.monotonic()
    with running(miniature, "run", "--json", archive, FAKE_SECONDS="0.05", **fake) as process:
        wait_until(lambda: happened(miniature, "task_retried"), 30, "a retry that waits")
        set_clock(clock, jumps[0])
        wait_until((miniature.folder / "children").exists, 30, "a task in the middle of its work")
        set_clock(clock, jumps[1])
        for variables in ({}, fake):  # a process with the right time looks at it, and one with the new one
            (seen,) = miniature.answer("history", **variables)["runs"]
            assert seen["status"] == "running" and seen["seconds"] >= 0
        assert miniature.derush("cancel", "--video", "slow-STEP6-c", **fake).returncode == 0
        told = told_by(process)
        lasted = time.monotonic() - started
    assert told["exit_code"] == 0, told["failures"]
    tasks = miniature.tasks()
    assert tasks.pop("STEP3 passing-STEP3-a") == ["failed", "succeeded"], "the retry came"
    assert tasks.pop("STEP6 slow-STEP6-c") == ["cancelled"], "it worked until a person said otherwise"
    assert set(map(tuple, tasks.values())) == {("succeeded",)}, "nothing was taken for silent or too slow"
    assert happened(miniature, "run_ended") == 1, "and nobody took the run for dead"
    assert 0 < told["seconds"] <= lasted
    assert all(0 <= seconds <= lasted for (seconds,) in miniature.rows("SELECT seconds FROM executions"))
    ((queued_at, ended_at),) = miniature.rows("SELECT queued_at, ended_at FROM executions WHERE kind = 'run'")
    jumped = datetime.fromisoformat(ended_at) - datetime.fromisoformat(queued_at)
    assert abs(jumped) > timedelta(hours=3), "the run has really seen the clock jump"


def happened(miniature: Miniature, event: str) -> int:
    """Return how often something happened to any run, as far as the history knows."""
    if miniature.status() is None:
        return 0
    return int(miniature.rows("SELECT count(*) FROM events WHERE event = ?", event)[0][0])


# A locked database


@contextmanager
def locked(miniature: Miniature) -> Iterator[None]:
    """Have another process keep the database locked."""
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(database(miniature))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        yield
        assert holder.poll() is None, "it held the lock all the time"
        holder.communicate(timeout=30)
    assert holder.returncode == 0


def database(miniature: Miniature) -> Path:
    return miniature.folder / "data" / "derush.sqlite3"


def test_a_run_goes_on_working_while_another_process_locks_the_database(miniature: Miniature) -> None:
    videos = [f"v{number}" for number in range(30)]
    with running(miniature, "run", "--json", str(miniature.archive("p", *videos)), FAKE_SECONDS="0.1") as process:
        miniature.wait_for_begin("STEP3")
        with locked(miniature):
            before = counted(miniature, "begin")
            wait_until(lambda: counted(miniature, "begin") >= before + 8, 30, "tasks that begin meanwhile")
            assert miniature.answer("status")["status"] == "running"
            assert process.poll() is None
        told = told_by(process)
    assert told["exit_code"] == 0, told["failures"]
    assert_all_is_done_once(miniature, *videos)


def test_a_run_that_starts_while_the_database_is_locked_waits_for_it(miniature: Miniature) -> None:
    assert miniature.derush("history").returncode == 0
    archive = str(miniature.archive("p", "a"))
    with ExitStack() as at_the_end:
        with locked(miniature):
            process = at_the_end.enter_context(running(miniature, "run", "--json", archive))
            wait_until(lambda: has_open(process.pid, database(miniature)), 30, "the run at the database")
            looked = miniature.derush("status")
            assert looked.returncode == 2 and "no run yet" in looked.stderr, "looking waits for nobody"
            assert process.poll() is None
        assert told_by(process)["exit_code"] == 0
    assert_all_is_done_once(miniature, "a")


def test_a_run_that_waits_for_its_turn_outlasts_a_lock(miniature: Miniature) -> None:
    waiting = "SELECT count(*) FROM executions WHERE kind = 'run' AND status = 'queued' AND owner IS NOT NULL"
    with running(miniature, "run", "--json", str(miniature.archive("q", "slow-STEP3-a"))) as first:
        wait_until((miniature.folder / "children").exists, 30, "the first at work")
        with running(miniature, "run", "--json", str(miniature.archive("p", "b"))) as second:
            wait_until(lambda: miniature.rows(waiting) == [(1,)], 30, "the second in the queue")
            with locked(miniature):
                since = time.monotonic()
                wait_until(lambda: time.monotonic() - since > LOCKED_SECONDS, 30, "a lock that both have met")
            assert first.poll() is None and second.poll() is None
            assert interrupt(first) == 130
            assert told_by(second)["exit_code"] == 0
    assert miniature.tasks()["STEP7 p"] == ["succeeded"]


# A folder that cannot be written


@dataclass
class Elsewhere(Miniature):
    """A miniature whose commands are begun by another, and whose places are seen below another root."""

    begin_with: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        return [*self.begin_with, *super().command(*arguments)]


@contextmanager
def immutable(*paths: Path) -> Iterator[None]:
    """Let nobody write to files and folders, not even who has them open: what a disk that became read-only does."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a file immutable that a process has open")
    subprocess.run(["chattr", "+i", *map(str, paths)], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *map(str, paths)], check=True)


def test_a_run_whose_data_folder_becomes_read_only_ends_with_a_sentence_and_is_resumed(miniature: Miniature) -> None:
    videos = [f"v{number}" for number in range(8)]
    archive, data = str(miniature.archive("p", *videos)), miniature.folder / "data"
    with running(miniature, "run", archive, FAKE_SECONDS="0.2", POOL_CPU="2") as process:
        wait_until(lambda: miniature.counts()["STEP6 v0 end"], 30, "some work done")
        with immutable(data / "derush.sqlite3", data / "derush.sqlite3-wal", data):
            out, err = process.communicate(timeout=30)
            assert process.returncode == 3
            assert "data_dir_read_only" in err and str(data) in err and "right to write" in err
            assert "Traceback" not in out + err
            assert_nothing_is_left(miniature)
            refused = miniature.derush("resume")
            assert refused.returncode == 3 and "data_dir_read_only" in refused.stderr
    before = miniature.counts()
    assert len(before) < 2 * len(everything(videos)), "it began nothing more"
    told = miniature.answer("resume")
    assert told["exit_code"] == 0, told["failures"]
    after = miniature.counts()
    assert {line for line in after if line.endswith("end")} == {f"{name} end" for name in everything(videos)}
    again = {name for name in everything(videos) if before[f"{name} end"] and after[f"{name} begin"] > 1}
    assert len(again) <= 2, "only what was at hand may be begun again"
    assert {statuses[-1] for statuses in miniature.tasks().values()} == {"succeeded"}


def test_a_work_directory_without_rights_is_refused_with_a_sentence(miniature: Miniature) -> None:
    person = Elsewhere(miniature.folder, miniature.variables, as_one_who_needs_rights())
    person.projects.mkdir()
    person.projects.chmod(0o555)
    refused = person.derush("run", str(person.archive("p", "a")))
    person.projects.chmod(0o755)
    assert refused.returncode == 3
    assert "work_dir_not_writable" in refused.stderr and str(person.projects) in refused.stderr
    assert person.answer("retry")["exit_code"] == 0
    assert_all_is_done_once(person, "a")


def test_a_data_folder_without_rights_is_refused_at_the_start(miniature: Miniature) -> None:
    person = Elsewhere(miniature.folder, miniature.variables, as_one_who_needs_rights())
    archive = str(person.archive("p", "a"))
    data = person.folder / "data"
    data.mkdir()
    data.chmod(0o555)
    refused = person.derush("run", archive)
    assert refused.returncode == 3 and "data_dir_read_only" in refused.stderr and str(data) in refused.stderr
    data.chmod(0o755)
    assert person.run(archive)["exit_code"] == 0
    before = person.counts()
    for path in (*data.iterdir(), data):
        path.chmod(0o555 if path.is_dir() else 0o444)
    refused = person.derush("run", "--json", archive)
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["error"]["code"] == "data_dir_read_only"
    assert person.counts() == before


# A full disk


@dataclass
class Disk:
    """A small disk in a mount namespace of its own, which ends with the process that keeps it."""

    keeper: int

    def inside(self, path: Path) -> Path:
        """Return the path that a place has from outside."""
        return Path(f"/proc/{self.keeper}/root{path}")

    @property
    def begin_with(self) -> list[str]:
        users = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self.keeper}", "--mount", f"--wdns={Path.cwd()}", *users]


@contextmanager
def small_disk(place: Path) -> Iterator[Disk]:
    """Mount a disk of DISK_BYTES at a place, for those who are in its namespace."""
    place.mkdir(parents=True)
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", "--mount", *users, sys.executable, "-c", MOUNT_AND_WAIT, str(DISK_BYTES), str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdin is not None and keeper.stdout is not None
        if keeper.stdout.readline() != "mounted\n":
            missing("the right to mount a disk in a namespace")
        yield Disk(keeper.pid)
        keeper.stdin.close()


def fill(folder: Path) -> Path:
    """Write a file until the disk has room for nothing."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (100_000, 1_000, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def count_when_quiet(miniature: Miniature) -> int:
    """Wait until nothing has begun for a second, far longer than a task takes here; return how much has begun so far."""
    last, since = -1, time.monotonic()

    def is_quiet() -> bool:
        nonlocal last, since
        if last != (now := counted(miniature, "begin")):
            last, since = now, time.monotonic()
        return time.monotonic() - since > 1.0

    wait_until(is_quiet, 30, "quiet")
    return last


@pytest.mark.parametrize("place", ["PROJECTS_DIR", "DATA_DIR"])
def test_a_full_disk_holds_the_run_which_goes_on_by_itself(miniature: Miniature, place: str) -> None:
    folder, screen = Path(miniature.variables[place]), miniature.folder / "screen"
    videos = [f"v{number}" for number in range(12)]
    with small_disk(folder) as disk:
        away = Elsewhere(miniature.folder, miniature.variables, disk.begin_with)
        archive = str(away.archive("p", *videos))
        reserve = {"FAKE_SECONDS": "0.15", "DISK_RESERVE_GB": RESERVE_GB, "COLUMNS": "500"}
        with screen.open("w") as output, running(away, "run", archive, output=output, **reserve) as process:
            away.wait_for_begin("STEP3")
            filler = fill(disk.inside(folder))
            wait_until(lambda: f"The disk of {place} ({folder}) is full" in screen.read_text(), 30, "the run to say so")
            begun = count_when_quiet(away)
            if place == "PROJECTS_DIR":  # a full disk of the history's own takes no note of itself
                told = away.answer("status")
                assert told["status"] == "running" and told["held"]["code"] == "disk_full"
                assert f"until {RESERVE_GB} GB are free" in told["held"]["message"]
            else:
                assert away.derush("status", "--json").returncode == 0, "looking needs no room"
            assert counted(away, "begin") == begun and process.poll() is None, "nothing new is begun"
            filler.unlink()
            assert process.wait(60) == 0, screen.read_text()
        assert "The run goes on." in screen.read_text()
        told = away.answer("show", "--all")
    statuses = [task["status"] for step in told["steps"] for task in step.get("tasks", [])]
    assert told["status"] == "succeeded" and set(statuses) == {"succeeded"}, told
    ended = {line for line in miniature.counts() if line.endswith("end")}
    assert ended == {f"{name} end" for name in everything(videos)}


# A supervisor that stops, or dies


def test_a_run_that_is_stopped_for_long_is_not_taken_for_dead_nor_its_workers_for_silent(miniature: Miniature) -> None:
    """What pausing a container does: the supervisor and its workers stand still together, and time goes by."""
    steps = miniature.folder / "steps.toml"
    steps.write_text(steps.read_text().replace("stall_after = 1.5", f"stall_after = {STALL_SECONDS}"))
    heartbeat = "SELECT heartbeat_at FROM executions WHERE kind = 'run'"
    with running(miniature, "run", "--json", str(miniature.archive("p", *"abcdef")), FAKE_SECONDS="0.4") as process:
        miniature.wait_for_begin("STEP3")
        stop_with_an_old_heartbeat(miniature, process)
        stopped_at, old, workers = time.monotonic(), miniature.rows(heartbeat), miniature.processes()
        signal_all(workers, signal.SIGSTOP)
        (seen,) = miniature.answer("history")["runs"]
        assert seen["status"] == "running", "its process is there, whatever its heartbeat says"
        wait_until(
            lambda: time.monotonic() - stopped_at > 1.2 * STALL_SECONDS, 30, "longer than a worker may be silent"
        )
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: miniature.rows(heartbeat) != old, 10, "the supervisor back at work, before its workers")
        signal_all(workers, signal.SIGCONT)
        told = told_by(process)
    assert told["exit_code"] == 0 and told["failures"] == []
    assert_all_is_done_once(miniature, *"abcdef")


def stop_with_an_old_heartbeat(miniature: Miniature, process: subprocess.Popen[str]) -> None:
    """Stop a supervisor, but not while it writes, and make its last sign of life an hour old."""
    long_ago = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    while True:
        process.send_signal(signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(database(miniature), timeout=0.5)) as connection:
                connection.execute("UPDATE executions SET heartbeat_at = ? WHERE kind = 'run'", [long_ago])
                connection.commit()
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)


def test_a_killed_supervisor_is_noticed_its_workers_ended_and_its_run_resumed(miniature: Miniature) -> None:
    with running(miniature, "run", "--json", str(miniature.archive("p", "a", "b")), FAKE_SECONDS="0.4") as process:
        miniature.wait_for_begin("STEP3")
        (hanging,) = miniature.workers("STEP3")
        os.kill(hanging, signal.SIGSTOP)  # it will not notice that nobody listens, nor hear a TERM
        process.kill()
        process.communicate(timeout=30)
        (seen,) = miniature.answer("history")["runs"]
        assert seen["status"] == "interrupted" and not miniature.processes()
        assert miniature.answer("status")["status"] == "interrupted"
        told = miniature.answer("resume")
        assert told["exit_code"] == 0, told["failures"]
        assert_nothing_is_left(miniature)
        assert miniature.counts()["STEP1 p begin"] == 1, "what was done is not done again"
        assert {statuses[-1] for statuses in miniature.tasks().values()} == {"succeeded"}
        assert len(miniature.tasks()) == len(everything(["a", "b"]))


def test_a_process_that_has_the_number_of_a_dead_one_is_left_alone(miniature: Miniature) -> None:
    with running(miniature, "run", "--json", str(miniature.archive("p", "hang-STEP3-a"))) as process:
        miniature.wait_for_begin("STEP3")
        process.kill()
        process.communicate(timeout=30)
        with subprocess.Popen(["sleep", "3600"], start_new_session=True) as innocent:
            reuse_numbers(miniature, process.pid, innocent.pid)
            try:
                (seen,) = miniature.answer("history")["runs"]
                assert seen["status"] == "interrupted"
                assert is_alive(innocent.pid)
            finally:
                innocent.kill()


def reuse_numbers(miniature: Miniature, supervisor: int, pid: int) -> None:
    """Make the history say that a run's supervisor and workers had the number that this process has now."""
    ((owner, workers),) = miniature.rows("SELECT owner, workers FROM executions WHERE kind = 'run'")
    assert json.loads(owner)["pid"] == supervisor and json.loads(workers)
    reused = [{**known, "pid": pid} for known in (json.loads(owner), *json.loads(workers))]
    sql = "UPDATE executions SET owner = ?, workers = ? WHERE kind = 'run'"
    miniature.rows(sql, json.dumps(reused[0]), json.dumps(reused[1:]))
