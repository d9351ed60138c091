"""Parts of a page that are kept true: the same templates as at first, rendered once for all who watch, sent when they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from flask_babel import get_locale

from services.workflow_progress import LOOK_SECONDS
from web import sse
from web.panel import panel

LEAST_SECONDS = LOOK_SECONDS
"""Between two looks at what a page shows."""
_HEARTBEAT_SECONDS = 10.0


def shared(name: str, render: Callable[[], str]) -> str:
    """Return a part of a page that is the same for everybody who reads this language; `name` tells parts apart."""
    return panel().rendered.get((name, str(get_locale())), render)


def stream(parts: Callable[[], Mapping[str, str]], further: Callable[[], bytes] = bytes) -> Iterator[bytes]:
    """Yield the parts of a page, by the id of their element, when they are not what was sent last; for `sse.stream`.

    `further` gives other events that a page listens to, `b""` when there are none.
    """
    sent: dict[str, str] = {}
    silent_since = time.monotonic()
    for _changed in chain([()], panel().broadcast.changes(patience=LEAST_SECONDS)):  # the first look is at once
        began = time.monotonic()
        changed = {name: html for name, html in parts().items() if sent.get(name) != html}
        sent.update(changed)
        news = b"".join(sse.event("fragment", {"id": name, "html": html}) for name, html in changed.items()) + further()
        if news:
            silent_since = began
            yield news
        elif began - silent_since > _HEARTBEAT_SECONDS:
            silent_since = began
            yield sse.HEARTBEAT
        if sse.is_closing():
            return
        time.sleep(max(0.0, LEAST_SECONDS - (time.monotonic() - began)))
