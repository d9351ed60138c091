"""Answers of a service that were paid for, kept while a video is not done: a part that failed does not cost the others.

They lie in `<project>/.derush/lemonfox/<stem>/`, each named by what was asked: the sound that was sent, and the fields.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.stepkit.files import publish, sha256_of
from workflow_scripts.stepkit.projects import Video


@dataclass(frozen=True)
class Paid:
    """The answers that are kept for a video."""

    folder: Path

    @staticmethod
    def of(video: Video) -> Paid:
        """Return those of a video."""
        return Paid(video.project.internal / "lemonfox" / video.stem)

    def place(self, sound: Path, fields: Mapping[str, Any]) -> Path:
        """Return the file that holds, or will hold, the answer to a file of sound and what is asked about it."""
        asked = json.dumps([sha256_of(sound), fields], sort_keys=True)
        return self.folder / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"

    def keep(self, place: Path, answer: bytes) -> None:
        """Put an answer in its place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = place.with_suffix(".tmp")
        temporary.write_bytes(answer)
        publish(temporary, place)

    def forget(self) -> None:
        """Remove them all."""
        shutil.rmtree(self.folder, ignore_errors=True)
