"""`--watch`: what comes to a folder is taken in when it is there, and a signal ends the watch calmly."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.steps.step1.conftest import SCRIPT, tree
from tests.steps.step1.packing import files, pack


class Watcher:
    """STEP1 that watches a folder; what it said so far."""

    def __init__(self, command: list[str], environment: dict[str, str], told: Path) -> None:
        self.told = told
        with told.with_suffix(".log").open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def events(self) -> list[dict]:
        lines = self.told.read_text().splitlines() if self.told.exists() else []
        return [json.loads(line) for line in lines]

    def log(self) -> str:
        return self.told.with_suffix(".log").read_text()

    def ended(self) -> list[tuple[str, str]]:
        return [(Path(event["item"]).name, event["status"]) for event in self.events() if event["event"] == "item_done"]


@pytest.fixture
def watcher(tmp_path: Path, places: dict[str, str], source: Path) -> Iterator[Callable[..., Watcher]]:
    started: list[Watcher] = []

    def start(*arguments: str, **variables: str) -> Watcher:
        told = tmp_path / "watched.jsonl"
        command = [
            sys.executable,
            str(SCRIPT),
            "--watch",
            "--events",
            str(told),
            "--source-dir",
            str(source),
            *arguments,
        ]
        made = Watcher(command, {**places, "STEP1_SETTLE_SEC": "0.3", **variables}, told)
        started.append(made)
        wait_until(
            lambda: "--list" in arguments or "Watching" in made.log() or made.process.poll() is not None,
            what="the watch",
        )
        return made

    yield start
    for made in started:
        made.process.kill()
        made.process.wait()


def test_what_comes_is_taken_in_once_it_is_whole(source, work, watcher, tmp_path):
    pack(source / "there.zip", files({"a.mp4": b"a"}))
    watch = watcher()
    wait_until(lambda: watch.ended() == [("there.zip", "done")], what="what was there already")

    ready = pack(tmp_path / "ready.zip", files({"b.mp4": b"b"}))
    with (source / "slow.zip").open("wb") as slow:
        slow.write(ready.read_bytes()[:50])
        slow.flush()
        pack(tmp_path / "moved.zip", files({"c.mp4": b"c"})).rename(source / "moved.zip")
        wait_until(lambda: ("moved.zip", "done") in watch.ended(), what="what was moved there")
        slow.write(ready.read_bytes()[50:])
    (source / "card").mkdir()
    (source / "card" / "d.mov").write_bytes(b"d")
    wait_until(lambda: {("slow.zip", "done"), ("card", "done")} <= set(watch.ended()), what="the rest")

    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(timeout=20) == 0
    assert len(watch.ended()) == 4, "nothing is taken in twice"
    assert tree(work / "slow") == {"b.mp4": b"b"}
    assert {event["code"] for event in watch.events() if event["event"] == "warning"} <= {"still_arriving"}


def test_a_damaged_archive_is_tried_again_only_when_it_is_another(source, watcher):
    (source / "x.zip").write_bytes(b"PK\x03\x04 and no more")
    watch = watcher()
    wait_until(lambda: watch.ended() == [("x.zip", "failed")], what="the failure")
    pack(source / "y.zip", files({"a.mp4": b"a"}))
    wait_until(lambda: ("y.zip", "done") in watch.ended(), what="another look")
    pack(source / "x.zip", files({"b.mp4": b"b"}))
    wait_until(lambda: ("x.zip", "done") in watch.ended(), what="the second delivery")
    assert watch.ended().count(("x.zip", "failed")) == 1

    watch.process.send_signal(signal.SIGINT)
    assert watch.process.wait(timeout=20) == 1, "something failed"


def test_with_list_it_is_named_and_nothing_is_done(source, work, watcher):
    pack(source / "there.zip", files({"a.mp4": b"a"}))
    watch = watcher("--list")
    wait_until(lambda: '"there"' in watch.log(), what="what was there already")
    pack(source / "x.zip", files({"b.mp4": b"b"}))
    wait_until(lambda: '"x"' in watch.log(), what="the name")
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(timeout=20) == 0
    assert not work.exists()


def test_what_lies_in_the_watched_folder_itself_holds_nothing_up(source, work, watcher):
    (source / "Day 1").mkdir()
    (source / "Day 1" / "a.mov").write_bytes(b"a")
    watch = watcher()
    wait_until(lambda: ("Day 1", "done") in watch.ended(), what="the first folder")
    (source / "loose.mov").write_bytes(b"loose")
    (source / "other.mov.part").write_bytes(b"half")
    (source / "notes.txt").write_text("no delivery")
    (source / "Day 2").mkdir()
    (source / "Day 2" / "b.mov").write_bytes(b"b")
    wait_until(lambda: {("loose.mov", "done"), ("Day 2", "done")} <= set(watch.ended()), what="the others")
    assert len(watch.ended()) == 3, "the watched folder is no delivery, and nothing is taken in twice"
    assert (tree(work / "loose"), tree(work / "Day 2")) == ({"loose.mov": b"loose"}, {"b.mov": b"b"})


def test_a_folder_that_goes_away_ends_no_watch(source, watcher):
    watch = watcher()
    shutil.rmtree(source)
    wait_until(lambda: "is gone" in watch.log(), seconds=60, what="the loss to be seen")
    assert watch.process.poll() is None
