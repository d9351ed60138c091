"""What is known of each track once it is over: when it was seen, what it looked like, how its mouth moved."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

import cv2
import numpy as np

from workflow_scripts.step5.blendshapes import JAW_OPEN
from workflow_scripts.step5.detections import Detections, Floats, Frame
from workflow_scripts.step5.tracks import LONGEST_GAP, TrackedFrame

Print = Callable[[Frame], Floats]
"""Gives the print of a face's portrait, a vector of length 1."""

_MOST_PORTRAITS = 3
_FRAMES_PER_PORTRAIT = 50
"""A face has a print for every two seconds it is seen, three at most: a further one changes little and costs as much."""
_JPEG_QUALITY = 90
FACE = "face"


@dataclass(frozen=True)
class Kept:
    """A picture in an album."""

    album: Album
    start: int
    size: int

    def read(self) -> bytes:
        """Return the picture."""
        self.album.stream.seek(self.start)
        return self.album.stream.read(self.size)


class Album:
    """Pictures in a file, one after the other: memory does not grow with them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def put(self, picture: bytes) -> Kept:
        """Keep a picture."""
        start = self.stream.seek(0, os.SEEK_END)
        self.stream.write(picture)
        return Kept(self, start, len(picture))


@dataclass
class Sighting:
    """One track. Frames are 0-based; `end` is the one after the last.

    `face` is the mean print of its best portraits, None where none was good enough; `picture` the best one as JPEG, where
    there is an album.
    `colours` is the mean of what it looked like. `openings` and `changes` tell of a face's mouth for each frame from
    `first` on, NaN where it was not seen: how far the jaw is open, 0 to 1, and how much the mouth differs from the frame
    before, 0 to 1; the first has only NaN where the engine gives no blendshapes.
    """

    track: int
    label: str
    first: int
    end: int
    seen: int = 0
    face: Floats | None = None
    picture: Kept | None = None
    quality: float = 0.0
    colours: Floats | None = None
    openings: array[float] = field(default_factory=lambda: array("f"))
    changes: array[float] = field(default_factory=lambda: array("f"))
    bodies: dict[int, int] = field(default_factory=dict)
    """Of a face: in how many frames it was the head of which other track."""


@dataclass
class _Open:
    """A track that goes on."""

    sighting: Sighting
    portraits: list[tuple[float, Frame]] = field(default_factory=list)
    mouth: Floats | None = None

    def take(self, detections: Detections, row: int, frame: int) -> None:
        known = self.sighting
        missed = frame - known.end
        known.openings.extend([np.nan] * missed)
        known.changes.extend([np.nan] * missed)
        if missed:
            self.mouth = None
        known.end, known.seen = frame + 1, known.seen + 1
        shapes = None if detections.blendshapes is None else detections.blendshapes[row]
        known.openings.append(np.nan if shapes is None else float(shapes[JAW_OPEN]))
        known.changes.append(self._change(detections, row))
        self._look(detections, row)

    def _change(self, detections: Detections, row: int) -> float:
        """Return how much the mouth differs from the frame before, light and shade evened out; NaN if it is not known."""
        if detections.looks is None or not detections.looks.mouths.size:
            return float("nan")
        before, now = self.mouth, detections.looks.mouths[row]
        self.mouth = now
        if before is None:
            return float("nan")
        return float(np.abs((now - now.mean()) - (before - before.mean())).mean())

    def _look(self, detections: Detections, row: int) -> None:
        known, looks = self.sighting, detections.looks
        if looks is None:
            return
        if known.colours is None:
            known.colours = looks.colours[row].copy()
        known.colours += (looks.colours[row] - known.colours) / np.float32(known.seen)
        portrait = looks.portraits[row]
        if portrait is not None:
            left, _, right, _ = detections.boxes[row]
            self.portraits.append((_quality(float(detections.scores[row]), float(right - left), portrait), portrait))
            self.portraits.sort(key=lambda pair: -pair[0])
            del self.portraits[_MOST_PORTRAITS:]

    def ended(self, print_of: Print | None, album: Album | None) -> Sighting:
        """Return all that is known of the track."""
        known = self.sighting
        if self.portraits:
            known.quality, best = self.portraits[0]
            if album:
                coded = cv2.imencode(".jpg", best, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
                known.picture = album.put(coded.tobytes())
        wanted = 1 + min(known.seen // _FRAMES_PER_PORTRAIT, _MOST_PORTRAITS - 1)
        if print_of and known.label == FACE and self.portraits:
            mean = np.mean([print_of(portrait) for _, portrait in self.portraits[:wanted]], axis=0)
            known.face = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
        return known


def _quality(score: float, width: float, portrait: Frame) -> float:
    """Return how good a portrait is: sure, large, and sharp."""
    grey = portrait.astype(np.float32).mean(axis=2)
    sharpness = float(np.abs(np.diff(grey, axis=1)).mean())
    return score * min(1.0, width / 112) * min(1.0, 0.2 + sharpness / 10)


class Sightings:
    """Gathers what is known of the tracks of a video as its frames pass by.

    Portraits are kept in memory only of tracks that go on, the best of the others in the album, if there is one.
    """

    def __init__(self, print_of: Print | None = None, album: Album | None = None) -> None:
        self._print_of, self._album = print_of, album
        self._open: dict[int, _Open] = {}
        self._over: list[Sighting] = []
        self._frame = -1

    def take(self, tracked: TrackedFrame) -> None:
        """Take the next frame."""
        self._frame += 1
        for row, track in enumerate(tracked.ids):
            if track is not None:
                first = Sighting(track, tracked.detections.labels[row], self._frame, self._frame)
                self._open.setdefault(track, _Open(first)).take(tracked.detections, row, self._frame)
        for face, body in _heads(tracked):
            bodies = self._open[face].sighting.bodies
            bodies[body] = bodies.get(body, 0) + 1
        self._close([track for track, going in self._open.items() if self._frame - going.sighting.end >= LONGEST_GAP])

    def ended(self) -> list[Sighting]:
        """Return all tracks, by number."""
        self._close(list(self._open))
        return sorted(self._over, key=lambda sighting: sighting.track)

    def _close(self, tracks: list[int]) -> None:
        self._over.extend(self._open.pop(track).ended(self._print_of, self._album) for track in tracks)


def _heads(tracked: TrackedFrame) -> Iterator[tuple[int, int]]:
    """Yield the tracks of faces with that of the smallest person whose box has the face in its upper half."""
    seen = tracked.detections
    rows = [row for row, track in enumerate(tracked.ids) if track is not None]
    persons = [row for row in rows if seen.labels[row] == "person"]
    for row in rows if persons else ():
        if seen.labels[row] != FACE:
            continue
        x, y = (seen.boxes[row][:2] + seen.boxes[row][2:]) / 2
        around = []
        for person in persons:
            left, top, right, bottom = seen.boxes[person]
            if left < x < right and top < y < (top + bottom) / 2:
                around.append((float((right - left) * (bottom - top)), person))
        face, body = tracked.ids[row], tracked.ids[min(around)[1]] if around else None
        if face is not None and body is not None:
            yield face, body
