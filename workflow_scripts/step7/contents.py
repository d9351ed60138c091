"""What a project holds: what each of its videos has and lacks, and which files are to be delivered.

A video is complete when its proxy and every artefact of STEP2 to STEP6 are there, and no step that makes them failed the
last time: what is there then is of an earlier run. FINALIZE_COMPLETENESS says what is enough to deliver one; a video that
a person took as it is, failed, always has enough. The delivery is the project's tree as it is, originals and documents
included, without the records (`.derush/`) and without what belongs to held back videos.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from services.results_archiver import is_sha256
from workflow_scripts.step7.artefacts import ARTEFACTS, recorded_artefacts
from workflow_scripts.stepkit.projects import INTERNAL, Project, Video
from workflow_scripts.stepkit.records import Record


@dataclass(frozen=True)
class File:
    """One file to deliver: where it is, and its path below the project, which is its path below the delivery."""

    path: Path
    name: str


@dataclass(frozen=True)
class Clip:
    """One video: what STEP2 says of its original and its proxy, both empty when it says nothing that can be read.

    `missing` names what a complete video has and this one has not, with the step that makes it, or failed to. `paths` are where its
    original, its proxy and its artefacts are, or would be. `is_accepted`: a person took it as it is.
    """

    video: Video
    original: Mapping[str, Any]
    proxy: Mapping[str, Any]
    missing: tuple[str, ...]
    paths: frozenset[Path]
    is_accepted: bool

    def has_enough(self, completeness: str) -> bool:
        """Tell whether it is to be delivered: complete (`strict`), with one analysis (`lenient`), as it is (`videos`)."""
        if self.is_accepted or completeness == "videos":
            return True
        if completeness == "strict":
            return not self.missing
        analyses = (wanted for wanted in ARTEFACTS if wanted.kind != "source")
        return bool(self.original) and any(self.video.artefact(each.suffix).is_file() for each in analyses)


@dataclass(frozen=True)
class Contents:
    """A project's videos, those delivered and those held back, the files to deliver, and what no copy can carry.

    `delivered` are those to be delivered now: of those held back, some may lie in the delivery from earlier.
    """

    delivered: tuple[Clip, ...]
    held_back: tuple[Clip, ...]
    files: tuple[File, ...]
    odd: tuple[Path, ...]

    def incomplete(self, lies_there: Callable[[Clip], bool]) -> list[dict[str, Any]]:
        """Return what the delivery says of videos that lack something: whether they are in it, and what they lack.

        `lies_there` tells of one that is held back now whether it is in the delivery all the same.
        """
        return [
            {
                "video": clip.video.stem, "delivered": clip in self.delivered or lies_there(clip),
                "accepted": clip.is_accepted, "missing": list(clip.missing),
            }
            for clip in sorted((*self.delivered, *self.held_back), key=lambda clip: clip.video.stem) if clip.missing
        ]  # fmt: skip


def contents_of(project: Project, completeness: str = "strict", accepted: Collection[Path] = ()) -> Contents:
    """Look through a project's folder; `accepted` are originals or proxies that a person took as they are."""
    clips = [_converted(video, accepted) for video in project.videos()]
    known = frozenset[Path]().union(*(clip.paths for clip in clips))
    # Only what no proxy says it was made from is looked up by its name, which takes a walk through the project each.
    stems = {clip.video.stem for clip in clips}
    unconverted = [(project.proxy_for(path), path) for path in project.originals() if path not in known]
    belonging = [(video, path) for video, path in unconverted if video.stem in stems]
    clips += [_unconverted(video, path, accepted) for video, path in unconverted if video.stem not in stems]
    held_back = tuple(clip for clip in clips if not clip.has_enough(completeness))
    kept = {path for clip in held_back for path in clip.paths}
    kept |= {path for video, path in belonging if video.stem in {clip.video.stem for clip in held_back}}
    regular, odd = _tree(project.path)
    return Contents(
        delivered=tuple(clip for clip in clips if clip not in held_back),
        held_back=held_back,
        files=tuple(File(path, str(path.relative_to(project.path))) for path in regular if path not in kept),
        odd=tuple(odd),
    )


def _converted(video: Video, accepted: Collection[Path]) -> Clip:
    original, proxy = _facts(video)
    paths = {video.proxy, *(video.artefact(wanted.suffix) for wanted in ARTEFACTS)}
    paths |= {made.path for made in recorded_artefacts(video)}
    if original:
        paths.add(video.project.path / original["path"])
    missing = tuple(_missing(video, has_facts=bool(original)))
    return Clip(video, original, proxy, missing, frozenset(paths), not paths.isdisjoint(accepted))


def _unconverted(video: Video, original: Path, accepted: Collection[Path]) -> Clip:
    """Without a proxy that is all there is to say: everything else is made from it."""
    return Clip(video, {}, {}, (f"{video.proxy.name} (STEP2)",), frozenset({original}), original in accepted)


def _missing(video: Video, *, has_facts: bool) -> Iterator[str]:
    failures = Record(video.project, video.stem).read().get("failures", {})
    wanted = [(video.proxy, "STEP2", True)]
    wanted += [(video.artefact(each.suffix), each.step, each.kind != "source" or has_facts) for each in ARTEFACTS]
    for path, step, is_readable in wanted:
        if not (path.is_file() and is_readable):
            yield f"{path.name} ({step})"
        elif step in failures:
            yield f"{path.name} ({step} failed)"


def _facts(video: Video) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Read what STEP2 says of the original and the proxy; nothing where it cannot be gone by."""
    try:
        text = video.artefact("_source.json").read_text(encoding="utf-8")
        known = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        original, proxy = known["original"], known["proxy"]
        is_sound = is_sha256(original["sha256"]) and _is_below(original["path"]) and _is_count(proxy["frames"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}, {}
    return (original, proxy) if is_sound and isinstance(original.get("video") or {}, dict) else ({}, {})


def _no_number(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which JSON has not and the archive's metadata cannot say."""
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _no_number(digits)


def _is_below(path: object) -> bool:
    """Tell whether this is a path relative to the project that stays in it."""
    return isinstance(path, str) and path != "" and not Path(path).is_absolute() and ".." not in Path(path).parts


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


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
