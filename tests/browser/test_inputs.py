"""Choosing inputs in a browser: files and folders uploaded, cut off and gone on with, and folders looked through."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, Server
from tests.conftest import wait_until

MB = 1 << 20
SLOW = 12 * MB
"""Bytes a second: a file of some dozens of megabytes is on its way for seconds."""


def write(path: Path, megabytes: float) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = random.Random(str(path)).randbytes(int(megabytes * MB))
    path.write_bytes(content)
    return content


def slow_down(page: Page, bytes_a_second: int) -> None:
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    limits = {"offline": False, "latency": 2, "downloadThroughput": -1, "uploadThroughput": bytes_a_second}
    network.send("Network.emulateNetworkConditions", limits)


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders on the page, as a person does from a file manager."""
    box = page.locator("#drop-zone").bounding_box()
    assert box
    mouse = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        mouse.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 9, "y": box["y"] + 9, "data": data})


def chips(page: Page) -> Locator:
    return page.locator("#chosen-inputs .chip")


def inputs(page: Page) -> list[Path]:
    """The paths that the form would send."""
    found: list[str] = page.eval_on_selector_all("#chosen-inputs input", "fields => fields.map((each) => each.value)")
    return [Path(each) for each in found]


def until(page: Page, expression: str, seconds: float = 30) -> None:
    """Wait until an expression is true in the page; Playwright's own way to do so needs eval, which pages forbid."""

    def is_true() -> object:
        page.wait_for_timeout(20)  # lets the page's events through
        return page.evaluate(expression)

    wait_until(is_true, seconds, expression)


REMEMBERED = "Object.keys(localStorage).filter((key) => key.startsWith('tus')).length"
"""Uploads that the browser remembers, to go on with."""


def test_files_and_folders_go_up_and_are_inputs(page: Page, rushes: Path) -> None:
    clip = write(rushes / "clip one.mp4", 1)
    first, second = write(rushes / "CARD A" / "day 1" / "a.mp4", 1), write(rushes / "CARD A" / "b.mp4", 0.5)
    (rushes / "CARD A" / ".DS_Store").touch()
    (rushes / "CARD A" / "empty.txt").touch()
    page.goto("/workflow")
    drop(page, rushes / "clip one.mp4", rushes / "CARD A")
    expect(chips(page)).to_have_count(2)
    by_name = {path.name: path for path in inputs(page)}
    assert by_name["clip one.mp4"].read_bytes() == clip
    card = by_name["CARD A"]
    assert sorted(str(path.relative_to(card)) for path in card.rglob("*")) == [
        "b.mp4", "day 1", "day 1/a.mp4", "empty.txt",
    ]  # fmt: skip
    assert ((card / "day 1" / "a.mp4").read_bytes(), (card / "b.mp4").read_bytes()) == (first, second)
    until(page, f"{REMEMBERED} === 0")

    page.set_input_files("#upload-folder", str(rushes / "CARD A"))
    expect(chips(page)).to_have_count(3)
    assert len({*inputs(page)}) == 3, "another drop is another folder"
    page.get_by_role("button", name="Remove clip one.mp4").click()
    expect(chips(page)).to_have_count(2)


def test_a_server_that_is_killed_costs_nothing_that_arrived(page: Page, server: Server, rushes: Path) -> None:
    content = write(rushes / "long.mxf", 80)
    page.goto("/workflow")
    slow_down(page, SLOW)
    page.set_input_files("#upload-files", str(rushes / "long.mxf"))
    until(page, "document.querySelector('.upload progress')?.value > 0.15")
    expect(page.locator(".upload-told")).to_contain_text("MB/s")
    server.end(signal.SIGKILL)
    expect(page.locator(".upload-told")).to_contain_text("no connection")
    kept = next(Path(server.places["UPLOADS_DIR"]).glob(".incoming/*/data")).stat().st_size
    assert kept > 5 * MB
    offsets: list[int] = []
    page.on("request", lambda asked: offsets.append(int(asked.headers.get("upload-offset", -1))))
    server.start()
    expect(chips(page)).to_have_count(1, timeout=3 * PATIENCE)
    assert next(offset for offset in offsets if offset >= 0) == kept
    assert inputs(page)[0].read_bytes() == content


def test_a_page_that_was_closed_goes_on_when_the_folder_is_dropped_again(page: Page, rushes: Path) -> None:
    short, long = write(rushes / "CARD B" / "a.mp4", 1), write(rushes / "CARD B" / "z.mxf", 60)
    page.goto("/workflow")
    slow_down(page, SLOW)
    page.set_input_files("#upload-folder", str(rushes / "CARD B"))
    until(page, "document.querySelector('.upload progress')?.value > 0.3")
    page.on("dialog", lambda asked: asked.accept())  # the browser asks whether to leave
    page.reload()
    expect(page.locator("#uploads-interrupted")).to_contain_text("CARD B")
    bodies: list[int] = []
    page.on("request", lambda asked: bodies.append(int(asked.headers.get("upload-offset", -1))))
    slow_down(page, -1)
    page.set_input_files("#upload-folder", str(rushes / "CARD B"))
    expect(chips(page)).to_have_count(1, timeout=3 * PATIENCE)
    assert 0 not in bodies, "what had arrived was sent again"
    (card,) = inputs(page)
    kept = {path.name: path.read_bytes() for path in card.iterdir()}
    assert kept == {"a.mp4": short, "z.mxf": long}


def test_an_upload_is_cancelled_and_leaves_nothing(page: Page, server: Server, rushes: Path) -> None:
    write(rushes / "CARD C" / "a.mp4", 0.1)
    write(rushes / "CARD C" / "z.mxf", 60)
    page.goto("/workflow")
    slow_down(page, SLOW)
    page.set_input_files("#upload-folder", str(rushes / "CARD C"))
    until(page, "document.querySelector('.upload-told')?.textContent.includes('1 / 2')")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".upload")).to_have_count(0)
    uploads = Path(server.places["UPLOADS_DIR"])
    wait_until(lambda: [path.name for path in uploads.rglob("*")] == [".incoming", "lock"], what="an empty folder")
    until(page, f"{REMEMBERED} === 0")
    assert inputs(page) == []


def test_what_is_refused_says_why_and_may_be_tried_again(page: Page, server: Server, rushes: Path) -> None:
    content = write(rushes / "clip.mp4", 1)
    uploads = Path(server.places["UPLOADS_DIR"])
    uploads.write_text("in the way")
    page.goto("/workflow")
    page.set_input_files("#upload-files", str(rushes / "clip.mp4"))
    expect(page.get_by_role("alert").filter(has_text="UPLOADS_DIR")).to_be_visible()
    uploads.unlink()
    page.get_by_role("button", name="Try again").click()
    expect(chips(page)).to_have_count(1)
    assert inputs(page)[0].read_bytes() == content


def test_folders_are_looked_through_with_the_keyboard(page: Page, rushes: Path) -> None:
    write(rushes / "day 1" / "clip 2.mp4", 0.01)
    write(rushes / "day 1" / "clip 10.mp4", 0.01)
    page.goto("/workflow")
    page.get_by_role("button", name="Browse this machine").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name=f"Open {rushes.parent}", exact=True).press("Enter")
    dialog.get_by_role("button", name="Open rushes").press("Enter")
    expect(dialog.get_by_role("button", name="Open day 1")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Take clip 2.mp4")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Take clip 10.mp4")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert inputs(page) == [rushes / "day 1" / "clip 10.mp4"]
    page.get_by_role("button", name="Remove clip 10.mp4").press("Enter")
    assert inputs(page) == []
