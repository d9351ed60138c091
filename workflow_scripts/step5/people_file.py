"""The people of a project: `docs/people.json` (docs/schemas/people.json) and a picture of each in `docs/people/`.

Every video adds what it saw of each person; a video that is tracked again replaces what it said before. Two videos at
work at once take turns. A person of flesh and blood may write a `name`, which is kept.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.step5.detections import Floats
from workflow_scripts.step5.face_prints import PRINT, SFace
from workflow_scripts.step5.people import Group, Identity, grouped, identities
from workflow_scripts.step5.sightings import Sighting
from workflow_scripts.step5.speaking import Together
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.files import publish, write_json
from workflow_scripts.stepkit.projects import Project

SCHEMA = "derush.people/1"
_DECIMALS = 5


def recognised(
    project: Project,
    stem: str,
    sightings: Sequence[Sighting],
    scratch: Path,
    kind: str = SFace.kind,
    same: float = SFace.same,
) -> dict[int, Identity]:
    """Return who each track of a video is, and add the video's people to the project's.

    `scratch` is a folder on the project's file system; `kind` and `same` are those of the faces' prints (see `FacePrints`): a person
    whose prints are of another kind is not known again. Raises ItemError `bad_people` when the file was damaged by hand.
    """
    with _changed(project) as people:
        groups = grouped(sightings, _prints(people, kind), same)
        former = _without(people, stem)
        names = [_named(people, group, stem, former) for group in groups]
        elsewhere = _prints(people, kind)
        found = identities(sightings, groups, names)
        by_track = {sighting.track: sighting for sighting in sightings}
        for group, name in zip(groups, names, strict=True):
            seen = [by_track[track] for track in group.tracks]
            best = max(seen, key=lambda one: (one.quality, -one.track))
            _add(people[name], stem, group, sum(one.seen for one in seen), elsewhere.get(name), kind)
            _picture(project, people[name], name, stem, best, scratch)
        for name in former:
            if name in people and not people[name]["videos"] and not people[name]["name"]:
                del people[name]
                _path(project, name).unlink(missing_ok=True)
    return found


def voices_elsewhere(project: Project, stem: str) -> Together:
    """Return what the other videos of a project showed of which voice is whose."""
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for name, person in _read(people_file(project)).items():
        for other, video in person["videos"].items():
            for voice, frames in video["voices"].items() if other != stem else ():
                sums[voice, name] += frames
    return dict(sums)


def remember_voices(project: Project, stem: str, together: Together) -> None:
    """Record what a video showed of which voice is whose, of people who are known by the face."""
    with _changed(project) as people:
        for (voice, name), frames in sorted(together.items()):
            if name in people and people[name]["by"] == "face" and stem in people[name]["videos"]:
                people[name]["videos"][stem]["voices"][voice] = round(frames, 1)


def people_file(project: Project) -> Path:
    """Return where a project's people are recorded."""
    return project.path / "docs" / "people.json"


def given_names(project: Project) -> dict[str, str]:
    """Return the names that people of flesh and blood gave, by person. Raises ItemError `bad_people`."""
    return {key: person["name"] for key, person in _read(people_file(project)).items() if person["name"]}


def _path(project: Project, name: str) -> Path:
    return project.path / "docs" / "people" / f"{name}.jpg"


@contextmanager
def _changed(project: Project) -> Iterator[dict[str, Any]]:
    """Give the people, by key, to change; they are written on leaving, whole or not at all."""
    with project.locked(".people.lock"):
        people = _read(people_file(project))
        yield people
        write_json(people_file(project), {"schema": SCHEMA, "people": people})


def _read(path: Path) -> dict[str, Any]:
    """Return the people that are recorded; none where there is no file."""
    try:
        people = json.loads(path.read_text(encoding="utf-8"))["people"]
        return _alike({str(key): _checked(key, person) for key, person in people.items()})
    except FileNotFoundError:
        return {}
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        remedy = (
            "Mend it, or remove it and run STEP5 with --force on all videos of the project: "
            "the people are then found anew, without the names given to them."
        )
        raise ItemError("bad_people", f"{path.name} is damaged ({error!r}).", remedy) from error


def _checked(key: str, person: Mapping[str, Any]) -> dict[str, Any]:
    """Return a person's record as it should be, for a hand may have been at it. Raises what `_read` catches."""
    if not re.fullmatch("person_[1-9][0-9]*", key):
        raise ValueError(f"{key} is no key of a person")
    videos = {}
    for stem, video in person["videos"].items():
        face = None if video["face"] is None else np.array(video["face"], np.float64).reshape(-1).tolist()
        likeness = None if video["likeness"] is None else float(video["likeness"])
        tracks = list(map(int, video["tracks"]))
        videos[str(stem)] = {
            "tracks": tracks, "frames": int(video["frames"]), "face": face, "likeness": likeness,
            "print": str(video.get("print", SFace.kind)),
            "voices": {str(voice): float(frames) for voice, frames in video.get("voices", {}).items()},
        }  # fmt: skip
    return {
        "name": None if person["name"] is None else str(person["name"]),
        "by": str(person["by"]),
        "videos": videos,
        "picture_from": str(person["picture_from"]),
        "picture_quality": float(person["picture_quality"]),
    }


def _alike(people: dict[str, Any]) -> dict[str, Any]:
    """Return people whose prints of one kind have one length. Raises ValueError where they have not."""
    lengths = {SFace.kind: PRINT}
    for video in (video for person in people.values() for video in person["videos"].values()):
        if video["face"] is not None and len(video["face"]) != lengths.setdefault(video["print"], len(video["face"])):
            raise ValueError(f"a face of {len(video['face'])} numbers by {video['print']}")
    return people


def _prints(people: Mapping[str, Any], kind: str) -> dict[str, Floats]:
    """Return the mean print of a kind of each person whose face is known, over the videos, longer ones counting more."""
    prints = {}
    for name, person in people.items():
        videos = [video for video in person["videos"].values() if video["face"] is not None and video["print"] == kind]
        if videos:
            weighed = [np.array(video["face"], np.float64) * int(video["frames"]) for video in videos]
            mean = np.sum(weighed, axis=0)
            prints[name] = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
    return prints


def _without(people: dict[str, Any], stem: str) -> dict[str, Any]:
    """Take out what a video said before, and return it by person."""
    said = {name: person["videos"].pop(stem, None) for name, person in people.items()}
    return {name: video for name, video in said.items() if video is not None}


def _named(people: dict[str, Any], group: Group, stem: str, former: Mapping[str, Any]) -> str:
    """Return the key of a group's person, who is added when nobody known.

    Whom nobody knows by the face is who had the same tracks when the video was tracked before.
    """
    if group.known is not None:
        return group.known
    for name, video in former.items():
        if people[name]["by"] == group.by == "appearance" and video["tracks"] == list(group.tracks):
            return name
    name = next(name for name in (f"person_{number}" for number in count(1)) if name not in people)
    people[name] = {"name": None, "by": group.by, "videos": {}, "picture_from": stem, "picture_quality": 0.0}
    return name


def _add(person: dict[str, Any], stem: str, group: Group, frames: int, elsewhere: Floats | None, kind: str) -> None:
    """Record what a video shows of a person; `elsewhere` is the print that the other videos give."""
    by_face = group.by == "face"
    person["videos"][stem] = {
        "tracks": list(group.tracks),
        "frames": frames,
        "face": [round(float(value), _DECIMALS) for value in group.mean] if by_face else None,
        "likeness": round(float(group.mean @ elsewhere), _DECIMALS) if by_face and elsewhere is not None else None,
        "print": kind,
        "voices": {},
    }


def _picture(project: Project, person: dict[str, Any], name: str, stem: str, best: Sighting, scratch: Path) -> None:
    """Write the person's picture when there is none yet, this one is better, or the video had given it."""
    path = _path(project, name)
    better = best.quality > person["picture_quality"] or person["picture_from"] == stem or not path.is_file()
    if best.picture is None or not better:
        return
    temporary = scratch / f"{name}.jpg"
    temporary.write_bytes(best.picture.read())
    publish(temporary, path)
    person["picture_from"], person["picture_quality"] = stem, round(best.quality, _DECIMALS)
