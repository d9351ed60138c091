"""A Lemonfox of the tests' own on this machine: it speaks the API as documented, and can go wrong in every way.

A reply is what one request meets: `Reply` is written down, `Service` hears the sound and answers by its own ears,
`Closes`, `Silent` and `Endless` are what networks and broken servers do.
"""

from __future__ import annotations

import email
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

KEY = "secret-key-of-the-tests"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = 16_000
LARGEST_UPLOAD = 100_000_000
SAID = {"start": 0.0, "end": 1.0, "text": f"The key is {KEY}", "speaker": "SPEAKER_00"}
GRANULARITIES = {"word", "segment"}

Waveform = npt.NDArray[np.float32]


class Handler(BaseHTTPRequestHandler):
    """One request. The body is read by the reply."""

    protocol_version = "HTTP/1.1"
    known: Lemonfox

    def do_POST(self) -> None:
        replies = self.known.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        self.close_connection = True
        reply.give(self)

    def take(self, size: int | None = None) -> bytes:
        """Read the upload, or only `size` bytes of it, and keep what was asked."""
        body = self.rfile.read(int(self.headers["Content-Length"]) if size is None else size)
        self.known.requests.append(({**self.headers, "path": self.path}, body))
        return body

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Answers(Protocol):
    def give(self, handler: Handler) -> None: ...


@dataclass(frozen=True)
class Reply:
    """What the server says, whatever it was asked; `cut` closes the connection in the middle of the body."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def give(self, handler: Handler) -> None:
        handler.take()
        length = str(len(self.body) + (100 if self.cut else 0))
        handler.head(self.status, {**self.headers, "Content-Length": length})
        handler.wfile.write(self.body)


@dataclass(frozen=True)
class Refuses:
    """Answers before the upload is over, and hangs up."""

    status: int

    def give(self, handler: Handler) -> None:
        handler.take(1000)
        handler.head(self.status, {"Content-Length": "0"})


@dataclass(frozen=True)
class Closes:
    """Hangs up in the middle of the upload."""

    def give(self, handler: Handler) -> None:
        handler.take(1000)


@dataclass(frozen=True)
class Silent:
    """Takes the upload, and says nothing: for `seconds`, then what was said; or for as long as the test lasts."""

    seconds: float | None = None

    def give(self, handler: Handler) -> None:
        handler.take()
        if not handler.known.over.wait(self.seconds):
            said = json.dumps({"segments": [SAID], "text": SAID["text"]}).encode()
            handler.head(200, {"Content-Length": str(len(said))})
            handler.wfile.write(said)


@dataclass(frozen=True)
class Endless:
    """An answer that does not end: `blocks` of a size, one every `every_s` seconds."""

    status: int = 200
    size: int = 1
    blocks: int = 10_000
    every_s: float = 0.0

    def give(self, handler: Handler) -> None:
        handler.take()
        handler.head(self.status, {"Content-Length": str(self.size * self.blocks)})
        for _ in range(self.blocks):
            try:
                handler.wfile.write(b" " * self.size)
            except OSError:
                return
            handler.known.sent += self.size
            if self.every_s and handler.known.over.wait(self.every_s):
                return


@dataclass(frozen=True)
class Upload:
    """A request as the API understands it."""

    fields: dict[str, list[str]]
    filename: str
    media_type: str
    waveform: Waveform

    @property
    def seconds(self) -> float:
        return len(self.waveform) / RATE


@dataclass
class Service:
    """The API as it is documented: refuses what it refuses, and answers what `hear` makes of the sound."""

    hear: Callable[[Upload], dict[str, Any]]
    uploads: list[Upload] = field(default_factory=list)

    def give(self, handler: Handler) -> None:
        body = handler.take()
        status, answer = self._answer(handler, body)
        said = json.dumps(answer).encode()
        handler.head(status, {"Content-Type": "application/json", "Content-Length": str(len(said))})
        handler.wfile.write(said)

    def _answer(self, handler: Handler, body: bytes) -> tuple[int, dict[str, Any]]:
        if handler.path != "/v1/audio/transcriptions":
            return 404, {"error": "no such address"}
        if handler.headers["Authorization"] != f"Bearer {KEY}":
            return 401, {"error": "wrong key"}
        if len(body) > LARGEST_UPLOAD:
            return 413, {"error": "too large"}
        try:
            upload = _parsed(handler.headers["Content-Type"], body)
        except (ValueError, subprocess.CalledProcessError) as error:
            return 400, {"error": str(error)}
        self.uploads.append(upload)
        heard = self.hear(upload)
        text = " ".join(segment["text"] for segment in heard["segments"])
        return 200, {"task": "transcribe", "language": "english", "duration": upload.seconds, "text": text, **heard}


def _parsed(content_type: str, body: bytes) -> Upload:
    """Read a multipart request. Raises ValueError for what the API does not know."""
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, list[str]] = {}
    files = []
    for part in message.get_payload():
        content = part.get_payload(decode=True)
        if part.get_filename() is None:
            name = str(part.get_param("name", header="content-disposition"))
            fields.setdefault(name, []).append(content.decode())
        else:
            files.append((part.get_filename(), part.get_content_type(), content))
    ((filename, media_type, content),) = files
    _check(fields)
    command = [FFMPEG, "-v", "error", "-i", "pipe:0", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "pipe:1"]
    decoded = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True).stdout
    return Upload(fields, filename, media_type, np.frombuffer(decoded, dtype="<f4"))


def _check(fields: dict[str, list[str]]) -> None:
    given = {name: values[0] for name, values in fields.items()}
    known = {"response_format", "language", "prompt", "translate", "speaker_labels", "min_speakers", "max_speakers"}
    if unknown := fields.keys() - known - {"timestamp_granularities[]"}:
        raise ValueError(f"unknown: {unknown}")
    if given.get("response_format") != "verbose_json" or not set(fields["timestamp_granularities[]"]) <= GRANULARITIES:
        raise ValueError("format")
    if any(given.get(name, "true") not in {"true", "false"} for name in ("speaker_labels", "translate")):
        raise ValueError("boolean")
    if not 1 <= int(given.get("min_speakers", 1)) <= int(given.get("max_speakers", 4)) <= 4:
        raise ValueError("speakers")


@dataclass
class Lemonfox:
    """A server: replies in order, the last one again and again; keeps what it was asked."""

    address: str
    replies: list[Answers] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    sent: int = 0


@contextmanager
def serving() -> Iterator[Lemonfox]:
    """Run a server on a free port of this machine."""
    own = type("OwnHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    own.known = known = Lemonfox(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield known
    finally:
        known.over.set()
        server.shutdown()
        server.server_close()
