"""A Lemonfox of the tests' own on this machine, real speech with its truth, and STEP4's script run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from config.settings import load_settings
from tests.steps.step4.lemonfox_server import FFMPEG, Lemonfox, serving

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "workflow_scripts/step4/run_audio_analysis_lemonfox.py"


@pytest.fixture
def lemonfox() -> Iterator[Lemonfox]:
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def sample() -> tuple[Path, Path]:
    """Half a minute of a telephone conversation of two people, and who speaks when in it (pyannote's own reference)."""
    spec = find_spec("pyannote.audio")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "sample"
    return folder / "sample.wav", folder / "sample.rttm"


def reference_turns(rttm: Path) -> list[tuple[float, float, str]]:
    """Return the (start, end, speaker) of a reference in seconds."""
    fields = (line.split() for line in rttm.read_text().splitlines())
    return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]


@dataclass
class Workplace:
    """A project, its places, and STEP4's script run over it."""

    root: Path
    variables: dict[str, str]

    @property
    def docs(self) -> Path:
        return self.root / "projects" / "P" / "docs"

    def add(self, stem: str, frames: int, *sound: str) -> None:
        """Make a proxy of `frames` black frames; `sound` is ffmpeg's input of its audio track, none for no track."""
        self.docs.mkdir(parents=True, exist_ok=True)
        picture = ["-f", "lavfi", "-i", f"color=black:size=32x32:rate=25:duration={frames / 25}"]
        proxy = self.docs / f"{stem}.mp4"
        command = [FFMPEG, "-v", "error", "-y", *picture, *sound, "-pix_fmt", "yuv420p", "-c:a", "aac", f"file:{proxy}"]
        subprocess.run(command, check=True)
        facts = {"frames": frames, "width": 32, "height": 32, "has_audio": bool(sound)}
        source = {"schema": "derush.source/1", "proxy": facts, "original": {"sha256": "ab" * 32}}
        (self.docs / f"{stem}_source.json").write_text(json.dumps(source))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), "--log_dir", str(self.root / "logs"), *arguments]
        environment = {**self.variables, **variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)

    def told(self, stem: str) -> Any:
        return json.loads((self.docs / f"{stem}_audio_raw.json").read_text())

    def written(self) -> str:
        """Return everything the step left behind that a person could read."""
        return "".join(
            path.read_text(errors="replace") for path in self.root.rglob("*") if path.suffix in {".log", ".json"}
        )


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(
        tmp_path,
        {
            "PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, "PROJECTS_DIR": str(tmp_path / "projects"),
            "MODELS_DIR": str(load_settings().models_dir), "STEP4_TRANSCRIBE": "off",
        },
    )  # fmt: skip


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A second of a tone in FLAC."""
    target = tmp_path / "tone.flac"
    subprocess.run([FFMPEG, "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", str(target)], check=True)
    return target
