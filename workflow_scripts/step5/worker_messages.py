"""What the manager and its workers say to each other, over a pipe between processes of one program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.step5.choice import Choice
from workflow_scripts.step5.detecting import Footage, Stretch
from workflow_scripts.step5.detections import Detections


@dataclass(frozen=True)
class Setup:
    """The first thing a worker hears: which engines to load, from which files, on which GPU, and where its log goes."""

    choice: Choice
    files: dict[str, Path]
    gpu: int
    log_folder: Path


@dataclass(frozen=True)
class Ready:
    """The engine is loaded: what it gives each thing it sees (see `Engine`), and the side it wants frames at."""

    points: int
    blendshape_names: tuple[str, ...]
    side: int


@dataclass(frozen=True)
class Job:
    """A stretch to be looked at."""

    footage: Footage
    stretch: Stretch


@dataclass(frozen=True)
class Found:
    """What was seen in the next frames of the job."""

    frames: list[Detections]


@dataclass(frozen=True)
class Ended:
    """The job is done: seconds by what they went into, what a person should know, and what ffmpeg complained of."""

    seconds: Counter[str]
    notes: list[str]
    damage: list[str]


@dataclass(frozen=True)
class Refused:
    """The job (`kind` item) or any work (`kind` prerequisite) cannot be done."""

    kind: str
    code: str
    message: str
    remedy: str
