from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "workflow_scripts/step1/extract_archives.py"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "delivered"
    folder.mkdir()
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "projets_extraits"


@pytest.fixture
def step1(tmp_path: Path, places: dict[str, str], source: Path) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Run STEP1's script on the source folder, or with the arguments given; gives its exit code and its events.

    `under` is a command that runs it.
    """

    def run(
        *arguments: str, input: str | None = None, under: Sequence[str] = (), **variables: str
    ) -> tuple[int, list[dict[str, Any]]]:
        events = tmp_path / "events.jsonl"
        events.unlink(missing_ok=True)
        chosen = [] if {"--videos", "--source-dir"} & set(arguments) else ["--source-dir", str(source)]
        done = subprocess.run(
            [*under, sys.executable, str(SCRIPT), "--events", str(events), *chosen, *arguments],
            env={**places, **variables}, input=input, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        print(done.stderr)
        return done.returncode, [json.loads(line) for line in events.read_text().splitlines()]

    return run


def endings(events: list[dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    """The status and error code of each item, by its file's name."""
    return {
        Path(event["item"]).name: (event["status"], event["error"] and event["error"]["code"])
        for event in events
        if event["event"] == "item_done"
    }


def tree(folder: Path) -> dict[str, bytes]:
    """Every delivered file below a folder with its content: what Derush keeps for itself is left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".derush" not in path.relative_to(folder).parts
    }


def archive_record(project: Path) -> dict[str, Any]:
    return json.loads((project / ".derush" / "project" / "archive.json").read_text())
