"""Logs: which there are, lines at any place of any size, levels, searching, following."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.errors import ServiceError
from services.log_file import MOST_LINES, LogFile, Page
from services.log_following import MOST_BEHIND, follow
from services.log_lines import LONGEST, level_of
from services.log_search import Hit, search, words_of
from services.logs import log_path, logs_below, newest_log
from tests.conftest import wait_until
from tests.log_files import HUGE, huge_log, write_busily


def log_of(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def texts(page: Page) -> list[str]:
    return [line.raw.decode().rstrip("\n") for line in page.lines]


# Which logs there are


def test_logs_are_listed_newest_first_whatever_folder_they_are_in(tmp_path: Path) -> None:
    for age, name in enumerate(["runs/b.log", "step3/é a.log", "top.log", "step3/deep/er.txt"]):
        os.utime(log_of(tmp_path / name, b"x" * age), (1e9 - age, 1e9 - age))
    log_of(tmp_path / ".hidden", b"")
    log_of(tmp_path / "a\nb.log", b"")
    (tmp_path / "link.log").symlink_to(tmp_path / "top.log")
    (tmp_path / "ring").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.log")
    found = logs_below(tmp_path)
    assert [(log.name, log.size, log.folder) for log in found] == [
        ("runs/b.log", 0, "runs"), ("step3/é a.log", 1, "step3"), ("top.log", 2, ""), ("step3/deep/er.txt", 3, "step3/deep"),
    ]  # fmt: skip
    assert found[0].modified == 1e9
    assert logs_below(tmp_path / "not there") == []


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "step3/../../secret",
        "out",
        "outside/secret",
        "none.log",
        "a\0b",
        "x" * 5_000,
        "ring",
    ],
)
def test_no_name_leads_out_of_the_logs(tmp_path: Path, name: str) -> None:
    root = tmp_path / "logs"
    log_of(root / "step3" / "a.log", b"")
    log_of(tmp_path / "secret", b"")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "outside").symlink_to(tmp_path)
    (root / "ring").symlink_to(root / "ring")
    with pytest.raises(ServiceError) as refused:
        log_path(root, name)
    assert refused.value.code == "no_such_log"


def test_a_link_that_stays_among_the_logs_is_followed(tmp_path: Path) -> None:
    log_of(tmp_path / "real" / "step3" / "a.log", b"")
    (tmp_path / "logs").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "newest").symlink_to(tmp_path / "real" / "step3" / "a.log")
    assert log_path(tmp_path / "logs", "newest") == log_path(tmp_path / "logs", "step3/a.log")
    assert newest_log(tmp_path / "logs" / "step3") == tmp_path / "logs" / "step3" / "a.log"


def test_what_is_no_file_is_no_log_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    for name in ("pipe.log", ".", "none.log"):
        with pytest.raises(ServiceError, match="no log"):
            LogFile(tmp_path / name)


# Pages


def test_a_log_is_paged_forwards_and_backwards(tmp_path: Path) -> None:
    with LogFile(log_of(tmp_path / "a.log", "one\ntwo é\nhalf".encode())) as log:
        page = log.page_before(99)
        assert texts(page) == ["one", "two é", "half"]
        assert (page.start, page.end, page.is_last, page.size) == (0, 11, True, 15), "a line still written is had again"
        assert [line.start for line in page.lines] == [0, 4, 11]
        assert texts(log.page_after(page.end)) == ["half"]
        assert texts(log.page_after(6)) == ["two é", "half"], "a place inside a line is that line"
        assert texts(log.page_before(6)) == ["one"]
        assert texts(log.page_after(10**30)) == ["half"] and texts(log.page_after(-5)) == ["one", "two é", "half"]
        assert texts(log.last(2)) == ["two é", "half"] and log.last(0).lines == [] and len(log.last(99).lines) == 3
        assert [line.raw for line in log.last(2).whole_lines] == ["two é\n".encode()]
    with LogFile(log_of(tmp_path / "empty.log", b"")) as log:
        assert log.page_before(0)[:5] == log.page_after(0)[:5] == ([], 0, 0, True, 0)


def test_the_same_lines_are_found_from_anywhere(tmp_path: Path) -> None:
    chance = random.Random(4)
    lengths = [chance.choice((0, 1, 30, 200, LONGEST - 1, LONGEST, LONGEST + 1, 70_000)) for _ in range(60)]
    content = b"\n".join(bytes(chance.choices(b"abc \xc3\xa9\xff\x00\r", k=length)) for length in lengths)
    with LogFile(log_of(tmp_path / "a.log", content)) as log:
        forwards, place = [], 0
        while place < len(content):
            page = log.page_after(place)
            assert page.start == place and len(page.lines) <= MOST_LINES
            forwards += page.lines
            place = page.start + sum(len(line.raw) for line in page.lines)
        assert b"".join(line.raw for line in forwards) == content
        assert max(len(line.raw) for line in forwards) < 2 * LONGEST
        backwards, place = [], len(content)
        while place > 0:
            page = log.page_before(place)
            backwards[:0] = page.lines
            place = page.start
        assert backwards == forwards
        starts = {line.start for line in forwards}
        for _ in range(300):
            page = log.page_after(chance.randrange(len(content)))
            assert page.lines[0] in forwards and {line.start for line in page.lines} <= starts


def test_a_page_is_bounded_whatever_its_lines_are(tmp_path: Path) -> None:
    with LogFile(log_of(tmp_path / "short.log", b"\n" * 100_000)) as log:
        assert len(log.page_after(0).lines) == len(log.page_before(100_000).lines) == MOST_LINES
        assert log.page_after(0).end == MOST_LINES and not log.page_after(0).is_last
    with LogFile(log_of(tmp_path / "long.log", b"x" * 10_000_000 + b"\nend\n")) as log:
        page = log.page_before(10**9)
        assert texts(page)[-1] == "end" and sum(len(line.raw) for line in page.lines) < 1 << 17
        assert sum(len(line.raw) for line in log.page_after(5_000_000).lines) < 1 << 17


def test_two_gigabytes_open_at_their_end_at_once(tmp_path: Path) -> None:
    path = huge_log(tmp_path / "huge.log")
    began = time.perf_counter()
    with LogFile(path) as log:
        page = log.page_before(log.size)
        took = time.perf_counter() - began
        assert texts(page)[-1].endswith("the last line") and len(page.lines) == MOST_LINES
        assert took < 0.1
        assert log.page_after(HUGE // 2).lines[0].raw.count(0) >= LONGEST, "anywhere in it, in pieces"
        assert len(log.last(3_000).lines) == 3_000


# Levels


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-11-21T10:31:06Z INFO    a.mp4: done, 3 ERROR frames", "INFO"),
        ("2026-11-21T10:31:06Z WARNING a.mp4: no sound", "WARNING"),
        ("2026-11-21T10:31:06Z ERROR   a.mp4: damaged", "ERROR"),
        ("2026-11-21 10:31:06,123 CRITICAL out of memory", "ERROR"),
        ("[2026-11-21 10:31:06 +0000] [123] [DEBUG] booting", "DEBUG"),
        ("WARNING:root:careful", "WARNING"),
        ("\x1b[31mERROR\x1b[0m red", "ERROR"),
        ("Traceback (most recent call last):", "ERROR"),
        ("STEP3 │ WARNING a.mp4: short", "WARNING"),
        ("STEP3 │ a.mp4: done", "INFO"),
        ("STEP3 │   File x.py, line 3", None),
        ("  File x.py, line 3", None),
        ("INFORMATION about errors", None),
        ("", None),
    ],
)
def test_a_line_says_its_level(line: str, level: str | None) -> None:
    assert level_of(line.encode()) == level


def test_what_steps_log_has_its_level(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from pathlib import Path; from workflow_scripts.stepkit.logs import open_log\n"
        "open_log(Path(sys.argv[1])); log = logging.getLogger()\n"
        "log.info('began'); log.warning('odd'); log.error('bad\\nworse')\n"
        "try: 1 / 0\nexcept ZeroDivisionError: log.exception('broke')\nlog.info('ended')\n"
    )
    path = tmp_path / "step.log"
    subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True)
    with LogFile(path) as log:
        levels = [line.level for line in log.page_after(0).lines]
        assert levels[:4] == ["INFO", "WARNING", "ERROR", "ERROR"] and levels[-1] == "INFO"
        assert set(levels[4:-1]) == {"ERROR"} and len(levels) >= 9, "a traceback belongs to what was logged with it"
        assert log.page_after(log.page_after(0).lines[6].start).lines[0].level == "ERROR", (
            "also where a page begins in it"
        )
        assert texts(log.page_after(0, "ERROR"))[0].endswith("bad")
        assert len(log.page_before(10**9, "WARNING").lines) == len(levels) - 2


def test_a_filter_looks_through_the_whole_log(tmp_path: Path) -> None:
    def line(number: int) -> str:
        level = "ERROR" if number % 20_000 == 7 else "INFO"
        return f"2026-11-21T10:31:06Z {level:<7} line {number}\n" + ("  more of it\n" if level == "ERROR" else "")

    content = "".join(map(line, range(100_000))).encode()
    expected = [f"line {number}" for number in range(7, 100_000, 20_000)]
    with LogFile(log_of(tmp_path / "a.log", content)) as log:

        def through(
            look: Callable[[int, str], Page], place: int, is_over: Callable[[Page], bool], on: str
        ) -> list[Page]:
            pages = [look(place, "ERROR")]
            while not is_over(pages[-1]):
                pages.append(look(getattr(pages[-1], on), "ERROR"))
            return pages

        forwards = through(log.page_after, 0, lambda page: page.is_last, "end")
        backwards = through(log.page_before, log.size, lambda page: page.start == 0, "start")
        for pages in (forwards, backwards[::-1]):
            lines = [text for page in pages for text in texts(page)]
            assert lines == [
                text for each in expected for text in (f"2026-11-21T10:31:06Z ERROR   {each}", "  more of it")
            ]
            assert all(one.end == other.start for one, other in itertools.pairwise(pages)), "nothing left out"


def test_a_filter_gives_up_in_time_and_says_how_far_it_came(tmp_path: Path) -> None:
    with LogFile(huge_log(tmp_path / "huge.log")) as log:
        began = time.monotonic()
        page = log.page_after(0, "ERROR")
        assert time.monotonic() - began < 2
        assert page.lines == [] and 0 < page.end < log.size and not page.is_last


# Searching


def found(path: Path, text: str, start: int, **how: bool) -> list[Hit]:
    with LogFile(path) as log:
        return [each for each in search(log, words_of(text), start, **how) if isinstance(each, Hit)]


def test_a_search_finds_each_line_once_in_both_directions(tmp_path: Path) -> None:
    path = log_of(tmp_path / "a.log", "Frame frame\nno\nÉTÉ de FRAME <b>\nété\n".encode())
    hits = found(path, "frame", 0)
    assert [hit.line for hit in hits] == [0, 15]
    assert (hits[1].before, hits[1].words, hits[1].after) == ("ÉTÉ de ".encode(), b"FRAME", b" <b>")
    assert [hit.line for hit in found(path, "Été", 0)] == [15, 34]
    assert [hit.line for hit in found(path, "Été", 10**9, backwards=True)] == [34, 15]
    assert [hit.line for hit in found(path, "frame", 15)] == [15] and found(path, "frame", 16)[0].line == 15
    assert [hit.line for hit in found(path, "frame", 15, backwards=True)] == [0]
    assert [hit.line for hit in found(log_of(tmp_path / "b.log", b"one\ntwo"), "two", 7, backwards=True)] == [4], (
        "no newline"
    )
    assert found(path, "frame\\", 0) == found(path, ".rame", 0) == []


def test_a_search_sees_what_stands_across_blocks_and_in_endless_lines(tmp_path: Path) -> None:
    chance = random.Random(7)
    content = bytearray(b"." * 3_000_000)
    places = sorted(
        {*(chance.randrange(len(content) - 6) for _ in range(40)), *((1 << 18) * n - 3 for n in range(1, 9))}
    )
    for place in places:
        content[place : place + 6] = b"needle"
    for newline in (100, 50_000, 1_000_000):
        content[newline] = 10
    path = log_of(tmp_path / "a.log", bytes(content))
    with LogFile(path) as log:
        expected = sorted({log.line_at(place) for place in places if bytes(content[place : place + 6]) == b"needle"})
    assert len(expected) > 30
    assert [hit.line for hit in found(path, "NEEDLE", 0)] == expected
    assert [hit.line for hit in found(path, "NEEDLE", 10**9, backwards=True)] == expected[::-1]


def test_a_search_through_two_gigabytes_takes_seconds_and_little_memory(tmp_path: Path) -> None:
    path = huge_log(tmp_path / "huge.log")
    began, steps = time.monotonic(), 0
    with LogFile(path) as log:
        for each in search(log, words_of("the LAST line"), 0):
            steps += isinstance(each, int)
    assert isinstance(each, int) and steps > 1_000, "whoever listens can give up at any time"
    assert time.monotonic() - began < 30
    assert [hit.line > HUGE for hit in found(path, "the LAST line", HUGE)] == [True]


@pytest.mark.parametrize("text", ["", "x" * 201, "a\nb"])
def test_a_search_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(ServiceError, match="1 to 200"):
        words_of(text)


# Following


class Follower(threading.Thread):
    """Follows a log in a thread, and keeps what came."""

    def __init__(self, path: Path, start: int = 0, least: str = "DEBUG") -> None:
        super().__init__(daemon=True)
        self._pages = follow(path, start, least, patience=0.2)
        self.pages: list[Page] = []
        self.is_done = False

    def run(self) -> None:
        for page in self._pages:
            if page:
                self.pages.append(page)
            if self.is_done:
                return

    @property
    def lines(self) -> list[str]:
        return [line.raw.decode() for page in self.pages for line in page.whole_lines]


@contextmanager
def following(path: Path, start: int = 0, least: str = "DEBUG") -> Iterator[Follower]:
    follower = Follower(path, start, least)
    follower.start()
    try:
        yield follower
    finally:
        follower.is_done = True
        follower.join(5)
    assert not follower.is_alive()


def test_five_thousand_lines_a_second_come_whole_none_lost_none_doubled(tmp_path: Path) -> None:
    path = log_of(tmp_path / "busy.log", b"")
    with following(path) as follower:
        began = time.monotonic()
        write_busily(path, 20_000)
        wrote = time.monotonic() - began
        wait_until(lambda: len(follower.lines) >= 20_000, 5, "the last line")
    written = path.read_text().splitlines(keepends=True)
    assert wrote < 8, "about 5,000 a second"
    assert follower.lines == written and len(written) == 20_000
    assert [line.start for page in follower.pages for line in page.whole_lines][-1] == path.stat().st_size - len(
        written[-1]
    )


def test_a_line_that_is_being_written_is_shown_and_then_whole(tmp_path: Path) -> None:
    path = log_of(tmp_path / "a.log", b"one\n")
    with following(path, 4) as follower, path.open("ab", buffering=0) as stream:
        stream.write(b"tw")
        wait_until(lambda: follower.pages and texts(follower.pages[-1]) == ["tw"], what="the half line")
        assert (follower.pages[-1].start, follower.pages[-1].end) == (4, 4)
        stream.write(b"o\nthree\n")
        wait_until(lambda: follower.lines == ["two\n", "three\n"], what="the whole lines")
        assert follower.pages[-1].start == 4


def test_a_truncated_log_begins_anew_even_when_it_has_grown_again(tmp_path: Path) -> None:
    path = log_of(tmp_path / "a.log", b"old one\nold two\n")
    with following(path) as follower:
        wait_until(lambda: len(follower.lines) == 2, what="the old lines")
        path.write_bytes(b"new\n")
        wait_until(lambda: follower.lines[2:] == ["new\n"], what="a shorter file")
        assert follower.pages[-1].start == 0
        path.write_bytes(b"another with a longer text\n" * 3)
        wait_until(lambda: len(follower.lines) == 6, what="a longer file")
        assert follower.pages[-1].start == 0 and follower.lines[3].startswith("another")
    assert len({page.identity for page in follower.pages}) == 1


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    path = log_of(tmp_path / "a.log", b"one\n")
    with following(path) as follower, path.open("ab", buffering=0) as stream:
        wait_until(lambda: follower.lines == ["one\n"], what="the first line")
        path.rename(tmp_path / "a.log.1")
        stream.write(b"last words\n")
        wait_until(lambda: follower.lines == ["one\n", "last words\n"], what="the end of the old file")
        log_of(path, b"new one\n")
        wait_until(lambda: follower.lines[2:] == ["new one\n"], what="the new file")
        first, last = follower.pages[0], follower.pages[-1]
        assert last.start == 0 and last.identity != first.identity


def test_a_log_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with following(path, 99) as follower:
        log_of(path, b"one\n")
        wait_until(lambda: follower.lines == ["one\n"], what="the first line")
        path.unlink()
        log_of(path, b"two\n")
        wait_until(lambda: follower.lines[1:] == ["two\n"], what="the next file")


def test_who_is_far_behind_goes_on_near_the_end(tmp_path: Path) -> None:
    path = log_of(tmp_path / "a.log", b"first\n")
    with path.open("ab") as stream:
        stream.write(b"something\n" * (MOST_BEHIND // 10 + 10) + b"the end\n")
    with following(path) as follower:
        wait_until(lambda: follower.lines[-1:] == ["the end\n"], what="the end")
    assert 0 < path.stat().st_size - follower.pages[0].start < 1 << 18


def test_following_can_leave_out_what_matters_less(tmp_path: Path) -> None:
    path = log_of(tmp_path / "a.log", b"WARNING one\n")
    with following(path, 0, "WARNING") as follower, path.open("ab", buffering=0) as stream:
        wait_until(lambda: follower.lines == ["WARNING one\n"], what="the first line")
        stream.write(b"INFO two\nERROR three\n  more\n")
        wait_until(lambda: follower.lines[1:] == ["ERROR three\n", "  more\n"], what="the errors")


def test_the_command_line_follows_the_newest_log(tmp_path: Path, places: dict[str, str]) -> None:
    path = log_of(tmp_path / "logs" / "step3" / "a.log", b"one\ntwo\nhalf")
    command = [sys.executable, "-m", "services.cli", "logs", "STEP3", "-n", "2"]
    shown = subprocess.run(command, env=places, capture_output=True, text=True, timeout=60)
    assert shown.stdout == "two\nhalf" and str(path) in shown.stderr.replace("\n", "")
    with subprocess.Popen([*command, "-f"], env=places, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout
        assert child.stdout.readline() == b"two\n"
        with path.open("ab") as stream:
            stream.write(b" line\nlast\n")
        assert [child.stdout.readline(), child.stdout.readline()] == [b"half line\n", b"last\n"]
        child.kill()
