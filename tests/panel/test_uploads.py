"""Uploads over HTTP: what the protocol says, asked of the app; and what happens to bytes, asked of a real server."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.settings import Settings
from services.accounts import Accounts
from services.database import open_database
from services.uploads import INCOMING
from tests.conftest import REPOSITORY, wait_until
from tests.panel.conftest import csrf
from web import create_app, uploads
from web.panel import Panel

MB = 1 << 20
BYTES = "application/offset+octet-stream"
Ask = Callable[..., TestResponse]


def told(**pairs: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


@pytest.fixture
def ask(app: Flask, opened: Panel) -> Ask:
    """A program with a token that may run things, speaking tus."""
    token = opened.accounts.create_token("uploader", ["run"])
    program = app.test_client()

    def send(method: str, path: str = "/uploads", body: bytes = b"", **headers: Any) -> TestResponse:
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        carried = {"Tus-Resumable": "1.0.0", "Authorization": f"Bearer {token}", **named}
        if method == "PATCH":
            carried.setdefault("Content-Type", BYTES)
        return program.open(path, method=method, headers=carried, data=body)

    return send


def create(ask: Ask, length: int, **pairs: str) -> str:
    answer = ask("POST", Upload_Length=length, **({"Upload_Metadata": told(**pairs)} if pairs else {}))
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def taken(answer: TestResponse) -> Path:
    """Where a file is that is whole now."""
    return Path(unquote(answer.headers["Derush-Input"]))


def refused(answer: TestResponse) -> str:
    """The code of a refusal, which says what to do in JSON."""
    said = answer.get_json()["error"]
    assert said["message"] and said["remedy"]
    return str(said["code"])


def test_what_the_server_offers_is_said(ask: Ask) -> None:
    for path in ("/uploads", "/uploads/" + "0" * 32):
        answer = ask("OPTIONS", path, Tus_Resumable="0.1")
        assert answer.status_code == 204
        assert answer.headers["Tus-Version"] == "1.0.0"
        extensions = set(answer.headers["Tus-Extension"].split(","))
        assert extensions == {"creation", "creation-with-upload", "expiration", "checksum", "termination"}
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
        assert answer.headers["Tus-Max-Size"] == "500000000000"


def test_a_file_goes_up_piece_by_piece(ask: Ask, panel_settings: Settings, opened: Panel) -> None:
    metadata = told(filename="Été <b>.mp4", batch="drop1", other="")
    made = ask("POST", Upload_Length=11, Upload_Metadata=metadata)
    where = made.headers["Location"]
    assert (made.status_code, made.headers["Upload-Offset"], "Derush-Input" in made.headers) == (201, "0", False)
    assert abs(parsedate_to_datetime(made.headers["Upload-Expires"]).timestamp() - time.time() - 7 * 86_400) < 60

    first = ask("PATCH", where, b"hello ", Upload_Offset=0)
    assert (first.status_code, first.headers["Upload-Offset"], first.data) == (204, "6", b"")
    assert "Upload-Expires" in first.headers

    look = ask("HEAD", where)
    assert look.status_code == 200
    assert {name: look.headers[name] for name in ("Upload-Offset", "Upload-Length", "Cache-Control")} == {
        "Upload-Offset": "6",
        "Upload-Length": "11",
        "Cache-Control": "no-store",
    }
    assert look.headers["Upload-Metadata"] == metadata
    assert look.headers["Tus-Resumable"] == "1.0.0"

    last = ask("PATCH", where, b"world", Upload_Offset=6)
    assert (last.status_code, last.headers["Upload-Offset"], "Upload-Expires" in last.headers) == (204, "11", False)
    assert taken(last) == panel_settings.uploads_dir / "drop1" / "Été <b>.mp4" == taken(ask("HEAD", where))
    assert taken(last).read_bytes() == b"hello world"
    assert [entry.target for entry in opened.accounts.audit_entries() if entry.action == "upload"] == [str(taken(last))]


def test_a_dropped_folder_is_what_a_run_is_given(ask: Ask, panel_settings: Settings) -> None:
    where = create(ask, 1, filename="a.mp4", folder="RUSHES/day 1", batch="drop2")
    assert taken(ask("PATCH", where, b"x", Upload_Offset=0)) == panel_settings.uploads_dir / "drop2" / "RUSHES"


def test_a_file_that_names_no_batch_goes_to_the_folder_of_the_day(ask: Ask, panel_settings: Settings) -> None:
    path = taken(ask("PATCH", create(ask, 1, filename="a.mp4"), b"x", Upload_Offset=0))
    assert time.strptime(path.parent.name, "%Y-%m-%d")
    assert path == panel_settings.uploads_dir / path.parent.name / "a.mp4"


def test_bytes_may_come_with_the_creation(ask: Ask) -> None:
    some = ask("POST", body=b"hel", Upload_Length=5, Content_Type=BYTES)
    assert (some.status_code, some.headers["Upload-Offset"]) == (201, "3")
    rest = ask("PATCH", some.headers["Location"], b"lo", Upload_Offset=3)
    assert taken(rest).read_bytes() == b"hello"
    assert taken(ask("POST", body=b"all", Upload_Length=3, Content_Type=BYTES)).read_bytes() == b"all"
    assert taken(ask("POST", Upload_Length=0)).read_bytes() == b""


def test_a_creation_whose_bytes_are_refused_leaves_nothing(ask: Ask, panel_settings: Settings) -> None:
    answer = ask("POST", body=b"more", Upload_Length=3, Content_Type=BYTES)
    assert (answer.status_code, refused(answer)) == (413, "upload_too_large")
    assert ask("POST", body=b"abc", Upload_Length=3, Content_Type="text/plain").status_code == 415
    assert not list((panel_settings.uploads_dir / INCOMING).glob("*/"))


def test_a_checksum_is_held_to(ask: Ask) -> None:
    where = create(ask, 10)
    right = base64.b64encode(hashlib.sha1(b"hello").digest()).decode()
    answer = ask("PATCH", where, b"hellx", Upload_Offset=0, Upload_Checksum=f"sha1 {right}")
    assert (answer.status_code, refused(answer)) == (460, "wrong_checksum")
    assert ask("HEAD", where).headers["Upload-Offset"] == "0"
    answer = ask("PATCH", where, b"hello", Upload_Offset=0, Upload_Checksum=f"sha1 {right}")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "5")
    for wrong in ("md5 " + right, "sha1", "sha1 !!!", "sha256 " + right, "", "SHA1 " + right):
        answer = ask("PATCH", where, b"hello", Upload_Offset=5, Upload_Checksum=wrong)
        assert (answer.status_code, refused(answer)) == (400, "wrong_header")


@pytest.mark.parametrize(
    "number", ["-1", "+5", " 5 5", "5.0", "0x10", "1_000", "1e3", "５", "", "9" * 19, "NaN", "5,5", "²"]
)
def test_numbers_are_digits_and_nothing_else(ask: Ask, number: str) -> None:
    latin = number.encode().decode("latin-1")
    assert refused(ask("POST", Upload_Length=latin)) == "wrong_header"
    where = create(ask, 10)
    assert refused(ask("PATCH", where, b"x", Upload_Offset=latin)) == "wrong_header"
    assert ask("HEAD", where).headers["Upload-Offset"] == "0"


@pytest.mark.parametrize("offset", [0, 2, 4, 99])
def test_another_offset_is_a_conflict(ask: Ask, offset: int) -> None:
    where = create(ask, 10)
    ask("PATCH", where, b"abc", Upload_Offset=0)
    answer = ask("PATCH", where, b"x", Upload_Offset=offset)
    assert (answer.status_code, refused(answer)) == (409, "wrong_offset")
    assert ask("HEAD", where).headers["Upload-Offset"] == "3"


def test_the_protocol_is_kept(ask: Ask) -> None:
    where = create(ask, 10)
    for method in ("POST", "HEAD", "PATCH", "DELETE"):
        answer = ask(method, "/uploads" if method == "POST" else where, Tus_Resumable="0.2.2", Upload_Length=1)
        assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")
    assert ask("PATCH", where, b"x", Upload_Offset=0, Content_Type="application/octet-stream").status_code == 415
    assert ask("PATCH", where, b"x" * 11, Upload_Offset=0).status_code == 413
    assert ask("POST").status_code == 400
    assert ask("POST", Upload_Defer_Length=1).status_code == 400
    assert ask("POST", Upload_Length=5, Upload_Concat="partial").status_code == 400
    assert ask("GET", where).status_code == 405
    for nowhere in ("/uploads/" + "0" * 32, "/uploads/x", "/uploads/..%2f..%2fetc"):
        answer = ask("HEAD", nowhere)
        assert answer.status_code == 404 and "Upload-Offset" not in answer.headers
        assert ask("PATCH", nowhere, b"x", Upload_Offset=0).status_code == 404


def test_programs_that_know_only_post_are_understood(ask: Ask) -> None:
    where = create(ask, 5)
    done = ask("POST", where, b"hello", Upload_Offset=0, Content_Type=BYTES, X_HTTP_Method_Override="PATCH")
    assert (done.status_code, done.headers["Upload-Offset"]) == (204, "5")
    assert ask("POST", where, X_HTTP_Method_Override="HEAD").headers["Upload-Length"] == "5"
    assert ask("POST", where, X_HTTP_Method_Override="DELETE").status_code == 204
    assert ask("HEAD", where).status_code == 404
    assert ask("POST", where, X_HTTP_Method_Override="GET").status_code == 405


def test_an_upload_is_taken_back_whole_or_not(ask: Ask, panel_settings: Settings) -> None:
    begun = create(ask, 10)
    ask("PATCH", begun, b"abc", Upload_Offset=0)
    whole = create(ask, 1)
    path = taken(ask("PATCH", whole, b"x", Upload_Offset=0))
    for where in (begun, whole):
        assert ask("DELETE", where).status_code == 204
        assert ask("HEAD", where).status_code == 404
        assert ask("DELETE", where).status_code == 404
    assert not path.exists()
    assert not list((panel_settings.uploads_dir / INCOMING).glob("*/"))


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/cron.d/x", "..\\..\\x", "..", ".", "", "\0", "a\0/../b", "x\r\nSet-Cookie: a=b", "~",
     "con", ".incoming", "é" * 400, "<img src=x onerror=alert(1)>.mp4", "\u202e4pm.exe"],
)  # fmt: skip
def test_a_hostile_name_stays_below_the_uploads(ask: Ask, panel_settings: Settings, name: str) -> None:
    answer = ask("PATCH", create(ask, 1, filename=name, batch="b"), b"x", Upload_Offset=0)
    path = taken(answer)
    assert path.parent == panel_settings.uploads_dir / "b"
    assert path.read_bytes() == b"x"
    assert "Set-Cookie" not in answer.headers
    assert not path.name.startswith(".")


@pytest.mark.parametrize(
    "metadata",
    [
        told(folder="../../etc"), told(folder="/etc"), told(folder="a//b"), told(batch="../b"), told(batch=".incoming"),
        "filename !!!", "filename YQ==,filename Yg==", ",", "YQ==,", "filename /w==", "fi\xe9 YQ==", "filename Y Q==",
        told(folder="/".join("abcdefghijklmnopq")),
    ],
)  # fmt: skip
def test_metadata_that_is_not_what_it_should_be_is_refused(ask: Ask, panel_settings: Settings, metadata: str) -> None:
    answer = ask("POST", Upload_Length=1, Upload_Metadata=metadata)
    assert (answer.status_code, refused(answer) in {"wrong_header", "wrong_metadata"}) == (400, True)
    assert not panel_settings.uploads_dir.exists()


def test_an_upload_that_nobody_goes_on_with_expires(ask: Ask, panel_settings: Settings) -> None:
    where = create(ask, 10)
    folder = panel_settings.uploads_dir / INCOMING / where.rpartition("/")[2]
    past = time.time() - 7 * 86_400 - 60
    for path in (folder / "data", folder):
        os.utime(path, (past, past))
    assert ask("HEAD", where).status_code == 410
    answer = ask("PATCH", where, b"x", Upload_Offset=0)
    assert (answer.status_code, refused(answer)) == (410, "upload_expired")
    create(ask, 1)  # looks after what has expired
    assert not folder.exists()
    assert ask("HEAD", where).status_code == 404


@pytest.mark.parametrize(
    ("variables", "status", "code", "remedy"),
    [
        ({"UPLOAD_MAX_GB": "0.001"}, 413, "upload_too_large", "UPLOAD_MAX_GB"),
        ({"DISK_RESERVE_GB": "1000000"}, 507, "disk_full", "DISK_RESERVE_GB"),
    ],
)
def test_what_cannot_be_taken_is_refused_before_a_byte_is_sent(
    panel_settings: Settings, variables: Mapping[str, str], status: int, code: str, remedy: str
) -> None:
    changed = {name.lower(): float(value) for name, value in variables.items()}
    app = create_app(replace(panel_settings, **changed))
    token = app.extensions["derush"].accounts.create_token("t", ["run"])
    answer = app.test_client().post(
        "/uploads",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000001", "Authorization": f"Bearer {token}"},
    )
    assert (answer.status_code, refused(answer)) == (status, code)
    assert remedy in answer.get_json()["error"]["remedy"]


def test_only_those_who_may_run_things_may_upload(app: Flask, opened: Panel, anonymous: FlaskClient) -> None:
    reader = {"Authorization": f"Bearer {opened.accounts.create_token('r', ['read'])}"}
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1"}
    assert anonymous.post("/uploads", headers=tus).status_code == 401
    assert anonymous.patch("/uploads/" + "0" * 32, headers=tus).status_code == 401
    assert anonymous.post("/uploads", headers={**tus, **reader}).status_code == 403


def test_a_browser_needs_its_csrf_token_and_may_send_large_pieces(client: FlaskClient) -> None:
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(4 * MB)}
    assert client.post("/uploads", headers=tus).status_code == 400
    token = {"X-CSRFToken": csrf(client)}
    where = client.post("/uploads", headers={**tus, **token}).headers["Location"]
    piece = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": BYTES}
    assert client.patch(where, headers=piece, data=b"x" * 4 * MB).status_code == 400
    done = client.patch(where, headers={**piece, **token}, data=b"x" * 4 * MB)
    assert done.status_code == 204 and taken(done).stat().st_size == 4 * MB


def test_a_client_that_falls_silent_is_let_go(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SILENCE_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    theirs.sendall(b"x" * 5000)
    with ours, theirs, ours.makefile("rb", buffering=0) as stream:
        environ = {"gunicorn.socket": ours, "wsgi.input": stream, "CONTENT_LENGTH": str(8 * MB)}
        with app.test_request_context("/uploads", method="POST", environ_overrides=environ):
            uploads._take_large_bodies(None, None)
            received = b"".join(uploads._blocks())
        assert received == b"x" * 5000
        assert ours.gettimeout() is None


# From here on: a real server, real connections, real kills.


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]


class Server:
    """`derush serve` in processes of its own, and a client of it."""

    def __init__(self, environment: Mapping[str, str], uploads_dir: Path, data_dir: Path) -> None:
        self.uploads_dir = uploads_dir
        self._environment = environment
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        database = open_database(data_dir, None)
        self._token = Accounts(database).create_token("uploader", ["run"])
        database.close()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "web.server", "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, env=self._environment, start_new_session=True)
        wait_until(self._answers, 40, "an answer of the server")

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def _answers(self) -> bool:
        assert self._process.poll() is None
        try:
            return self.ask("OPTIONS", "/uploads").status == 204
        except OSError:
            return False

    def _headers(self, headers: Mapping[str, Any]) -> dict[str, str]:
        said = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        return {"Tus-Resumable": "1.0.0", "Authorization": f"Bearer {self._token}", "Content-Type": BYTES, **said}

    def ask(self, method: str, path: str, body: Any = None, **headers: Any) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, self._headers(headers))
            answer = connection.getresponse()
            answer.read()
            return Answer(answer.status, dict(answer.getheaders()))
        finally:
            connection.close()

    def create(self, length: int, **pairs: str) -> str:
        answer = self.ask("POST", "/uploads", b"", Upload_Length=length, Upload_Metadata=told(**pairs))
        assert answer.status == 201
        return answer.headers["Location"]

    def begin(self, where: str, offset: int, announced: int, part: bytes) -> socket.socket:
        """Open a PATCH of `announced` bytes and send only `part` of them."""
        headers = self._headers({"Upload-Offset": offset, "Content-Length": announced, "Host": "127.0.0.1"})
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(f"PATCH {where} HTTP/1.1\r\n{head}\r\n".encode() + part)
        return connection

    def offset(self, where: str) -> int:
        return int(self.ask("HEAD", where).headers["Upload-Offset"])

    def on_disk(self, where: str) -> int:
        return (self.uploads_dir / INCOMING / where.rpartition("/")[2] / "data").stat().st_size

    def go_on(self, where: str, content: bytes, piece: int = 8 * MB) -> Path:
        """Send the rest as a client does after an interruption, and return where the file is."""
        deadline = time.monotonic() + 30
        while True:
            offset = self.offset(where)
            answer = self.ask("PATCH", where, content[offset : offset + piece], Upload_Offset=offset)
            if "Derush-Input" in answer.headers:
                return Path(unquote(answer.headers["Derush-Input"]))
            assert answer.status in (204, 409, 423) and time.monotonic() < deadline


@pytest.fixture
def server(places: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    environment = {**places, "UPLOADS_DIR": str(tmp_path / "uploads"), "DISK_RESERVE_GB": "0"}
    started = Server(environment, tmp_path / "uploads", Path(places["DATA_DIR"]))
    yield started
    started.kill()


def random_bytes(length: int) -> bytes:
    return random.Random(7).randbytes(length)


def same(path: Path, content: bytes) -> bool:
    return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_connection_that_breaks_costs_nothing_that_arrived(server: Server, ending: str) -> None:
    content = random_bytes(12 * MB)
    where = server.create(len(content), filename="clip.mp4")
    connection = server.begin(where, 0, len(content), content[: 5 * MB])
    wait_until(lambda: server.on_disk(where) >= 3 * MB, what="three megabytes on the disk")
    if ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert same(server.go_on(where, content), content)


def test_a_killed_server_tells_the_size_on_the_disk_and_goes_on(server: Server) -> None:
    content = random_bytes(24 * MB)
    where = server.create(len(content), filename="clip.mp4")
    with server.begin(where, 0, len(content), content[: 17 * MB]):
        wait_until(lambda: server.on_disk(where) >= 8 * MB, what="eight megabytes on the disk")
        server.kill()
    size = server.on_disk(where)
    assert 8 * MB <= size <= 17 * MB
    server.start()
    assert server.offset(where) == size
    assert same(server.go_on(where, content), content)


def test_two_at_once_do_not_mix(server: Server) -> None:
    content = random_bytes(4 * MB)
    where = server.create(len(content), filename="clip.mp4")
    with server.begin(where, 0, len(content), content[: 2 * MB]) as first:
        wait_until(lambda: server.on_disk(where) >= MB, what="a megabyte on the disk")
        assert server.ask("PATCH", where, b"y" * 100, Upload_Offset=server.offset(where)).status == 423
        assert server.ask("DELETE", where).status == 423
        first.sendall(content[2 * MB :])
        assert first.recv(20).startswith(b"HTTP/1.1 204")
    assert same(server.go_on(where, content), content)


def test_a_large_piece_is_never_held_in_memory(server: Server) -> None:
    def peak() -> int:
        worker = int(Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children").read_text().split()[0])
        line = next(it for it in Path(f"/proc/{worker}/status").read_text().splitlines() if it.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    before = peak()
    length = 256 * MB
    where = server.create(length, filename="large.mxf")
    block = random_bytes(MB)
    answer = server.ask("PATCH", where, (block for _ in range(256)), Upload_Offset=0, Content_Length=length)
    assert answer.status == 204
    path = Path(unquote(answer.headers["Derush-Input"]))
    assert path.stat().st_size == length
    assert peak() - before < 48 * MB


def test_a_body_without_a_length_is_taken_up_to_what_was_announced(server: Server) -> None:
    content = random_bytes(3 * MB)
    where = server.create(len(content), filename="clip.mp4")
    sent = server.ask("PATCH", where, (content[at : at + 1000] for at in range(0, MB, 1000)), Upload_Offset=0)
    assert sent.status == 204
    offset = int(sent.headers["Upload-Offset"])
    assert server.ask("PATCH", where, iter([b"z" * 4 * MB]), Upload_Offset=offset).status == 413
    assert server.offset(where) == offset
    assert same(server.go_on(where, content), content)
