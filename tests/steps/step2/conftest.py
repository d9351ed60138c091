from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "workflow_scripts/step2/convert_videos.py"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "projets_extraits" / "12 Camille"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def step2(tmp_path: Path, places: dict[str, str]) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Run STEP2's script from an empty folder; gives its exit code and its events."""

    def run(*arguments: str, input: str | None = None, **variables: str) -> tuple[int, list[dict[str, Any]]]:
        events = tmp_path / "events.jsonl"
        events.unlink(missing_ok=True)
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--events", str(events), *arguments],
            cwd=here, env={**places, **variables}, input=input, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        print(done.stderr)
        return done.returncode, [json.loads(line) for line in events.read_text().splitlines()]

    return run


def facts_of(project: Path, stem: str) -> dict[str, Any]:
    return json.loads((project / "docs" / f"{stem}_source.json").read_text())


def endings(events: list[dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    """The status and error code of each item, by its file's name."""
    return {
        Path(event["item"]).name: (event["status"], event["error"] and event["error"]["code"])
        for event in events
        if event["event"] == "item_done"
    }
