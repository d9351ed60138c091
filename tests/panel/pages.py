"""How the panel's pages are read in tests: as a browser gets them, by what a person sees on them."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable
from html import unescape
from typing import Any

from flask.testing import FlaskClient


def text_of(client: FlaskClient, path: str, status: int = 200, headers: dict[str, str] | None = None) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status, answer.get_data(as_text=True)[:500]
    return answer.get_data(as_text=True)


def words_of(html: str) -> str:
    """What a person reads, more or less: without tags, a blank between words."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def assert_inert(page: str) -> None:
    """Nothing in a page is a script or a style of its own, and nothing is asked of another server."""
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", page)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


def buttons(page: str) -> set[str]:
    """The addresses that the buttons of a page send to."""
    return {unescape(address) for address in re.findall(r'formaction="([^"]+)"', page)}


def matrix_rows(page: str) -> dict[str, list[str]]:
    """What the matrix on a page shows: for each name the letters of its cells."""
    body = page.partition('id="matrix-rows"')[2].partition("</tbody>")[0]
    found = {}
    for row in body.split("<tr")[1:]:
        name = re.search(r"<th[^>]*><a[^>]*>([^<]*)", row)
        assert name
        places = row.split("<td>")[1:]
        found[name[1]] = [(re.search(r'class="cell (\w)"', place) or ["", ""])[1] for place in places]
    return found


class Watching:
    """A page's stream, read by a thread of its own as a server does, since a request and its stream share a context."""

    def __init__(self, client: FlaskClient, path: str) -> None:
        self._said: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client = client.application.test_client()
        cookie = client.get_cookie("derush")
        assert cookie
        self._client.set_cookie("derush", cookie.value)
        self._thread = threading.Thread(target=self._read, args=(path,), daemon=True)
        self._thread.start()

    def _read(self, path: str) -> None:
        with self._client.get(path, buffered=False) as answer:
            for block in answer.response:
                for said in bytes(block).split(b"\n\n"):  # type: ignore[arg-type]
                    if b"event: " in said:
                        name = said.partition(b"event: ")[2].partition(b"\n")[0].decode()
                        self._said.put((name, json.loads(said.partition(b"data: ")[2])))

    def next(self, name: str, fits: Callable[[Any], bool] = lambda said: True) -> Any:
        """Return what the next event of a name that fits carries."""
        deadline = time.monotonic() + 30
        while True:
            found, said = self._said.get(timeout=max(0.01, deadline - time.monotonic()))
            if found == name and fits(said):
                return said

    def part(self, element: str, words: str) -> str:
        """Wait until a part of the page says these words, and return it."""
        return str(self.next("fragment", lambda said: said["id"] == element and words in said["html"])["html"])

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
