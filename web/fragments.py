"""Parts of a page that are kept true: the same templates as at first, rendered once for all who watch, sent when they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from flask_babel import get_locale

from services.recent import Recent
from web import sse
from web.panel import panel

LEAST_SECONDS = 0.5
"""Between two looks at what a page shows."""
_HEARTBEAT_SECONDS = 10.0
_rendered = Recent[tuple[str, str], str](LEAST_SECONDS)


def shared(name: str, render: Callable[[], str]) -> str:
    """Return a part of a page that is the same for everybody who reads this language; `name` tells parts apart."""
    return _rendered.get((name, str(get_locale())), render)


def stream(parts: Callable[[], Mapping[str, str]]) -> Iterator[bytes]:
    """Yield the parts of a page, by the id of their element, when they are not what was sent last; for `sse.stream`."""
    sent: dict[str, str] = {}
    silent_since = time.monotonic()
    for _changed in panel().broadcast.changes(patience=LEAST_SECONDS):
        began = time.monotonic()
        changed = {name: html for name, html in parts().items() if sent.get(name) != html}
        sent.update(changed)
        if changed:
            silent_since = began
            yield b"".join(sse.event("fragment", {"id": name, "html": html}) for name, html in changed.items())
        elif began - silent_since > _HEARTBEAT_SECONDS:
            silent_since = began
            yield sse.HEARTBEAT
        if sse.is_closing():
            return
        time.sleep(max(0.0, LEAST_SECONDS - (time.monotonic() - began)))
