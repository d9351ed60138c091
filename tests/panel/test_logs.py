"""The pages of the logs, over real files: a stretch, what comes in, what is found; and nothing of what a log says is believed."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from services.log_lines import Line
from tests.conftest import wait_until
from tests.log_files import HUGE, huge_log, write_busily
from tests.panel.conftest import csrf, served
from tests.panel.pages import text_of
from web.logs.lines import to_html
from web.panel import Panel


@pytest.fixture
def logs(opened: Panel) -> Path:
    """The folder of the logs, with one of STEP3."""
    folder = opened.settings.logs_dir
    (folder / "step3").mkdir(parents=True)
    (folder / "step3" / "a.log").write_text("".join(f"2026-11-21T10:31:06Z INFO    line {n}\n" for n in range(2_500)))
    return folder


def stretch(client: FlaskClient, query: str = "", name: str = "step3/a.log") -> dict[str, Any]:
    answer = client.get(f"/log/lines/{name}?{query}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def found(client: FlaskClient, query: str, name: str = "step3/a.log") -> list[dict[str, Any]]:
    answer = client.get(f"/log/search/{name}?{query}")
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]


# Which there are


def test_folders_and_their_newest_logs_are_listed(client: FlaskClient, logs: Path) -> None:
    (logs / "runs").mkdir()
    for number in range(205):
        path = logs / "runs" / f"exec_{number}.log"
        path.write_text("x" * number)
        os.utime(path, (2e9 + number, 2e9 + number))
    listed = text_of(client, "/logs")
    assert listed.index("exec_204.log") < listed.index("exec_197.log") < listed.index("STEP3")
    assert "exec_196.log" not in listed and "All 205 logs" in listed
    assert 'href="/logs/step3/a.log"' in listed and "204\u00a0B" in listed and "2033-05-18" in listed
    folder = text_of(client, "/logs?folder=runs")
    assert folder.count("/logs/runs/exec_") == 200 and "from=200" in folder
    assert text_of(client, "/logs?folder=runs&from=200").count("/logs/runs/exec_") == 5
    assert client.get("/logs/runs").headers["Location"] == "/logs?folder=runs"


def test_no_log_yet_is_said(client: FlaskClient) -> None:
    assert "There is no log yet" in text_of(client, "/logs")
    assert "There is no log here" in text_of(client, "/logs?folder=../..&from=-7")


@pytest.mark.parametrize("kind", ["logs", "log/lines", "log/follow", "log/search", "log/file", "log/folder"])
def test_nothing_outside_the_logs_is_shown(client: FlaskClient, logs: Path, kind: str) -> None:
    (logs.parent / "secret.txt").write_text("secret")
    (logs / "out.log").symlink_to(logs.parent / "secret.txt")
    (logs / "outside").symlink_to(logs.parent)
    os.mkfifo(logs / "pipe.log")
    token = csrf(client)
    names = ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "step3/../../secret.txt", "out.log", "outside/secret.txt",
             "/etc/passwd", "%2fetc%2fpasswd", "a%00b", "x" * 3_000, "pipe.log", "none.log"]  # fmt: skip
    for name in names:
        address = f"/{kind}/{name}?q=secret"
        answer = client.post(address, data={"csrf_token": token}) if kind == "log/folder" else client.get(address)
        assert answer.status_code in {404, 308}, name
        assert b"secret\n" not in answer.data and b"root:" not in answer.data


def test_nobody_reads_a_log_without_signing_in(anonymous: FlaskClient, logs: Path) -> None:
    for address in ("/logs", "/logs/step3/a.log", "/log/lines/step3/a.log", "/log/file/step3/a.log"):
        assert "/login" in anonymous.get(address).headers["Location"]


# A stretch of one


def test_a_log_opens_at_its_end_and_is_read_from_there_without_scripts(client: FlaskClient, logs: Path) -> None:
    shown = text_of(client, "/logs/step3/a.log")
    assert "line 2499<" in shown and "line 100<" not in shown
    before = shown.partition("?before=")[2].partition('"')[0]
    assert f'data-start="{before}"' in shown and "Later lines" not in shown
    earlier = text_of(client, f"/logs/step3/a.log?before={before}")
    assert f'data-end="{before}"' in earlier and "Later lines" in earlier and "Earlier lines" in earlier
    assert "line 0<" in text_of(client, "/logs/step3/a.log?after=0")
    assert 'data-live="/log/follow/step3/a.log?from=' in shown


def test_a_place_is_an_offset_and_is_the_same_for_ever(client: FlaskClient, logs: Path) -> None:
    offset = (logs / "step3" / "a.log").read_text().index("2026-11-21T10:31:06Z INFO    line 1234\n")
    around = stretch(client, f"at={offset + 5}")
    assert f'id="b={offset}">2026-11-21T10:31:06Z INFO    line 1234</div>' in around["html"]
    assert around["start"] < offset < around["end"]
    assert stretch(client, f"after={offset}")["start"] == stretch(client, f"before={offset}")["end"] == offset
    end = stretch(client)
    assert end["is_last"] and end["end"] == end["size"] == (logs / "step3" / "a.log").stat().st_size
    for odd in ("at=" + "9" * 5_000, "at=x", "before=-3", "after=1e9", "level=<b>", f"after={10**30}"):
        assert stretch(client, odd)["size"] == end["size"]


def test_levels_can_be_left_out(client: FlaskClient, logs: Path) -> None:
    with (logs / "step3" / "a.log").open("a") as stream:
        stream.write("2026-11-21T10:31:06Z ERROR   bad\n  more\n2026-11-21T10:31:06Z INFO    good\n")
    shown = text_of(client, "/logs/step3/a.log?level=ERROR")
    assert shown.count('class="line error"') == 2 and 'class="line info"' not in shown
    assert "level=ERROR" in shown.partition("data-live=")[2][:100]
    assert [hit["b"] for hit in found(client, "q=line+1&level=ERROR") if "b" in hit] == []
    assert len([hit for hit in found(client, "q=more&level=ERROR") if "b" in hit]) == 1


@pytest.mark.parametrize(
    ("raw", "html"),
    [
        ("<script>alert('1')</script> & \"x\"", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &#34;x&#34;"),
        ("a\x1b[31mred <b>\x1b[0m z", 'a<span class="fg-1">red &lt;b&gt;</span> z'),
        ("\x1b[1;38;5;208;44mx\x1b[22;39;49my", '<span class="bold fg-9 bg-4">x</span>y'),
        ("\x1b[38;2;0;0;200mx", '<span class="fg-4">x</span>'),
        ("\x1b[7;4mx", '<span class="underline reverse">x</span>'),
        ("\x1b[8mhidden\x1b[5mblinks", "hiddenblinks"),
        ("a\x1b[2Jb\x1b[10;10Hc\x1b[?25ld\x1b(Be\x1bcf", "abcdef"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\c\x1bPq\x1b\\d", "ablinkcd"),
        ("a\x1b]0;never ended", "a0;never ended"),
        ("a\x00\x07\x08\x7f\x9bb\tc", "ab\tc"),
        ("10%\r20%\r\n", "10%\n20%"),
        ("\x1b[" + "9" * 5_000 + "mx", "x"),
        ("\x1b[38mx\x1b[38;5mx\x1b[;;mx\x1b", "xxx"),
        ("", ""),
    ],
)
def test_a_line_is_text_and_colours_and_nothing_else(raw: str, html: str) -> None:
    assert to_html([Line(7, raw.encode(), "INFO")]) == f'<div class="line info" id="b=7">{html}</div>'


def test_what_is_no_utf8_is_shown_as_such() -> None:
    assert to_html([Line(0, b"caf\xe9 \xff\n", "ERROR")]) == '<div class="line error" id="b=0">caf� �</div>'


def test_two_gigabytes_open_at_their_end_in_a_moment(client: FlaskClient, logs: Path) -> None:
    huge_log(logs / "step3" / "huge.log")
    text_of(client, "/logs/step3/a.log")  # templates are read once
    took = []
    for address in ("/logs/step3/huge.log", "/log/lines/step3/huge.log?at=1000000000", "/log/lines/step3/huge.log"):
        began = time.perf_counter()
        shown = text_of(client, address)
        took.append(time.perf_counter() - began)
        assert len(shown) < 300_000
    assert "the last line" in shown and min(took) < 0.1 and took[0] < 0.5


# What comes in


@pytest.fixture
def server(app: Flask) -> Iterator[int]:
    """The panel behind a real socket; gives its port."""
    with served(app) as port:
        yield port


@contextmanager
def asked(client: FlaskClient, port: int, address: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """Ask the server as the client's browser would; the connection is closed at the end, whatever is still to come."""
    cookie = client.get_cookie("derush", f"127.0.0.1:{port}") or client.get_cookie("derush")
    assert cookie
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", address, headers={"Cookie": f"derush={cookie.value}", **headers})
    answer = connection.getresponse()
    assert answer.status == 200
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


class Listener(threading.Thread):
    """A browser that listens to a log, and keeps the events."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        super().__init__(daemon=True)
        assert answer.getheader("Content-Type", "").startswith("text/event-stream")
        self._answer = answer
        self.events: list[dict[str, Any]] = []
        self.ids: list[int] = []
        self.is_done = False

    def run(self) -> None:
        while not self.is_done:
            line = self._answer.readline().decode()
            if line.startswith("id: "):
                self.ids.append(int(line[4:]))
            elif line.startswith("data: "):
                self.events.append(json.loads(line[6:]))

    @property
    def html(self) -> str:
        return "".join(event["html"] for event in self.events)


@contextmanager
def listening(client: FlaskClient, port: int, address: str, **headers: str) -> Iterator[Listener]:
    with asked(client, port, address, **headers) as answer:
        listener = Listener(answer)
        listener.start()
        try:
            yield listener
        finally:
            listener.is_done = True
            listener.join(5)  # a sign of life comes every second
        assert not listener.is_alive()


def shown_lines(events: Sequence[dict[str, Any]]) -> dict[int, str]:
    """What a page shows after events: each takes the place of what was there from its start on."""
    lines: dict[int, str] = {}
    for event in events:
        for start in [start for start in lines if start >= event["start"]]:
            del lines[start]
        for part in event["html"].split("</div>")[:-1]:
            start, _bracket, text = part.partition('id="b=')[2].partition('">')
            assert int(start) not in lines, "no line twice"
            lines[int(start)] = text
    return lines


def test_five_thousand_lines_a_second_reach_the_page(client: FlaskClient, server: int, logs: Path) -> None:
    path = logs / "step3" / "busy.log"
    path.write_bytes(b"")
    with listening(client, server, "/log/follow/step3/busy.log?from=0") as listener:
        write_busily(path, 15_000)
        wait_until(lambda: listener.ids[-1:] == [path.stat().st_size], 5, "the last line")
    assert "".join(f"{line}\n" for line in shown_lines(listener.events).values()) == path.read_text()
    assert len(listener.events) < 300, "in batches"
    assert not any(event["anew"] for event in listener.events)


def test_a_page_that_comes_back_goes_on_where_it_was(client: FlaskClient, server: int, logs: Path) -> None:
    path = logs / "step3" / "a.log"
    size = path.stat().st_size
    with path.open("a") as stream:
        stream.write("while away\n")
    for address, headers in (
        (f"/log/follow/step3/a.log?from=0&after={size}", {}),
        ("/log/follow/step3/a.log?from=0", {"Last-Event-ID": str(size)}),
    ):
        with listening(client, server, address, **headers) as listener:
            wait_until(lambda: listener.events, what="what was written while it was away")
        assert shown_lines(listener.events) == {size: "while away"}


def test_a_page_is_told_that_the_log_is_another_one(client: FlaskClient, server: int, logs: Path) -> None:
    path = logs / "step3" / "a.log"
    with listening(client, server, f"/log/follow/step3/a.log?from={path.stat().st_size}") as listener:
        path.rename(logs / "step3" / "a.log.1")
        path.write_text("new\n")
        wait_until(lambda: "new<" in listener.html, what="the new log")
        assert (listener.events[-1]["start"], listener.events[-1]["anew"]) == (0, True)
        path.write_text("emptied\n")
        wait_until(lambda: "emptied<" in listener.html, what="the log that was emptied")
        assert listener.events[-1]["anew"]
        with path.open("a") as stream:
            stream.write("goes on\n")
        wait_until(lambda: "goes on<" in listener.html, what="what comes after")
        assert not listener.events[-1]["anew"]
    with listening(client, server, "/log/follow/step3/a.log?from=100000") as listener:
        wait_until(lambda: listener.events, what="the log that was shorter than thought")
        assert listener.events[0]["anew"] and listener.events[0]["start"] == 0


# What is found


def test_a_search_goes_through_the_whole_log(client: FlaskClient, logs: Path) -> None:
    text = (logs / "step3" / "a.log").read_text()
    *hits, end = found(client, "q=LINE+77")
    assert [hit["b"] for hit in hits if "b" in hit] == sorted(
        (text.rindex("\n", 0, text.index(f"line {n}\n")) + 1 for n in (77, *range(770, 780))), reverse=True
    )
    assert end == {"said": "11 lines found", "next": None}
    assert hits[0]["html"] == "2026-11-21T10:31:06Z INFO    <mark>line 77</mark>9"


def test_a_search_goes_earlier_and_later_from_a_line(client: FlaskClient, logs: Path) -> None:
    first, second = (hit["b"] for hit in found(client, "q=line+77&most=2") if "b" in hit)
    assert first > second
    step = "q=line+77&most=1&from={}&way={}"
    assert found(client, step.format(first, "earlier"))[0]["b"] == second
    assert found(client, step.format(second, "later"))[0]["b"] == first
    assert found(client, step.format(first, "later")) == [{"said": "0 lines found", "next": None}]
    following = found(client, "q=line+77&most=2")[-1]["next"]
    assert len([hit for hit in found(client, f"q=line+77&from={following}") if "b" in hit]) == 9


def test_what_is_found_is_text(client: FlaskClient, logs: Path) -> None:
    (logs / "step3" / "a.log").write_bytes(b"\xff<img src=x> \x1b[31m<B>word</B>\x1b[0m\xc3")
    hit = found(client, "q=%3Cb%3EWORD")[0]
    assert hit["html"] == "&lt;img src=x&gt; <mark>&lt;B&gt;word</mark>&lt;/B&gt;"
    shown = text_of(client, "/logs/step3/a.log?q=%3Cb%3Eword")
    assert "<mark>&lt;B&gt;word</mark>" in shown and 'href="/logs/step3/a.log?at=0#b=0"' in shown
    assert "<b>" not in shown.lower() and "1 line found" in shown


def test_a_search_for_nothing_says_what_to_do(client: FlaskClient, logs: Path) -> None:
    for words in ("", "x" * 201):
        answer = client.get(f"/log/search/step3/a.log?q={words}", headers={"Accept": "application/json"})
        assert answer.status_code == 400 and answer.get_json()["error"]["code"] == "bad_search"


def open_files(path: Path) -> int:
    return sum(os.path.realpath(link) == str(path.resolve()) for link in Path("/proc/self/fd").iterdir())


def test_a_search_ends_when_nobody_waits_for_it(client: FlaskClient, server: int, logs: Path) -> None:
    path = logs / "step3" / "huge.log"
    path.write_bytes(b"")
    os.truncate(path, HUGE * 20)  # a minute, if it were not ended
    with asked(client, server, "/log/search/step3/huge.log?q=nothing") as answer:
        assert b"looking at" in answer.readline() and open_files(path) == 1
    wait_until(lambda: open_files(path) == 0, 10, "the end of the search")


# The file itself


def test_a_log_is_downloaded_whole_or_in_part(client: FlaskClient, logs: Path) -> None:
    content = (logs / "step3" / "a.log").read_bytes()
    whole = client.get("/log/file/step3/a.log", headers={"Accept-Encoding": "gzip"})
    assert whole.data == content and "attachment; filename=a.log" in whole.headers["Content-Disposition"]
    assert whole.mimetype == "text/plain"
    part = client.get("/log/file/step3/a.log", headers={"Range": "bytes=-20"})
    assert (part.status_code, part.data) == (206, content[-20:])
    assert client.get("/log/file/step3").status_code == 404


def test_the_folder_is_opened_where_the_person_sits(
    client: FlaskClient, opened: Panel, logs: Path, opener: Path
) -> None:
    form = {"csrf_token": csrf(client)}
    assert client.post("/log/folder/step3/a.log").status_code == 400, "a CSRF token is asked for"
    answer = client.post("/log/folder/step3/a.log", data=form, headers={"HX-Request": "1"})
    assert "is open on this machine" in answer.get_data(as_text=True)
    assert opener.read_text() == str(logs / "step3")
    assert client.post("/log/folder/step3/a.log", data=form).headers["Location"] == "/logs/step3/a.log"
    assert "open folder" in {record.action for record in opened.accounts.audit_entries()}


def test_a_folder_that_cannot_be_opened_has_a_path_to_copy(
    client: FlaskClient, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    form, elsewhere = {"csrf_token": csrf(client)}, {"REMOTE_ADDR": "192.0.2.7"}
    shown = client.get("/logs/step3/a.log").get_data(as_text=True)
    assert f'value="{logs}/step3/a.log"' in shown and "Open the folder" in shown
    assert "Open the folder" not in client.get("/logs/step3/a.log", environ_overrides=elsewhere).get_data(as_text=True)
    for overrides in ({}, elsewhere):
        answer = client.post("/log/folder/step3/a.log", data=form, environ_overrides=overrides)
        assert answer.status_code == 409 and str(logs / "step3") in answer.get_data(as_text=True)


def test_scripts_that_others_import_are_not_kept_by_the_browser(client: FlaskClient, logs: Path) -> None:
    assert client.get("/static/logs_window.js").headers["Cache-Control"] == "no-cache"
    address = text_of(client, "/logs/step3/a.log").partition('src="/static/logs.js')[2].partition('"')[0]
    assert "max-age" in client.get(f"/static/logs.js{address}").headers["Cache-Control"]
