"""Finished projects written by hand, and STEP7's script run as a person runs it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "workflow_scripts/step7/finalize_and_copy.py"
ARTEFACTS = (
    "_source.json", "_scenes.csv", "_scenes.json", "_audio_raw.json", "_audio.json", "_tracking_raw.jsonl",
    "_tracking.json",
)  # fmt: skip


@dataclass
class Workplace:
    """A work directory, and the folders to deliver to."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def work_dir(self) -> Path:
        return self.root / "projects"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def archives(self) -> Path:
        return self.root / "archives"

    def make_video(self, project: str, stem: str) -> Path:
        """Write a complete video, and return the folder of its artefacts."""
        folder = self.work_dir / project
        (folder / "sources").mkdir(parents=True, exist_ok=True)
        docs = folder / "docs"
        docs.mkdir(exist_ok=True)
        original = folder / "sources" / f"{stem}.mov"
        original.write_bytes(f"original of {stem}".encode())
        (docs / f"{stem}.mp4").write_bytes(f"proxy of {stem}".encode())
        for suffix in ARTEFACTS:
            (docs / f"{stem}{suffix}").write_bytes(f"{stem}{suffix}".encode())
        facts = {
            "schema": "derush.source/1",
            "proxy": {"frames": 50, "width": 640, "height": 360, "has_audio": True},
            "original": {
                "path": f"sources/{original.name}", "name": original.name, "bytes": 16, "sha256": sha256(original),
                "video": {"rate": "30000/1001", "variable_rate": False, "codec": "h264"},
            },
        }  # fmt: skip
        (docs / f"{stem}_source.json").write_text(json.dumps(facts))
        return docs

    def command(self, *arguments: str) -> list[str]:
        """The script's command line, with places of the test's own."""
        return [
            sys.executable, str(SCRIPT), "--log_dir", str(self.root / "logs"), "--work_dir", str(self.work_dir),
            "--events", str(self.root / "events"), *arguments,
        ]  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, "OUTPUT_DIR": str(self.output),
            "ARCHIVES_DIR": str(self.archives), "DISK_WARNING_GB": "0", **self.variables,
        }  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.root / "events").unlink(missing_ok=True)
        return subprocess.run(
            self.command(*arguments), env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120
        )

    def run_patched(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program that changes something of STEP7, and then calls its `main` with the script's arguments."""
        (self.root / "events").unlink(missing_ok=True)
        command = [sys.executable, "-c", program, *self.command(*arguments)[2:]]
        return subprocess.run(
            command, env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120
        )

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.root / "events").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def totals(self) -> Mapping[str, int]:
        totals = self.events("goodbye")[-1]["totals"]
        assert isinstance(totals, dict)
        return totals

    def warnings(self) -> dict[str, str]:
        return {event["code"]: event["message"] for event in self.events("warning")}

    def failure(self) -> dict[str, str]:
        error = self.events("item_done")[-1]["error"]
        assert isinstance(error, dict)
        return error


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """The project `Projet 1` with the complete video `clip` and a document."""
    place = Workplace(tmp_path)
    place.make_video("Projet 1", "clip")
    (place.work_dir / "Projet 1" / "notes.txt").write_text("read me")
    return place


@pytest.fixture
def tree():
    """Reads a folder: the content of every file in it but Derush's own records, by path."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        below = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        return {name: content for name, content in below.items() if ".derush" not in Path(name).parts}

    return read
