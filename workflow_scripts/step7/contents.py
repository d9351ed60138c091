"""What a project holds: which of its videos are complete, and which files are to be delivered.

A video is complete when its proxy and every artefact of STEP2 to STEP6 are there. The delivery is the project's tree as
it is, originals and documents included, without the records (`.derush/`) and without what belongs to incomplete videos.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.stepkit.projects import INTERNAL, Project, Video


@dataclass(frozen=True)
class Kind:
    """One file a complete video has beside its proxy: how its name ends, what archives call it, who makes it."""

    suffix: str
    kind: str
    step: str


ARTEFACTS = (
    Kind("_source.json", "source", "STEP2"),
    Kind("_scenes.csv", "scenes_csv", "STEP3"),
    Kind("_scenes.json", "scenes", "STEP3"),
    Kind("_audio_raw.json", "audio_raw", "STEP4"),
    Kind("_tracking_raw.jsonl", "tracking_raw", "STEP5"),
    Kind("_audio.json", "audio", "STEP6"),
    Kind("_tracking.json", "tracking", "STEP6"),
)


@dataclass(frozen=True)
class File:
    """One file to deliver: where it is, and its path below the project, which is its path below the delivery."""

    path: Path
    name: str


@dataclass(frozen=True)
class Clip:
    """One video and what STEP2 says of its original and its proxy; both empty when it says nothing that can be read."""

    video: Video
    original: Mapping[str, Any]
    proxy: Mapping[str, Any]

    def missing(self) -> Iterator[str]:
        """Name what a complete video has and this one has not, with the step that makes it.

        Without a proxy that is all there is to say: everything else is made from it.
        """
        if not self.video.proxy.is_file():
            yield f"{self.video.proxy.name} (STEP2)"
            return
        for wanted in ARTEFACTS:
            path = self.video.artefact(wanted.suffix)
            if not path.is_file() or (wanted.kind == "source" and not self.original):
                yield f"{path.name} ({wanted.step})"

    def files(self) -> Iterator[Path]:
        """Yield where the original, the proxy and the artefacts are, or would be."""
        if self.original:
            yield self.video.project.path / self.original["path"]
        yield self.video.proxy
        yield from (self.video.artefact(wanted.suffix) for wanted in ARTEFACTS)


@dataclass(frozen=True)
class Contents:
    """A project's complete videos, what each incomplete one lacks, the files to deliver, and what no copy can carry."""

    complete: tuple[Clip, ...]
    lacking: Mapping[str, tuple[str, ...]]
    files: tuple[File, ...]
    odd: tuple[Path, ...]


def contents_of(project: Project) -> Contents:
    """Look through a project's folder."""
    clips = [_clip(video) for video in project.videos()]
    converted = {path for clip in clips for path in clip.files()}
    # Only what no proxy says it was made from is looked up by its name, which takes a walk through the project each.
    unconverted = {path: project.proxy_for(path) for path in project.originals() if path not in converted}
    known = {clip.video.stem for clip in clips}
    clips += [Clip(video, {}, {}) for video in dict.fromkeys(unconverted.values()) if video.stem not in known]
    lacking = {clip.video.stem: lacks for clip in clips if (lacks := tuple(clip.missing()))}
    held_back = {path for clip in clips if clip.video.stem in lacking for path in clip.files()}
    held_back |= {path for path, video in unconverted.items() if video.stem in lacking}
    regular, odd = _tree(project.path)
    return Contents(
        complete=tuple(clip for clip in clips if clip.video.stem not in lacking),
        lacking=lacking,
        files=tuple(File(path, str(path.relative_to(project.path))) for path in regular if path not in held_back),
        odd=tuple(odd),
    )


def _clip(video: Video) -> Clip:
    try:
        known = json.loads(video.artefact("_source.json").read_text(encoding="utf-8"))
        original, proxy = known["original"], known["proxy"]
        needed = str(original["sha256"]), str(original["path"]), int(proxy["frames"])
    except (OSError, ValueError, KeyError, TypeError):
        return Clip(video, {}, {})
    return Clip(video, original, proxy) if all(needed) else Clip(video, {}, {})


def _tree(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the regular files below a folder, records left out, and whatever else is there (links, devices)."""
    regular: list[Path] = []
    odd: list[Path] = []
    for folder, below, names in os.walk(root, onerror=_raise):
        if folder == str(root):
            below[:] = [name for name in below if name != INTERNAL]
        below.sort()
        links = [name for name in below if (Path(folder) / name).is_symlink()]
        for path in (Path(folder) / name for name in sorted([*names, *links])):
            (regular if path.is_file() and not path.is_symlink() else odd).append(path)
    return regular, odd


def _raise(error: OSError) -> None:
    """Let a folder that cannot be read fail the item: skipping it would be silent loss."""
    raise error
