"""What is true of every page: for those who cannot see, have no mouse, a phone, or no scripts; and how much is loaded."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.conftest import NewPage, Server, eventually, serving, sign_in
from tests.conftest import environment_below
from tests.integration.miniature import Miniature, make_miniature
from tests.integration.processes import signal_all

MOST_OF_A_FIRST_LOAD = 150_000
"""Bytes, as they come over the wire."""
PHONE = {"width": 360, "height": 740}
PAGES = {
    "/": "rushes", "/workflow": "What to take", "/executions": "{run}", "/executions/{run}": "Its name says fail.",
    "/executions/{run}?part={task}": "Its name says fail.", "/executions/{run}/videos": "fail-STEP3-b",
    "/executions/{run}/timeline": "STEP3", "/executions/{run}/files": "a_STEP4.txt",
    "/executions/{run}/commands": "derush", "/projects": "rushes", "/projects/rushes": "fail-STEP3-b",
    "/logs": "STEP3", "/logs/{log}": "Its name says fail.", "/system/": "Environments",
    "/system/environments": "tracking_env", "/system/models": "yunet", "/system/doctor": "ffmpeg",
    "/system/settings": "PROJECTS_DIR", "/system/tokens": "Tokens", "/system/audit": "sign in",
    "/password": "Once more", "/api/v1/docs": "/api/v1/executions",
}  # fmt: skip
"""Words that each page shows because of what there is to show; `/login` is for those who are not signed in."""
SERIOUS = {"serious", "critical"}


@dataclass(frozen=True)
class Stage:
    """A panel of its own for all tests here, and a run with a failure behind it."""

    server: Server
    signed_in: StorageState
    names: dict[str, str]

    def path(self, page: str) -> str:
        return page.format(**self.names)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("pages")
    places = make_miniature(folder, environment_below(folder)).variables
    miniature = Miniature(folder, places)
    try:
        miniature.run(str(miniature.archive("rushes", "a", "fail-STEP3-b", "c")))
        with serving(places, folder) as server:
            context = chromium.new_context(base_url=server.origin, locale="en-GB")
            sign_in(server, context.new_page())
            signed_in = context.storage_state()
            has_examined = lambda: "ffmpeg" in context.request.get("/system/doctor").text()  # noqa: E731
            eventually(has_examined, 120, "the doctor's findings")
            context.close()
            yield Stage(server, signed_in, names_of(miniature, Path(places["LOGS_DIR"])))
    finally:
        signal_all(miniature.processes(), signal.SIGKILL)


def names_of(miniature: Miniature, logs: Path) -> dict[str, str]:
    run = miniature.newest()
    ((task,),) = miniature.rows("SELECT id FROM executions WHERE run_id = ? AND status = 'failed' AND step = 'STEP3' "
                                "AND kind = 'task'", run)  # fmt: skip
    log = next(path for path in sorted(logs.glob("step3/*.log")) if "Its name says fail." in path.read_text())
    return {"run": run, "task": str(task), "log": str(log.relative_to(logs))}


@pytest.fixture
def server(stage: Stage) -> Server:
    return stage.server


@pytest.fixture
def open_page(stage: Stage, new_page: NewPage) -> NewPage:
    """Open a browser that is signed in."""
    return lambda **options: new_page(storage_state=stage.signed_in, **options)


@pytest.fixture
def page(open_page: NewPage) -> Page:
    return open_page()


def go(page: Page, stage: Stage, path: str) -> None:
    """Go to a page and see that it shows what it is for."""
    answer = page.goto(stage.path(path))
    assert answer
    assert answer.status == 200, path
    assert stage.path(PAGES[path]) in page.content(), f"{path} lacks what it is for"


def complaints(page: Page, where: str) -> list[str]:
    """What axe-core has against a page that is serious."""
    found = Axe().run(page).response["violations"]
    return [
        f"{where}: {each['id']}: {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for each in found if each["impact"] in SERIOUS for node in each["nodes"][:3]
    ]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screen_reader_finds_its_way_on_every_page(
    theme: str, stage: Stage, open_page: NewPage, new_page: NewPage
) -> None:
    page = open_page(color_scheme=theme)
    found = []
    for path in PAGES:
        go(page, stage, path)
        found += complaints(page, path)
    page.goto(stage.path("/executions/{run}/videos"))
    page.get_by_role("link", name="failed", exact=True).first.click()
    expect(page.locator("#part")).to_contain_text("Its name says fail.")
    found += complaints(page, "a video, opened")
    login = new_page(color_scheme=theme)
    login.goto("/login")
    found += complaints(login, "/login")
    assert not found, "\n".join(found)


def test_no_page_moves_sideways_on_a_phone(stage: Stage, open_page: NewPage, new_page: NewPage) -> None:
    phone, login = open_page(viewport=PHONE), new_page(viewport=PHONE)
    too_wide = {}
    login.goto("/login")
    for path in PAGES:
        go(phone, stage, path)
        too_wide[path] = overflow(phone)
    too_wide["/login"] = overflow(login)
    assert not {path: pixels for path, pixels in too_wide.items() if pixels > 0}


def overflow(page: Page) -> int:
    return int(page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize(
    ("path", "cells"),
    [
        ("/executions/{run}/videos", ".matrix tbody th"), ("/projects/rushes", ".done tbody th"),
        ("/projects/rushes", ".done .reason"), ("/system/settings", "#settings td"), ("/system/doctor", "#doctor td"),
    ],
)  # fmt: skip
def test_on_a_phone_what_is_to_be_read_has_room_and_is_in_sight(
    path: str, cells: str, stage: Stage, open_page: NewPage
) -> None:
    page = open_page(viewport=PHONE)
    go(page, stage, path)
    expect(page.locator(cells).first).to_be_visible()
    boxes = page.locator(cells).evaluate_all(
        "cells => cells.map((it) => it.getBoundingClientRect()).map((it) => [it.left, it.right])"
    )
    assert min(right - left for left, right in boxes) >= 9 * 16
    assert all(left >= 0 and right <= PHONE["width"] for left, right in boxes)


def test_every_page_shows_its_data_without_scripts(stage: Stage, open_page: NewPage, new_page: NewPage) -> None:
    plain = open_page(java_script_enabled=False)
    for path, words in PAGES.items():
        go(plain, stage, path)
        expect(plain.get_by_role("main")).to_contain_text(stage.path(words), use_inner_text=True)
        expect(plain.get_by_role("heading", level=1)).to_have_count(1)
    login = new_page(java_script_enabled=False)
    login.goto("/login")
    expect(login.get_by_role("heading", name="Sign in to Derush")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/workflow"])
def test_the_first_load_is_small(path: str, stage: Stage, page: Page) -> None:
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    asked: dict[str, str] = {}
    network.on("Network.requestWillBeSent", lambda told: asked.update({told["requestId"]: told["request"]["url"]}))
    loaded: dict[str, float] = {}
    network.on(
        "Network.loadingFinished", lambda told: loaded.update({asked[told["requestId"]]: told["encodedDataLength"]})
    )
    page.goto(path, wait_until="load")
    expect(page.locator("time[title]").first).to_be_attached()  # the scripts have run
    assert len(loaded) > 5, "the network was not watched"
    assert sum(loaded.values()) < MOST_OF_A_FIRST_LOAD, loaded


def tab_to(page: Page, wanted: str, most: int = 80) -> None:
    """Press Tab until an element has the focus, and see that one can see it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            break
    else:
        pytest.fail(f"Tab does not reach {wanted}")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", f"the focus on {wanted} cannot be seen"


def test_a_run_is_started_with_the_keyboard_alone(stage: Stage, page: Page) -> None:
    page.goto("/workflow")
    tab_to(page, ".more > summary")
    page.keyboard.press("Enter")
    tab_to(page, "#more")
    page.keyboard.type(str(stage.server.log.parent / "in" / "rushes.list"))
    tab_to(page, 'input[name="kind"]')
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Archives only")).to_be_checked()
    page.keyboard.press("ArrowUp")
    tab_to(page, 'input[name="steps"][value="STEP2"]')
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="STEP2")).not_to_be_checked()
    page.keyboard.press("Space")
    tab_to(page, "#look-ahead")
    page.keyboard.press("Enter")
    expect(page.locator("#preview")).to_contain_text("Disks")
    tab_to(page, "#start")
    page.keyboard.press("Enter")
    page.wait_for_url("**/workflow?run=*")
    expect(page.locator("#run .summary .badge")).to_be_visible(timeout=60_000)


def test_what_is_refused_is_said_beside_what_was_pressed(page: Page) -> None:
    page.goto("/workflow")
    page.get_by_text("Type paths on the server").click()
    page.locator("#more").fill("/etc")
    for name in ("Preview", "Start"):
        button = page.get_by_role("button", name=name, exact=True)
        button.click()
        said = page.get_by_role("alert").filter(has_text="path_not_allowed")
        expect(said).to_have_count(1)
        expect(said).to_be_in_viewport()
        pressed, beside = button.bounding_box(), said.bounding_box()
        assert pressed and beside
        assert 0 < beside["y"] - pressed["y"] < 120, name


@pytest.mark.parametrize("window", [{"width": 1280, "height": 900}, PHONE])
def test_the_timeline_names_every_step_whole(window: dict[str, int], stage: Stage, open_page: NewPage) -> None:
    page = open_page(viewport=window)
    page.goto(stage.path("/executions/{run}/timeline"))
    labels = page.locator(".lane-step")
    labels.first.evaluate("label => { label.textContent = 'validation.1' }")  # as a check is called
    cut = "labels => labels.filter((it) => it.scrollWidth > it.clientWidth).map((it) => it.textContent)"
    assert labels.evaluate_all(cut) == []


def test_the_matrix_is_walked_with_the_arrows(stage: Stage, page: Page) -> None:
    page.goto(stage.path("/executions/{run}/videos"))
    tab_to(page, ".matrix a")
    row = page.locator("#matrix-rows tr", has_text="fail-STEP3-b")
    for _ in range(20):
        if row.locator(":focus").count():
            break
        page.keyboard.press("ArrowDown")
    for _ in range(10):
        if page.locator(":focus").inner_text() == "failed":
            break
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    part = page.locator("#part")
    expect(part).to_contain_text("Its name says fail.")
    expect(part.get_by_role("button", name="Retry")).to_be_visible()
