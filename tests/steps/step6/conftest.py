"""A small project with raw analyses written by hand, and STEP6's script run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "workflow_scripts/step6/json_reducer.py"

SPOKEN: list[tuple[bool, list[str]]] = [
    (True, ["SPEAKER_00"]),
    (True, ["SPEAKER_01", "SPEAKER_00"]),
    (False, []),
]
FACE = {
    "id": 7, "bbox": [10.04, 20, 30.26, 40], "centroid": [25.17, 40.0], "source": "yunet", "label": "face",
    "confidence": 0.912345, "landmarks": [[1.5, 2.5]], "blendshapes": {"jawOpen": 0.6}, "speaking": {"score": 0.9},
}  # fmt: skip
PERSON = {**FACE, "id": "p-1", "label": "person", "source": "nanodet", "bbox": [0, 0, 100, 200], "centroid": [50, 100]}
SEEN: list[list[dict[str, Any]]] = [[FACE, PERSON], [], [PERSON]]


@dataclass
class Workplace:
    """A work directory with one video `clip` in the project `Projet 1`."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def docs(self) -> Path:
        return self.root / "projects" / "Projet 1" / "docs"

    def made(self, suffix: str) -> Any:
        return json.loads((self.docs / f"clip{suffix}").read_bytes())

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "events").read_text().splitlines()]

    def failure(self) -> dict[str, str]:
        """The error of the one item that was worked on last."""
        error = [event for event in self.events() if event["event"] == "item_done"][-1]["error"]
        assert isinstance(error, dict)
        return error

    def run(self, *arguments: str, below: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run the script under the very command line of the documentation, with places of the test's own.

        `below` is a command that runs the script as its child.
        """
        (self.root / "events").unlink(missing_ok=True)
        command = [
            *below, sys.executable, str(SCRIPT), "--log_dir", str(self.root / "logs"),
            "--work_dir", str(self.root / "projects"), "--events", str(self.root / "events"), *arguments,
        ]  # fmt: skip
        environment = {"PATH": os.environ["PATH"], "DERUSH_ENV_FILE": os.devnull, **self.variables}
        return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)

    def write_source(self, frames: int = 3) -> None:
        proxy = {"frames": frames, "width": 640, "height": 360, "has_audio": True}
        facts = {"schema": "derush.source/1", "proxy": proxy, "original": {"sha256": "ab" * 32}}
        (self.docs / "clip_source.json").write_text(json.dumps(facts))

    def write_audio(self, spoken: list[tuple[bool, list[str]]], **head: Any) -> Path:
        frames = [
            {"frame": number, "is_speech_present": speech, "active_speaker_labels": labels}
            for number, (speech, labels) in enumerate(spoken, 1)
        ]
        facts = {"schema": "derush.audio_raw/1", "video_filename": "clip.mp4", "total_frames": len(frames), "fps": 25}
        raw = {**facts, "segments": [{"fps": 99, "words": [1, 2]}], **head, "frames_analysis": frames}
        path = self.docs / "clip_audio_raw.json"
        path.write_text(json.dumps(raw))
        return path

    def write_tracking(self, seen: list[list[dict[str, Any]]], **head: Any) -> Path:
        header = {
            "schema": "derush.tracking_raw/1",
            "video_filename": "clip.mp4",
            "total_frames": len(seen),
            "fps": 25.0,
        }
        lines = [{**header, "width": 640, "height": 360, "engine": "test", **head}]
        lines += [{"frame": number, "objects": objects} for number, objects in enumerate(seen, 1)]
        path = self.docs / "clip_tracking_raw.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def replace(self, name: str, change: Callable[[bytes], bytes]) -> None:
        path = self.docs / name
        path.write_bytes(change(path.read_bytes()))


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """The three-frame video, ready to be reduced."""
    place = Workplace(tmp_path)
    place.docs.mkdir(parents=True)
    (place.docs / "clip.mp4").write_bytes(b"proxy")
    place.write_source()
    place.write_audio(SPOKEN)
    place.write_tracking(SEEN)
    return place
