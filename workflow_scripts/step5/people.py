"""Which tracks are one person: across the cuts of a video by the face, and across videos by the faces already known.

Pure. Tracks are joined by average linkage (the two groups that are most alike first), never two that share a frame.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Floats
from workflow_scripts.step5.sightings import FACE, Sighting

SAME_CLOTHES = 0.9
"""Likeness of colours from which two persons without a face are one, within a video."""
_MOST_LINKED = 600
"""Tracks of a video that are compared each with each, the longest ones: linking takes time with the cube of their number."""
_PERSON = "person"
_NEVER = -2.0
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Identity:
    """Who a track is: `person` is a key of the project's people; `confidence`: how alike it is to the person in this video.

    That is from 0 to 1, and rests on this video alone: it does not change with what other videos show. `by` is `face`, or `appearance` where no face was seen.
    """

    person: str
    confidence: float
    by: str


@dataclass(frozen=True)
class Group:
    """Tracks of a video that are one person; `known` is who that is already, `by` as in Identity.

    `mean` is that of the tracks' prints, or colours, of length 1.
    """

    tracks: tuple[int, ...]
    known: str | None
    by: str
    mean: Floats


def grouped(sightings: Sequence[Sighting], known: Mapping[str, Floats], same: float) -> list[Group]:
    """Return the people of a video, in the order of their first tracks; `known` are prints of faces by person.

    `same` is how alike two prints of one person are at least.
    """
    faces = [sighting for sighting in sightings if sighting.face is not None]
    found = _joined(faces, [_row(sighting.face) for sighting in faces], known, same, "face")
    has_head = {body for face in faces for body in face.bodies}
    bodies = [
        one for one in sightings if one.label == _PERSON and one.track not in has_head and one.colours is not None
    ]
    found += _joined(bodies, [_row(body.colours) for body in bodies], {}, SAME_CLOTHES, "appearance")
    return sorted(found, key=lambda group: group.tracks[0])


def _row(values: NDArray[Any] | None) -> Floats:
    """Return a vector in the length 1."""
    assert values is not None
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9), np.float32)


def _joined(
    sightings: Sequence[Sighting], rows: Sequence[Floats], known: Mapping[str, Floats], least: float, by: str
) -> list[Group]:
    """Join what is at least so alike, and what is known already with what is like it."""
    if not sightings:
        return []
    names, prints = sorted(known), np.stack(rows).astype(np.float64)
    by_length = sorted(range(len(sightings)), key=lambda index: -sightings[index].seen)
    linked = sorted(by_length[:_MOST_LINKED])
    nodes = np.concatenate([np.array([known[name] for name in names]).reshape(-1, prints.shape[1]), prints[linked]])
    alike = nodes @ nodes.T
    alike[_apart([sightings[index] for index in linked], len(names))] = _NEVER
    groups = []
    for members in _linked(alike, least):
        owner = names[members[0]] if members[0] < len(names) else None
        groups.append((owner, [linked[node - len(names)] for node in members if node >= len(names)]))
    _attach(groups, known, sightings, prints, by_length[_MOST_LINKED:], least)
    return [
        Group(tuple(sightings[index].track for index in sorted(own)), owner, by, _row(prints[own].mean(axis=0)))
        for owner, own in groups
        if own
    ]


def _attach(
    groups: list[tuple[str | None, list[int]]],
    known: Mapping[str, Floats],
    sightings: Sequence[Sighting],
    prints: Matrix,
    rest: Sequence[int],
    least: float,
) -> None:
    """Add the tracks that were too many to be linked, each to the group it is most like, or as one of its own."""
    means = np.zeros((len(groups) + len(rest), prints.shape[1]), np.float32)
    for place, (owner, own) in enumerate(groups):
        means[place] = known[owner] if owner and not own else _row(prints[own].mean(axis=0))
    times = [_Times(sightings[index] for index in own) for _, own in groups]
    for index in rest:
        track, print_ = sightings[index], prints[index].astype(np.float32)
        alike = means[: len(groups)] @ print_
        likely = np.flatnonzero(alike >= least)
        order = likely[np.argsort(-alike[likely], kind="stable")].tolist()
        place = next((place for place in order if times[place].has_room_for(track)), len(groups))
        if place == len(groups):
            groups.append((None, []))
            times.append(_Times(()))
            means[place] = print_
        groups[place][1].append(index)
        times[place].add(track)


class _Times:
    """When the tracks of a group are there: no two at a time."""

    def __init__(self, tracks: Iterable[Sighting]) -> None:
        self._spans = sorted((track.first, track.end) for track in tracks)

    def has_room_for(self, track: Sighting) -> bool:
        """Tell whether nobody of the group is there at the same time."""
        after = bisect_left(self._spans, (track.first, track.first))
        follows = after == 0 or self._spans[after - 1][1] <= track.first
        return follows and (after == len(self._spans) or self._spans[after][0] >= track.end)

    def add(self, track: Sighting) -> None:
        """Take in a track that there is room for."""
        insort(self._spans, (track.first, track.end))


def _apart(sightings: Sequence[Sighting], known: int) -> NDArray[np.bool_]:
    """Return which are never joined: people who are known apart, and tracks that share a frame; and each with itself."""
    first = np.array([sighting.first for sighting in sightings])
    end = np.array([sighting.end for sighting in sightings])
    apart = np.eye(known + len(sightings), dtype=bool)
    apart[:known, :known] = True
    apart[known:, known:] |= (first[:, None] < end[None]) & (first[None] < end[:, None])
    return apart


def _linked(alike: Matrix, least: float) -> list[list[int]]:
    """Return groups of indices, each sorted, whose mutual likeness is `least` on average; negative below -1 is never."""
    alike = alike.copy()
    groups: list[list[int] | None] = [[index] for index in range(len(alike))]
    while True:
        place = int(np.argmax(alike))
        a, b = sorted(divmod(place, len(alike)))
        if alike[a, b] < least:
            return [sorted(group) for group in groups if group]
        one, other = groups[a] or [], groups[b] or []
        mean = (len(one) * alike[a] + len(other) * alike[b]) / (len(one) + len(other))
        mean[(alike[a] <= -1.5) | (alike[b] <= -1.5)] = _NEVER
        alike[a], alike[:, a] = mean, mean
        alike[b], alike[:, b] = _NEVER, _NEVER
        groups[a], groups[b] = one + other, None


def identities(sightings: Sequence[Sighting], groups: Sequence[Group], names: Sequence[str]) -> dict[int, Identity]:
    """Return who each track is, `names` being the groups' people; the body of a face is the same person."""
    by_track = {sighting.track: sighting for sighting in sightings}
    found = {}
    for group, name in zip(groups, names, strict=True):
        for track in group.tracks:
            seen = by_track[track]
            values = _row(seen.face if group.by == "face" else seen.colours)
            confidence = min(1.0, max(0.0, float(values @ group.mean)))
            found[track] = Identity(name, round(confidence, 4), group.by)
    faces = [sighting for sighting in sightings if sighting.label == FACE and sighting.track in found]
    heads = [(frames, face.track, body) for face in faces for body, frames in face.bodies.items()]
    for _, head, body in sorted(heads):  # the face that is seen longest with a body decides last
        found[body] = found[head]
    return found
