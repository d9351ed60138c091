"""The sample rushes, taken through the real steps from the browser."""

from __future__ import annotations

import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from services.database import open_database
from services.executions import Execution, Store
from tests.browser.conftest import NewPage, Server, eventually
from tests.conftest import REPOSITORY, wait_until
from tests.integration.processes import signal_all

WHOLE_RUN, TWO_STEPS = 240_000, 60_000
"""Milliseconds that all seven steps, or the first two, may take on a busy machine."""


@pytest.fixture
def places(places: dict[str, str]) -> Iterator[dict[str, str]]:
    yield places
    marker = f"DATA_DIR={places['DATA_DIR']}\0".encode()
    signal_all((int(path.parent.name) for path in _environments() if marker in _content(path)), signal.SIGKILL)


def _environments() -> Iterator[Path]:
    return (path for path in Path("/proc").glob("[0-9]*/environ") if int(path.parent.name) != os.getpid())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone, or another person's
        return b""


@pytest.fixture
def store(places: dict[str, str]) -> Store:
    return Store(open_database(Path(places["DATA_DIR"]), None))


def done_tasks(page: Page) -> int:
    shown = page.locator(".step-figures > .num, .run-step-figures > .num").all_inner_texts()
    return sum(int(text.partition("/")[0]) for text in shown)


def is_at_work(store: Store, run: Execution, step_id: str) -> bool:
    return any(task.step == step_id for task in store.tasks(run.id, status=("running",)))


def test_the_demo_from_its_button_to_what_it_made(page: Page, new_page: NewPage, server: Server, store: Store) -> None:
    page.goto("/workflow")
    page.get_by_role("button", name="Start the demo").dblclick()
    page.wait_for_url("**/workflow?run=*")
    page.evaluate("() => { window.marked = true }")
    (run,) = store.runs(limit=10)
    expect(page.get_by_role("button", name="Start the demo")).to_be_disabled()
    expect(page.locator("#busy")).to_contain_text("One run is at work at a time")
    before = done_tasks(page)
    eventually(lambda: done_tasks(page) > before, 60, "more done than at first")
    hand = page.get_by_label("At work now")
    expect(hand).to_contain_text(".mp4", timeout=WHOLE_RUN)
    expect(hand).to_contain_text("STEP", timeout=WHOLE_RUN)

    wait_until(lambda: is_at_work(store, run, "STEP3"), 120, "STEP3 at work")
    server.end(signal.SIGKILL)
    expect(page.locator("#connection")).to_be_visible()
    server.start()
    expect(page.locator("#connection")).to_be_hidden()
    late = new_page(storage_state=page.context.storage_state())
    late.goto("/")
    expect(late.locator("#now .board")).to_contain_text(run.id)
    expect(page.locator("#run .summary .badge")).to_have_text("done", timeout=WHOLE_RUN)
    assert page.evaluate("() => window.marked === true"), "the page was loaded anew"
    expect(late.get_by_text("Nothing runs.")).to_be_visible()
    assert len(store.runs(limit=10)) == 1

    late.locator("#projects").get_by_role("link").first.click()
    expect(late.locator("main")).to_contain_text("interview")
    page.goto(f"/executions/{run.id}/files")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download interview_scenes.json").first.click()
    assert Path(download.value.path()).stat().st_size > 100
    page.get_by_role("link", name="interview.mp4", exact=True).first.click()
    video = page.locator("video")
    eventually(lambda: video.evaluate("each => each.readyState") >= 1, what="the proxy's picture")
    assert video.evaluate("each => each.videoWidth") > 0


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """A good clip, and one of which only the first thousand bytes arrived."""
    folder = tmp_path / "rushes of tuesday"
    folder.mkdir()
    with zipfile.ZipFile(REPOSITORY / "samples" / "demo_rushes.zip") as archive:
        files = [each for each in archive.infolist() if each.filename.endswith(".mp4")]
        clips = sorted(files, key=lambda each: each.file_size)
        for name, info in zip(("good.mp4", "cut off.mp4"), clips[:2], strict=True):
            (folder / name).write_bytes(archive.read(info))
    cut_off = folder / "cut off.mp4"
    cut_off.write_bytes(cut_off.read_bytes()[:1000])
    return folder


def test_a_damaged_clip_is_told_and_retried(page: Page, delivery: Path, store: Store) -> None:
    page.goto("/workflow")
    page.get_by_text("Type paths on the server").click()
    page.get_by_label("One folder, archive or video a line").fill(str(delivery))
    page.get_by_label("Leave out files smaller than").fill("0")
    for number in range(3, 8):
        page.get_by_role("checkbox", name=f"STEP{number}").uncheck()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/workflow?run=*")
    expect(page.locator("#run .summary .badge")).to_have_text("failed", timeout=TWO_STEPS)
    expect(page.locator("#run .waiting")).to_contain_text("cut off.mp4")
    page.get_by_role("link", name="Retry or accept them").click()

    failure = page.locator("#run-errors .failure")
    expect(failure).to_have_count(1)
    expect(failure.get_by_role("heading")).to_contain_text("cut off.mp4")
    assert len(failure.locator(".remedy").inner_text()) > 20, "no remedy"
    (run,) = store.runs(limit=10)
    failure.get_by_role("button", name="Retry").click()
    expect(page.locator("#messages")).to_contain_text("taken up again")
    expect(page.locator("#run-head")).to_contain_text("1 failed task tried again", timeout=TWO_STEPS)
    expect(page.locator("#run-head .badge")).to_have_text("failed", timeout=TWO_STEPS)
    attempts = [part.status for part in store.parts(run.id) if "cut off" in part.subject and part.stage == "step2"]
    assert attempts == ["failed", "failed"]
