"""Footage of the demo archive at 25 fps, its hand-made truth, the real models, and STEP5's script run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "workflow_scripts/step5/run_tracking_manager.py"
MODELS = Path(os.environ.get("MODELS_DIR") or REPOSITORY / "models")
MODEL_FILES = {
    "yunet": "face_detection_yunet_2023mar_int8bq.onnx",
    "face_landmarker": "face_landmarker.task",
    "sface": "face_recognition_sface_2021dec_int8bq.onnx",
    "nanodet": "nanodet_416_fp16.onnx",
}


def ffmpeg(*arguments: str) -> bytes:
    """Run the packaged ffmpeg and return its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="session")
def truth() -> dict[str, dict[str, Any]]:
    """What people saw in each clip of the demo archive, by the clip's stem."""
    clips = json.loads((REPOSITORY / "samples/truth.json").read_text())["clips"]
    return {Path(clip["file"]).stem: clip for clip in clips}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The clips with faces as silent 25 fps proxies, by stem."""
    folder = tmp_path_factory.mktemp("demo")
    with zipfile.ZipFile(REPOSITORY / "samples/demo_rushes.zip") as archive:
        archive.extractall(folder)
    proxies = {}
    for stem in ("interview", "obama_speech"):
        proxies[stem] = folder / f"{stem}_25.mp4"
        source = str(folder / f"demo_rushes/{stem}.mp4")
        ffmpeg("-i", source, "-an", "-vf", "fps=25", "-pix_fmt", "yuv420p", "-crf", "16", str(proxies[stem]))
    return proxies


@pytest.fixture(scope="session")
def pictures(clips: dict[str, Path], truth: dict[str, Any]) -> dict[str, NDArray[np.uint8]]:
    """Every frame of the clips, (frames, height, width, 3), blue, green, red."""
    return {stem: decoded(path, truth[stem]["width"], truth[stem]["height"]) for stem, path in clips.items()}


def decoded(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    raw = ffmpeg("-i", str(path), "-f", "rawvideo", "-pix_fmt", "bgr24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def model_path(name: str) -> Path:
    path = MODELS / MODEL_FILES[name]
    assert path.is_file(), f"fetch it first: derush models fetch {name}"
    return path


@pytest.fixture(scope="session")
def own_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of a person's own, by the setting that names them: small networks made here, of the real ones' form."""
    from tests.steps.step5 import networks

    folder = tmp_path_factory.mktemp("own")
    given = {"step5_yolo_weights": folder / "untrained.pt"}
    networks.save_yolo(given["step5_yolo_weights"])
    for name in ("insightface", "openseeface"):
        given[f"step5_{name}_models"] = folder / name
        (folder / name).mkdir()
    networks.save(networks.Points106(), 192, folder / "insightface/2d106.onnx")
    networks.save(networks.Scrfd(), 320, folder / "insightface/scrfd.onnx")
    networks.save(networks.OpenSeeFaceDetector(), 224, folder / "openseeface/mnv3_detection_opt.onnx")
    networks.save(networks.OpenSeeFacePoints(), 224, folder / "openseeface/lm_model3_opt.onnx")
    return given


@dataclass
class Workplace:
    """A work directory with one project, and a models folder that the test may alter."""

    root: Path
    listed: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def docs(self) -> Path:
        return self.root / "projets/Projet 1/docs"

    def add(self, clip: Path, stem: str, frames: int, size: tuple[int, int], cuts: tuple[int, ...] = ()) -> None:
        """Put a proxy in place, with what STEP2 and STEP3 are said to have found; cuts are 0-based."""
        proxy = self.docs / f"{stem}.mp4"
        proxy.write_bytes(clip.read_bytes())
        facts = {"frames": frames, "width": size[0], "height": size[1], "has_audio": False}
        self.docs.joinpath(f"{stem}_source.json").write_text(
            json.dumps({"proxy": facts, "original": {"sha256": "ab" * 32}})
        )
        edges = (0, *cuts, frames)
        scenes = [{"start_frame": first, "end_frame": end} for first, end in pairwise(edges)]
        self.docs.joinpath(f"{stem}_scenes.json").write_text(json.dumps({"scenes": scenes}))
        self.listed.append(str(proxy))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script under the command line of the documentation."""
        process = self.start(*arguments)
        try:
            output, said = process.communicate(timeout=200)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, output, said)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the script, for who does not only wait for its end."""
        (self.root / "events").unlink(missing_ok=True)
        (self.root / "videos.json").write_text(json.dumps(self.listed))
        command = [
            sys.executable, str(SCRIPT), "--videos_json_path", str(self.root / "videos.json"),
            "--log_dir", str(self.root / "logs"), "--events", str(self.root / "events"), *arguments,
        ]  # fmt: skip
        environment = {
            "PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, "MODELS_DIR": str(self.root / "models"),
            "ARCHIVES_DIR": str(self.root), "CACHE_ROOT_DIR": str(self.root), **self.variables,
        }  # fmt: skip
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def events(self) -> list[dict[str, Any]]:
        """Return what the last run said."""
        return [json.loads(line) for line in (self.root / "events").read_text().splitlines()]

    def ended(self) -> dict[str, dict[str, Any]]:
        """Return how each video ended in the last run, by stem."""
        return {Path(event["item"]).stem: event for event in self.events() if event["event"] == "item_done"}

    def tracking(self, stem: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the header and the frames of a video's raw tracking."""
        header, *frames = map(json.loads, (self.docs / f"{stem}_tracking_raw.jsonl").read_text().splitlines())
        return header, frames


def _workplace(root: Path) -> Workplace:
    place = Workplace(root)
    place.docs.mkdir(parents=True)
    (root / "models").mkdir()
    for name, file in MODEL_FILES.items():
        (root / "models" / file).symlink_to(model_path(name).absolute())
    return place


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """A workplace of the test's own."""
    return _workplace(tmp_path)


@pytest.fixture(scope="session")
def new_workplace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Workplace]:
    """Make workplaces that several tests share."""
    return lambda: _workplace(tmp_path_factory.mktemp("workplace"))
