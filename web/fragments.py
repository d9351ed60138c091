"""Parts of a page that are kept true: the same templates as at first, rendered once for all who watch, sent when they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from flask_babel import get_locale

from services.workflow_progress import LOOK_SECONDS
from web import sse
from web.panel import panel


def shared(name: str, render: Callable[[], str], seconds: float = LOOK_SECONDS) -> str:
    """Return a part of a page that is the same for everybody who reads this language; `name` tells parts apart.

    It is at most `seconds` old.
    """
    return panel().rendered.get((name, str(get_locale())), render, seconds)


def stream(parts: Callable[[], Mapping[str, str]], further: Callable[[], bytes] = bytes) -> Iterator[bytes]:
    """Yield the parts of a page, by the id of their element, that are not what was sent last, or `b""`; for `sse.stream`.

    `further` gives other events that a page listens to, `b""` when there are none.
    """
    sent: dict[str, str] = {}
    for _changed in chain([()], panel().broadcast.changes(patience=LOOK_SECONDS)):  # the first look is at once
        began = time.monotonic()
        changed = {name: html for name, html in parts().items() if sent.get(name) != html}
        sent.update(changed)
        yield b"".join(sse.event("fragment", {"id": name, "html": html}) for name, html in changed.items()) + further()
        time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))
