from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, environment_below

SCRIPT = REPOSITORY / "workflow_scripts/step2/convert_videos.py"


NAMED = {"STEP2_ENCODER": "libx264"}
"""The encoder is named: which others work here is the business of one test."""


@pytest.fixture
def places(places: dict[str, str]) -> dict[str, str]:
    return {**places, **NAMED}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "projets_extraits" / "12 Camille"
    folder.mkdir(parents=True)
    return folder


def run_step2(
    folder: Path, *arguments: str, input: str | None = None, **variables: str
) -> tuple[int, list[dict[str, Any]]]:
    """Run STEP2's script with all its places below a folder, from an empty one; gives its exit code and its events."""
    events = folder / "events.jsonl"
    events.unlink(missing_ok=True)
    here = folder / "here"
    here.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--events", str(events), *arguments],
        cwd=here, env={**environment_below(folder), **NAMED, **variables}, input=input, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    print(done.stderr)
    return done.returncode, [json.loads(line) for line in events.read_text().splitlines()]


@pytest.fixture
def step2(tmp_path: Path) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Run STEP2's script below the test's folder."""
    return partial(run_step2, tmp_path)


def facts_of(project: Path, stem: str) -> dict[str, Any]:
    return json.loads((project / "docs" / f"{stem}_source.json").read_text())


def endings(events: list[dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    """The status and error code of each item, by its file's name."""
    return {
        Path(event["item"]).name: (event["status"], event["error"] and event["error"]["code"])
        for event in events
        if event["event"] == "item_done"
    }
