"""The demo, taken through all seven steps once for every test that looks at its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.integration.miniature import Miniature, make_miniature


@dataclass(frozen=True)
class Demo:
    """The demo archive after a run: what the run told, and where everything is."""

    told: dict[str, Any]
    variables: dict[str, str]
    folder: Path

    @property
    def project(self) -> Path:
        (found,) = (path for path in (self.folder / "projets_extraits").iterdir() if path.name != ".derush")
        return found

    def document(self, name: str) -> Any:
        """Read a JSON artefact, e.g. `interview_scenes.json`."""
        return json.loads((self.project / "docs" / name).read_text())

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run the demo again and return what it tells."""
        command = [sys.executable, "-m", "services.cli", "run", "--demo", "--json", *arguments]
        ended = subprocess.run(command, cwd=REPOSITORY, env=self.variables, capture_output=True, text=True, timeout=600)
        assert ended.stdout, ended.stderr
        told: dict[str, Any] = json.loads(ended.stdout)
        return told


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    own = {
        "DERUSH_ENV_FILE": str(folder / "no.env"), "PROJECTS_DIR": str(folder / "projets_extraits"),
        "OUTPUT_DIR": str(folder / "output"), "ARCHIVES_DIR": str(folder / "archives"), "LOGS_DIR": str(folder / "logs"),
        "DATA_DIR": str(folder / "data"),
        "LEMONFOX_API_KEY": "",
    }  # fmt: skip
    made = Demo({}, {**os.environ, **own}, folder)
    yield Demo(made.run(), made.variables, folder)


@pytest.fixture(scope="session")
def truth() -> dict[str, Any]:
    """What the footage holds, by construction and by hand: clip name without suffix -> facts."""
    listed = json.loads((REPOSITORY / "samples" / "truth.json").read_text())
    return {Path(clip["file"]).stem: clip for clip in listed["clips"]}


@pytest.fixture
def miniature(tmp_path: Path, places: dict[str, str]) -> Miniature:
    """A Derush whose seven steps take milliseconds."""
    return make_miniature(tmp_path, places)
