"""The speakers of a project: who was heard in which video, how they sound, and what a person calls them.

`<project>/speakers.json` keeps a voice print of each speaker and video. A video's speakers are matched with those of the
others by their prints, so that one person has one label throughout the project; a label, once given, stays.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
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

    `similarity` is the cosine to the nearest known speaker, None where there is no print to compare. `confidence`, from
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

    The most alike pairs come first. A speaker without a print has the label of another such speaker that this video had.
    """
    taken: dict[str, Match] = {}
    voices = {str(speaker["label"]): voice for speaker in known if (voice := _voice(speaker)) is not None}
    pairs = sorted(
        ((float(mine @ voice), who, label) for who, mine in prints.items() if mine is not None
         for label, voice in voices.items()), reverse=True,
    )  # fmt: skip
    best = {who: similarity for similarity, who, _ in reversed(pairs)}
    for similarity, who, label in pairs:
        if similarity >= threshold and who not in taken and label not in {match.label for match in taken.values()}:
            taken[who] = Match(label, round(similarity, 3), _confidence(similarity, threshold))
    silent = [str(it["label"]) for it in known if stem in it["videos"] and it["videos"][stem]["print"] is None]
    fresh = _fresh({str(speaker["label"]) for speaker in known})
    for who, mine in prints.items():
        if who not in taken:
            nearest = best.get(who)
            label = silent.pop(0) if mine is None and silent else next(fresh)
            sure = 0.0 if mine is None else _confidence(nearest, threshold)
            taken[who] = Match(label, None if nearest is None else round(nearest, 3), sure)
    return taken


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


def _voice(speaker: Mapping[str, Any]) -> Print | None:
    """Return how a speaker sounds over all videos, each counting by how long they speak there."""
    heard = [(part["seconds"], _unpacked(part["print"])) for part in speaker["videos"].values() if part["print"]]
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
