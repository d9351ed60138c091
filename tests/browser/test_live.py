"""What pages show of a run while it goes on, and what they ask of it: seven steps that take moments, all else real."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE, NewPage, Server, eventually
from tests.conftest import wait_until
from tests.integration.miniature import Miniature, make_miniature
from tests.integration.processes import signal_all

TASK_SECONDS = 0.4
LONG_ENOUGH = 60_000
"""Milliseconds that a whole run of the miniature may take."""


@pytest.fixture
def places(places: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """What the server starts runs the miniature's steps."""
    return {**make_miniature(tmp_path, places).variables, "FAKE_SECONDS": str(TASK_SECONDS)}


@pytest.fixture
def miniature(places: dict[str, str], tmp_path: Path) -> Iterator[Miniature]:
    made = Miniature(tmp_path, places)
    yield made
    if made.status() == "running":  # a test that failed half-way
        made.derush("cancel", made.newest())
    signal_all(made.processes(), signal.SIGKILL)


def start_run(page: Page, *inputs: Path) -> None:
    """Start a run from the form, as a person who types the paths."""
    page.goto("/workflow")
    page.get_by_text("Type paths on the server").click()
    page.get_by_label("One folder, archive or video a line").fill("\n".join(map(str, inputs)))
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/workflow?run=*")


def open_run(page: Page, miniature: Miniature) -> None:
    page.goto(f"/executions/{miniature.newest()}")


def done_tasks(page: Page) -> int:
    """How many tasks are done, as the page says: `3 / 8` a step."""
    shown = page.locator(".step-figures > .num, .run-step-figures > .num").all_inner_texts()
    return sum(int(text.partition("/")[0]) for text in shown)


def mark(page: Page) -> None:
    """Leave something that a reload would lose."""
    page.evaluate("() => { window.marked = true }")


def is_marked(page: Page) -> bool:
    return bool(page.evaluate("() => window.marked === true"))


def badge(page: Page) -> Locator:
    """The state of the run that a page of a run shows."""
    return page.locator("#run-head .badge")


def step(page: Page, step_id: str) -> Locator:
    return page.locator("#run-steps .run-step").filter(has=page.locator("strong", has_text=re.compile(f"^{step_id}$")))


def test_every_page_shows_how_a_run_goes_and_so_does_one_opened_late(
    page: Page, new_page: NewPage, miniature: Miniature
) -> None:
    start_run(page, miniature.archive("rushes", *"abcdefgh"))
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    expect(page.locator("#busy")).to_contain_text("One run is at work at a time")
    state = page.context.storage_state()
    home, run = new_page(storage_state=state), new_page(storage_state=state)
    home.goto("/")
    open_run(run, miniature)
    watched = [page, home, run]
    for each in watched:
        mark(each)
        expect(each.locator(".step-file .file, .run-step-file .file").first).to_be_visible()  # the file at hand
    seen = [done_tasks(each) for each in watched]
    for each, before in zip(watched, seen, strict=True):
        eventually(lambda each=each, before=before: done_tasks(each) > before, what=f"more done on {each.url}")  # type: ignore[misc]

    late = new_page(storage_state=state)
    late.goto("/workflow")
    assert done_tasks(late) >= max(seen)
    expect(late.get_by_role("button", name="Start the demo")).to_be_disabled()
    expect(badge(run)).to_have_text("done", timeout=LONG_ENOUGH)
    for each in (page, late):
        expect(each.locator("#run .summary .badge")).to_have_text("done")
        expect(each.locator("#run .counts div", has_text="tasks done").locator("dd")).to_have_text("42")
        expect(each.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    expect(home.get_by_text("Nothing runs.")).to_be_visible()
    expect(home.get_by_role("table").get_by_role("link", name="rushes")).to_be_visible()
    assert all(is_marked(each) for each in watched), "a page was loaded anew"


def test_a_run_from_the_shell_shows_without_a_reload(page: Page, miniature: Miniature) -> None:
    page.goto("/")
    expect(page.get_by_text("Nothing runs.")).to_be_visible()
    mark(page)
    assert miniature.derush("run", str(miniature.archive("rushes", "a", "slow-STEP3-b")), "--detach").returncode == 0
    expect(page.locator("#now .board")).to_be_visible()
    expect(
        page.locator("#now .step").filter(has=page.locator("h3", has_text=re.compile("^STEP3"))).locator(".file")
    ).to_have_text("slow-STEP3-b.mp4")
    assert is_marked(page)
    assert miniature.derush("cancel", miniature.newest()).returncode == 0
    expect(page.get_by_text("Nothing runs.")).to_be_visible()
    expect(page.locator("#last")).to_contain_text("cancelled")


def test_pause_and_go_on(page: Page, miniature: Miniature) -> None:
    start_run(page, miniature.archive("rushes", *"abcdef"))
    miniature.wait_for_begin("STEP2")
    open_run(page, miniature)
    page.get_by_role("button", name="Pause").click()
    expect(badge(page)).to_have_text("paused")
    expect(page.locator("#run-head")).to_contain_text("nothing new is started")
    wait_until(lambda: all(statuses[-1] != "running" for statuses in miniature.tasks().values()), 20, "the last task")
    begun = miniature.counts()
    page.reload()
    expect(badge(page)).to_have_text("paused")
    assert miniature.counts() == begun
    page.get_by_role("button", name="Resume").click()
    expect(badge(page)).to_have_text("done", timeout=LONG_ENOUGH)
    assert done_tasks(page) == 1 + 6 * 5 + 1 + 1


def test_one_video_is_cancelled_then_the_run(page: Page, miniature: Miniature) -> None:
    start_run(page, miniature.archive("rushes", "a", "slow-STEP3-b", "slow-STEP4-c"))
    open_run(page, miniature)
    step(page, "STEP3").get_by_role("link", name="slow-STEP3-b.mp4").click()
    part = page.locator("#part")
    expect(part.locator(".badge").first).to_have_text("running")
    part.get_by_role("button", name="Cancel").click()
    expect(part.locator(".badge").first).to_have_text("cancelled")
    wait_until(lambda: "slow-STEP3-b" not in " ".join(map(str, miniature.processes())), 5)
    expect(part.get_by_role("button", name="Retry")).to_be_visible()

    expect(step(page, "STEP4").locator(".file")).to_have_text("slow-STEP4-c.mp4")
    wait_until(lambda: miniature.tasks().get("STEP3 a") == ["succeeded"], 20, "the end of the other video's STEP3")
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(badge(page)).to_have_text("cancelled")
    wait_until(lambda: not miniature.processes(), 20, "the end of what was at work")
    assert miniature.tasks()["STEP3 slow-STEP3-b"] == ["cancelled"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "killed"])
def test_a_run_outlives_the_server_and_the_page_finds_back(
    number: signal.Signals, page: Page, server: Server, miniature: Miniature
) -> None:
    start_run(page, miniature.archive("rushes", *"abcd"))
    open_run(page, miniature)
    mark(page)
    miniature.wait_for_begin("STEP2")
    server.end(number)
    expect(page.locator("#connection")).to_be_visible()
    begun = sum(miniature.counts().values())
    wait_until(lambda: sum(miniature.counts().values()) > begun, 20, "work without a server")
    server.start()
    expect(page.locator("#connection")).to_be_hidden(timeout=LONG_ENOUGH)
    expect(badge(page)).to_have_text("done", timeout=LONG_ENOUGH)
    assert done_tasks(page) == 1 + 4 * 5 + 1 + 1
    assert is_marked(page)
    assert len(miniature.rows("SELECT id FROM executions WHERE kind = 'run'")) == 1


def test_a_failure_stands_on_top_and_is_retried_then_accepted(page: Page, miniature: Miniature) -> None:
    start_run(page, miniature.archive("rushes", "a", "fail-STEP3-b"))
    open_run(page, miniature)
    failure = page.locator("#run-errors .failure")
    expect(failure).to_contain_text("Its name says fail.", timeout=LONG_ENOUGH)
    expect(failure.locator(".remedy")).to_contain_text("Rename it.")
    expect(badge(page)).to_have_text("failed", timeout=LONG_ENOUGH)
    top, steps = failure.bounding_box(), page.locator("#run-steps").bounding_box()
    assert top
    assert steps
    assert top["y"] < steps["y"]
    failure.get_by_role("button", name="Retry").click()
    wait_until(lambda: miniature.tasks()["STEP3 fail-STEP3-b"] == ["failed", "failed"], 40, "a second attempt")
    expect(badge(page)).to_have_text("failed", timeout=LONG_ENOUGH)
    expect(page.locator("#run-head")).to_contain_text("1 failed task tried again")
    failure.get_by_role("button", name="Accept").click()
    expect(badge(page)).to_have_text("done", timeout=LONG_ENOUGH)
    expect(failure).to_have_count(0)


@pytest.fixture
def log(places: dict[str, str]) -> Path:
    path = Path(places["LOGS_DIR"]) / "step3" / "rushes.log"
    path.parent.mkdir(parents=True)
    path.write_text("the first line\n")
    return path


def append(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_a_log_is_followed_as_it_is_written(page: Page, log: Path) -> None:
    page.goto("/logs/step3/rushes.log")
    lines = page.locator("#lines")
    expect(lines).to_contain_text("the first line")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
    for number in range(3):
        append(log, f"line {number} of a writer")
        expect(lines.get_by_text(f"line {number} of a writer")).to_be_in_viewport()
    append(log, *(f"one of many, {number}" for number in range(20_000)))
    expect(lines.get_by_text("one of many, 19999")).to_be_in_viewport()
    assert lines.locator(".line").count() < 5000, "the page keeps the whole log"

    lines.hover()
    page.mouse.wheel(0, -2000)
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    append(log, "said meanwhile")
    page.get_by_role("button", name="New lines").click()
    expect(lines.get_by_text("said meanwhile")).to_be_in_viewport()


def test_markup_and_escape_codes_in_a_log_do_nothing(page: Page, log: Path) -> None:
    bad = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    append(log, bad)
    page.goto("/logs/step3/rushes.log")
    lines = page.locator("#lines")
    expect(lines).to_contain_text(bad)
    append(log, f"live {bad}", "\x1b[31mred\x1b[0m \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \x1b[2J\x1b[1;1Hend")
    expect(lines).to_contain_text(f"live {bad}")
    expect(lines.locator(".line").last).to_contain_text("end", timeout=PATIENCE)
    assert lines.locator(".line").last.inner_text().startswith("red ")
    assert lines.locator("img, script, a[href^=javascript]").count() == 0
    assert "\x1b" not in lines.inner_text()
    assert page.title() != "taken"
    expect(lines).to_contain_text("the first line")
