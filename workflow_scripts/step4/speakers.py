"""The speakers of a project: who was heard in which video, how they sound, and what a person calls them.

`<project>/speakers.json` keeps a voice print of each speaker and video. A video's speakers are matched with those of the
others by their prints, so that one person has one label throughout the project; a label, once given, stays.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.step4.joining import Print
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.files import write_json
from workflow_scripts.stepkit.projects import Project

SCHEMA = "derush.speakers/1"
DIMENSION = 192


@dataclass(frozen=True)
class Match:
    """A video's speaker found in the project, or new to it.

    `similarity` is the cosine to the nearest speaker of other videos, None where there is no print to compare. `confidence`, from
    0.5 to 1, says how far that is from the threshold, on the side that was decided for; 0 without a print.
    """

    label: str
    similarity: float | None
    confidence: float


def path_of(project: Project) -> Path:
    """Return the file in which a project's speakers are kept."""
    return project.path / "speakers.json"


def names(project: Project) -> dict[str, str]:
    """Return what a person called the speakers, by label; those without a name are left out."""
    return {speaker["label"]: speaker["name"] for speaker in _read(path_of(project)) if speaker["name"]}


def settle(
    project: Project, stem: str, prints: Mapping[str, Print | None], seconds: Mapping[str, float], threshold: float
) -> dict[str, Match]:
    """Find the speakers of a video in the project and remember them; returns each one's match.

    `prints` are in the order in which new labels are given. Raises ItemError when the file is no longer readable.
    """
    if not prints and not path_of(project).exists():
        return {}
    with _changing(project) as known:
        matches = matched(known, stem, prints, threshold)
        for speaker in known:
            speaker["videos"].pop(stem, None)
        by_label = {speaker["label"]: speaker for speaker in known}
        for who, match in matches.items():
            if match.label not in by_label:
                by_label[match.label] = {"label": match.label, "name": None, "videos": {}}
                known.append(by_label[match.label])
            heard = {"seconds": round(seconds.get(who, 0.0), 3), "print": _packed(prints[who])}
            by_label[match.label]["videos"][stem] = heard
        known[:] = sorted(
            (speaker for speaker in known if speaker["videos"] or speaker["name"]), key=lambda it: str(it["label"])
        )
    return matches


def matched(
    known: Sequence[Mapping[str, Any]], stem: str, prints: Mapping[str, Print | None], threshold: float
) -> dict[str, Match]:
    """Give each speaker of a video one of the project's labels, or a new one; two of a video never share one.

    They are compared with how the others' videos sound. What this video gave itself, when it was done before, counts for
    nothing but the label: a speaker who is in no other video keeps theirs. The most alike pairs come first. A speaker
    without a print has the label of another such speaker that this video had.
    """
    mine = {who: voice for who, voice in prints.items() if voice is not None}
    elsewhere = _voices(known, lambda video: video != stem)
    alike = {
        who: max((float(voice @ other) for other in elsewhere.values()), default=None) for who, voice in mine.items()
    }
    taken = {
        who: Match(label, round(similarity, 3), _confidence(similarity, threshold))
        for who, label, similarity in _pairs(mine, elsewhere, threshold)
    }
    left = {who: voice for who, voice in mine.items() if who not in taken}
    own = _voices([it for it in known if set(it["videos"]) == {stem}], lambda _: True)
    before = {who: label for who, label, _ in _pairs(left, own, threshold)}
    silent = [str(it["label"]) for it in known if stem in it["videos"] and it["videos"][stem]["print"] is None]
    fresh = _fresh({str(speaker["label"]) for speaker in known})
    for who, voice in prints.items():
        if who not in taken:
            nearest = alike.get(who)
            label = before.get(who) or (silent.pop(0) if voice is None and silent else next(fresh))
            sure = 0.0 if voice is None else _confidence(nearest, threshold)
            taken[who] = Match(label, None if nearest is None else round(nearest, 3), sure)
    return taken


def _voices(known: Iterable[Mapping[str, Any]], which: Callable[[str], bool]) -> dict[str, Print]:
    """Return how speakers sound in some of their videos, by label; those who have no print there are left out."""
    heard = ((str(it["label"]), _voice([part for video, part in it["videos"].items() if which(video)])) for it in known)
    return {label: voice for label, voice in heard if voice is not None}


def _pairs(mine: Mapping[str, Print], others: Mapping[str, Print], threshold: float) -> list[tuple[str, str, float]]:
    """Return who of `mine` is who of `others`, and how alike, each at most once; the most alike first."""
    likely = sorted(
        ((float(voice @ other), who, label) for who, voice in mine.items() for label, other in others.items()),
        reverse=True,
    )
    found: list[tuple[str, str, float]] = []
    for similarity, who, label in likely:
        if similarity >= threshold and all(who != one and label != its for one, its, _ in found):
            found.append((who, label, similarity))
    return found


def _confidence(similarity: float | None, threshold: float) -> float:
    if similarity is None:
        return 1.0
    room = 1 - threshold if similarity >= threshold else threshold
    return round(min(1.0, 0.5 + 0.5 * abs(similarity - threshold) / max(room, 1e-6)), 3)


def _fresh(labels: set[str]) -> Iterator[str]:
    number = 0
    while True:
        if (label := f"SPEAKER_{number:02d}") not in labels:
            yield label
        number += 1


def _voice(videos: Iterable[Mapping[str, Any]]) -> Print | None:
    """Return how a speaker sounds over videos, each counting by how long they speak there."""
    heard = [(part["seconds"], _unpacked(part["print"])) for part in videos if part["print"]]
    total = sum((seconds * voice for seconds, voice in heard), np.zeros(DIMENSION, dtype=np.float32))
    length = float(np.linalg.norm(total)) if heard else 0.0
    return np.asarray(total / length, dtype=np.float32) if length > 0 else None


def _packed(voice: Print | None) -> str | None:
    """Return a print as base64 of 16-bit floats, little endian: 512 characters."""
    return None if voice is None else base64.b64encode(voice.astype("<f2").tobytes()).decode("ascii")


def _unpacked(text: str) -> Print:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").astype(np.float32)


@contextmanager
def _changing(project: Project) -> Iterator[list[dict[str, Any]]]:
    """Give a project's speakers to change; they are written on leaving. Workers at two videos take turns."""
    with project.locked(".speakers.lock"):
        known = _read(path_of(project))
        yield known
        write_json(path_of(project), {"schema": SCHEMA, "speakers": known})


def _read(path: Path) -> list[dict[str, Any]]:
    """Read the file, which a person may have edited. Raises ItemError that says where it is wrong."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        return [_checked(speaker) for speaker in document["speakers"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ItemError(
            "broken_speakers", f"{path} cannot be read ({type(error).__name__}: {error}).",
            "Correct what was edited in it, or remove it and run STEP4 with --force: speakers then get new labels.",
        ) from error  # fmt: skip


def _checked(speaker: dict[str, Any]) -> dict[str, Any]:
    name = speaker["name"]
    if not isinstance(speaker["label"], str) or not (name is None or isinstance(name, str)):
        raise ValueError("a label or name is no text")
    videos = {
        str(stem): {"seconds": float(heard["seconds"]), "print": heard["print"]}
        for stem, heard in speaker["videos"].items()
    }
    if any(part["print"] is not None and _unpacked(part["print"]).shape != (DIMENSION,) for part in videos.values()):
        raise ValueError(f"{speaker['label']} has a print that is not {DIMENSION} numbers")
    return {"label": speaker["label"], "name": " ".join((name or "").split()) or None, "videos": videos}
