#!/usr/bin/env python3
"""Write a picture of every page of the panel, in both themes, into docs/screenshots/: of a real run, with real failures.

    envs/env/bin/python scripts/screenshots.py [--only NAME…] [--out FOLDER]

Runs the sample rushes through all seven steps, once with a damaged clip among them, on data of its own. Needs
Debian's chromium, the four environments and the models.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[0] = str(REPOSITORY)

from services.database import open_database
from services.executions import Execution, Store

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
THEMES = ("light", "dark")
PATIENCE = 200


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the page's address, the window, and what must be seen on it first."""

    name: str
    path: str
    seen: str
    window: dict[str, int]


def main() -> int:
    """Take the pictures; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="only pictures whose names begin so")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "screenshots")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.TemporaryDirectory(prefix="derush-screenshots-")
    with scratch as folder, panel(Path(folder)) as stage, browser(stage) as pages:
        stage.derush("run", "--demo", "--detach")
        stage.wait(lambda run: run.status == "running" and stage.is_tracking(run))
        take(pages, now_shots(), arguments)
        stage.wait(lambda run: run.status == "succeeded")
        stage.derush("run", str(with_damage(Path(folder) / "rushes of tuesday")), "--min-size", "0", allowed=(0, 1))
        run = stage.wait(lambda run: run.status == "failed")
        take(pages, later_shots(run, stage.longest_log()), arguments)
    return 0


def now_shots() -> list[Shot]:
    """Return the pictures that are taken while a run goes on."""
    return [
        Shot("home-running", "/", "STEP5", WIDE),
        Shot("workflow-running", "/workflow", "STEP5", WIDE),
        Shot("home-running-phone", "/", "STEP5", PHONE),
    ]


def later_shots(run: Execution, log: str) -> list[Shot]:
    """Return the pictures that are taken when all is over; `run` had failures, `log` is one below LOGS_DIR."""
    return [
        Shot("home", "/", "Derush", WIDE),
        Shot("workflow", "/workflow", "Derush", WIDE),
        Shot("executions", "/executions", run.id[:9], WIDE),
        Shot("execution", f"/executions/{run.id}", run.id, WIDE),
        Shot("execution-videos", f"/executions/{run.id}/videos", "STEP3", WIDE),
        Shot("execution-timeline", f"/executions/{run.id}/timeline", "STEP3", WIDE),
        Shot("execution-files", f"/executions/{run.id}/files", run.id, WIDE),
        Shot("execution-commands", f"/executions/{run.id}/commands", "derush", WIDE),
        Shot("execution-phone", f"/executions/{run.id}", run.id, PHONE),
        Shot("project", "/projects/demo rushes", "interview", WIDE),
        Shot("logs", "/logs", "STEP3", WIDE),
        Shot("log", f"/logs/{log}", "INFO", WIDE),
        Shot("system", "/system/", "Derush", WIDE),
        Shot("system-environments", "/system/environments", "tracking_env", WIDE),
        Shot("system-models", "/system/models", "yunet", WIDE),
        Shot("system-doctor", "/system/doctor", "ffmpeg", WIDE),
        Shot("system-settings", "/system/settings", "PROJECTS_DIR", WIDE),
        Shot("system-tokens", "/system/tokens", "", WIDE),
        Shot("system-audit", "/system/audit", "sign in", WIDE),
        Shot("password", "/password", "", WIDE),
        Shot("api", "/api/v1/docs", "/api/v1", WIDE),
    ]


def take(pages: dict[str, Page], shots: Sequence[Shot], arguments: argparse.Namespace) -> None:
    """Take pictures in both themes."""
    for shot in shots:
        if arguments.only and not shot.name.startswith(tuple(arguments.only)):
            continue
        for theme in THEMES:
            page = pages[theme]
            page.set_viewport_size(shot.window)  # type: ignore[arg-type]
            page.goto(shot.path)
            page.get_by_text(shot.seen).first.wait_for(state="attached")
            page.wait_for_load_state("load")
            page.evaluate("document.fonts.ready")
            page.screenshot(path=arguments.out / f"{shot.name}-{theme}.png", animations="disabled")
            print(f"{shot.name}-{theme}.png", flush=True)


@dataclass(frozen=True)
class Stage:
    """A panel that serves on data of its own."""

    environment: dict[str, str]
    origin: str
    link: str

    def derush(self, *arguments: str, allowed: Sequence[int] = (0,)) -> None:
        """Run `derush`."""
        command = [sys.executable, "-m", "services.cli", *arguments]
        ended = subprocess.run(command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True)
        assert ended.returncode in allowed, ended.stdout + ended.stderr

    def store(self) -> Store:
        """Open the history of runs."""
        return Store(open_database(Path(self.environment["DATA_DIR"]), None))

    def wait(self, condition: Callable[[Execution], bool]) -> Execution:
        """Wait until something is true of the newest run; returns it."""
        store, deadline = self.store(), time.monotonic() + PATIENCE
        while not (runs := store.runs(limit=1)) or not condition(runs[0]):
            assert time.monotonic() < deadline, "the run did not get there"
            time.sleep(0.2)
        return runs[0]

    def longest_log(self) -> str:
        """Return the path, below LOGS_DIR, of the step's log that says most."""
        logs = Path(self.environment["LOGS_DIR"])
        longest = max(logs.glob("step*/*.log"), key=lambda path: path.stat().st_size)
        return str(longest.relative_to(logs))

    def is_tracking(self, run: Execution) -> bool:
        """Tell whether STEP5 is at work on a video and has come some way."""
        return any(task.step == "STEP5" and task.done > 0 for task in self.store().tasks(run.id, status=("running",)))


@contextmanager
def panel(folder: Path) -> Iterator[Stage]:
    """Serve a panel on data below a folder."""
    names = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR", "DATA_DIR", "UPLOADS_DIR")
    places = {name: str(folder / name.lower().removesuffix("_dir")) for name in names}
    environment = {**os.environ, **places, "CACHE_ROOT_DIR": str(folder), "DERUSH_ENV_FILE": str(folder / "none.env"),
                   "PANEL_PORT": "8779", "BROWSE_ROOTS": str(folder)}  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "web.server"], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        link = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        yield Stage(environment, link.partition("/link/")[0], link)
    finally:
        server.terminate()
        server.wait()


@contextmanager
def browser(stage: Stage) -> Iterator[dict[str, Page]]:
    """Open a page in each theme, in one browser that is signed in."""
    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium is needed: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = opened.new_context(base_url=stage.origin, locale="en-GB", timezone_id="Europe/Paris")
        first = context.new_page()
        first.goto(stage.link)
        pages = {"light": first, "dark": context.new_page()}
        for theme, page in pages.items():
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        yield pages
        opened.close()


def with_damage(folder: Path) -> Path:
    """Make a delivery of the sample rushes in which one clip is cut off and one is no video at all."""
    sample = REPOSITORY / "samples" / "demo_rushes.zip"
    with zipfile.ZipFile(sample) as archive:
        archive.extractall(folder)
    clips = sorted(path for path in folder.rglob("*") if path.suffix in {".mp4", ".mov"})
    clips[0].write_bytes(clips[0].read_bytes()[: clips[0].stat().st_size // 3])
    clips[0].with_name("notes that are no film.mp4").write_text("said to be a video")
    return folder


if __name__ == "__main__":
    sys.exit(main())
