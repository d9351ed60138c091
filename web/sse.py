"""Server-sent events: how they are written, and a response that streams them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, stream_with_context

from web.panel import panel

HEARTBEAT = b": still here\n\n"
"""A comment: a browser passes over it, and the server notices when nobody is there any more."""
_HEARTBEAT_SECONDS = 10.0
_alive: list[Callable[[], bool]] = []


def event(name: str, data: Any, event_id: int | None = None) -> bytes:
    """Write one event. `data` is sent as JSON on one line."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def stream(events: Iterator[bytes]) -> Response:
    """Answer with events until they end, the server closes or the browser goes away; `b""` stands for none just now."""
    response = Response(stream_with_context(_until_closing(events)), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy in front must not collect them
    return response


def _until_closing(events: Iterator[bytes]) -> Iterator[bytes]:
    yield b"retry: 1000\n\n"
    silent_since = time.monotonic()
    for block in events:
        if is_closing():
            return
        panel().orphans.look()  # a page may stay open for days
        now = time.monotonic()
        if block or now - silent_since > _HEARTBEAT_SECONDS:
            silent_since = now
            yield block or HEARTBEAT


def last_event_id(header: str | None, default: int = 0) -> int:
    """Read the `Last-Event-ID` of a browser that comes back; anything that is no such id counts as `default`."""
    text = (header or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else default


def is_closing() -> bool:
    """Tell whether the server is about to end: streams end by themselves then, and browsers come back to the next."""
    return any(not alive() for alive in _alive)


def close_when_not(alive: Callable[[], bool]) -> None:
    """Let streams end when `alive` says no."""
    _alive.append(alive)
