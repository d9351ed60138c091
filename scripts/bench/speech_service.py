"""A stand-in for a speech service: speaks Lemonfox's API on this machine, and takes as long as such services do.

It answers after ANSWER_SHARE of the sound's length, without using a core, and says that one person spoke all the time:
nothing is transcribed. Services of the kind state 15 to 30 % (docs/performance.md).
"""

from __future__ import annotations

import email
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av

ANSWER_SHARE = 0.2


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Read the upload, wait, answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seconds = _length(_uploaded(self.headers["Content-Type"], body))
        time.sleep(ANSWER_SHARE * seconds)
        answer = json.dumps(_answer(seconds)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _uploaded(content_type: str, body: bytes) -> bytes:
    """Return the file of a multipart request."""
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode("ascii") + b"\r\n\r\n" + body)
    return next(bytes(part.get_payload(decode=True)) for part in message.walk() if part.get_filename())


def _length(sound: bytes) -> float:
    with av.open(io.BytesIO(sound), mode="r") as container:
        lengths = [frame.samples / frame.sample_rate for frame in container.decode(audio=0)]
    return float(sum(lengths))


def _answer(seconds: float) -> dict[str, object]:
    word = {"word": "speech", "start": 0.0, "end": seconds, "speaker": "SPEAKER_00"}
    segment = {"id": 0, "start": 0.0, "end": seconds, "text": "speech", "speaker": "SPEAKER_00", "words": [word]}
    return {"task": "transcribe", "language": "english", "duration": seconds, "text": "speech", "segments": [segment]}


@contextmanager
def speech_service() -> Iterator[dict[str, str]]:
    """Serve on a port of this machine; gives the settings that make STEP4 use it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"LEMONFOX_API_KEY": "bench", "LEMONFOX_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1"}
    finally:
        server.shutdown()
        server.server_close()
