"""Debian's Chromium over a panel that really serves: each test has a server, data and a browser of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.conftest import REPOSITORY, missing, wait_until

PATIENCE = 20_000
"""Milliseconds that a page may take for what a test waits for: the machine may be busy."""
PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        missing("Debian's chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@dataclass
class Server:
    """A panel in a process of its own. It can be stopped, killed and started again on the same port and data."""

    places: dict[str, str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    link: str = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            began = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "serve", "--port", str(self.port)], cwd=REPOSITORY,
                env=self.places, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self._answers, 40, f"an answer of the panel ({self.log.read_text()})")
        said = self.log.read_bytes()[began:].decode()
        found = re.search(r"http://\S+(/link/\S+)", said)
        self.link = found[1] if found else ""

    def _answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return "Ctrl-C ends it" in self.log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the server, master and worker, and wait for the end."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)
            self.process.wait(20)


@contextmanager
def serving(places: dict[str, str], folder: Path) -> Iterator[Server]:
    """Serve a panel; what it lets a person look through is below `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    places["UPLOADS_DIR"] = str(folder / "uploads")
    places["BROWSE_ROOTS"] = str(folder)
    made = Server(places, port, folder / "panel.log")
    try:
        made.start()
        yield made
        made.end()
    finally:
        made.end(signal.SIGKILL)


@pytest.fixture
def server(places: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    with serving(places, tmp_path) as made:
        yield made


@dataclass
class Witness:
    """What a page must not do: ask another server, or complain."""

    origin: str
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.strangers.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        # A server that was ended, or that refused what was asked.
        is_of_the_network = any(
            words in message.text for words in ("Failed to load resource", "ERR_", "Response Status Error Code")
        )
        if message.type == "error" and not is_of_the_network:
            self.complaints.append(message.text)


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(chromium: Browser, server: Server) -> Iterator[NewPage]:
    """Open a page in a browser of its own (another person's). At the end: nothing asked elsewhere, nothing complained."""
    contexts: list[BrowserContext] = []
    witness = Witness(server.origin)

    def open_page(**options: object) -> Page:
        chosen = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        context = chromium.new_context(base_url=server.origin, **chosen)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        witness.watch(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not witness.strangers, witness.strangers
    assert not witness.complaints, witness.complaints


@pytest.fixture
def page(new_page: NewPage, server: Server) -> Page:
    """A page of a browser that is signed in."""
    made = new_page()
    sign_in(server, made)
    return made


def sign_in(server: Server, page: Page) -> None:
    """Follow the link that the server's start printed; it works once."""
    page.goto(server.link)
    page.get_by_role("link", name="Not now").click()
    page.wait_for_url("**/")


def eventually(condition: Callable[[], object], seconds: float = 20, what: str = "the condition") -> None:
    """As `wait_until`, for what a page shows: lets the browser work meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.05)
