"""The people of a project: `docs/people.json` (docs/schemas/people.json) and a picture of each in `docs/people/`.

Every video adds what it saw of each person; a video that is tracked again replaces what it said before. Two videos at
work at once take turns. A person of flesh and blood may write a `name`, which is kept.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.step5.detections import Floats
from workflow_scripts.step5.face_prints import SFace
from workflow_scripts.step5.people import Group, Identity, grouped, identities
from workflow_scripts.step5.sightings import Sighting
from workflow_scripts.step5.speaking import Together
from workflow_scripts.stepkit import ItemError
from workflow_scripts.stepkit.files import publish, write_json
from workflow_scripts.stepkit.projects import Project, Video
from workflow_scripts.stepkit.records import Record

SCHEMA = "derush.people/1"
_DECIMALS = 5
_MOST_FRAMES = 1 << 31


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
    length = next((len(one.face) for one in sightings if one.face is not None), 0)
    with _changed(project) as people:
        groups = grouped(sightings, _prints(people, kind, length), same)
        former = _without(people, stem)
        names = [_named(people, group, stem, former) for group in groups]
        elsewhere = _prints(people, kind, length)
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
    """Return what the other videos of a project showed of which voice is whose.

    A video that is there no more, or that STEP4 has heard anew since, says nothing: its speakers may be called otherwise by now.
    """
    people = _read(people_file(project))
    others = {video.stem: audio_sha256(video) for video in project.videos() if video.stem != stem}
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for name, person in people.items():
        for other, said in person["videos"].items():
            if said["voices_from"] is not None and said["voices_from"] == others.get(other):
                for voice, frames in said["voices"].items():
                    sums[voice, name] += frames
    return dict(sums)


def audio_sha256(video: Video) -> str | None:
    """Return the sha256 of what STEP4 heard in a video (`_audio_raw.json`); None where that cannot be read."""
    try:
        return Record(video.project, video.stem).fingerprint(video.artefact("_audio_raw.json"))
    except OSError:
        return None


def remember_voices(project: Project, stem: str, together: Together, audio: str | None) -> None:
    """Record what a video showed of which voice is whose, of people who are known by the face.

    `audio` is the sha256 of the `_audio_raw.json` that calls the voices so: see `audio_sha256`.
    """
    with _changed(project) as people:
        for (voice, name), frames in sorted(together.items()):
            if name in people and people[name]["by"] == "face" and stem in people[name]["videos"]:
                said = people[name]["videos"][stem]
                said["voices"][voice], said["voices_from"] = round(frames, 1), audio


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
        return {str(key): _checked(key, person) for key, person in people.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
        videos[str(stem)] = {
            "tracks": list(map(int, video["tracks"])),
            "frames": _checked_frames(video["frames"]),
            "face": None if video["face"] is None else _checked_face(video["face"]),
            "likeness": None if video["likeness"] is None else _finite(video["likeness"]),
            "print": str(video.get("print", SFace.kind)),
            "voices": {str(voice): _finite(frames) for voice, frames in video.get("voices", {}).items()},
            "voices_from": None if video.get("voices_from") is None else str(video["voices_from"]),
        }
    return {
        "name": None if person["name"] is None else str(person["name"]),
        "by": str(person["by"]),
        "videos": videos,
        "picture_from": str(person["picture_from"]),
        "picture_quality": _finite(person["picture_quality"]),
    }


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no measure")
    return number


def _checked_frames(value: Any) -> int:
    frames = int(value)
    if not 1 <= frames < _MOST_FRAMES:
        raise ValueError("a person is seen in 1 frame at least, and in no more than a video can have")
    return frames


def _checked_face(values: Any) -> list[float]:
    face = np.array(values, np.float64).reshape(-1)
    if not (np.abs(face) <= 1).all():
        raise ValueError("the numbers of a face are from -1 to 1")
    return [float(value) for value in face]


def _prints(people: Mapping[str, Any], kind: str, length: int) -> dict[str, Floats]:
    """Return the mean print of a kind of each person whose face is known, over the videos, longer ones counting more.

    A face that has not the `length` of the kind's prints is not compared: a hand was at it.
    """
    prints = {}
    for name, person in people.items():
        faces = [
            (video["face"], video["frames"]) for video in person["videos"].values()
            if video["face"] is not None and video["print"] == kind and len(video["face"]) == length
        ]  # fmt: skip
        if faces:
            weighed = [np.array(face, np.float64) * frames for face, frames in faces]
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
        "voices_from": None,
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
