"""What is gathered of each track, against expectations worked out by hand."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest

from workflow_scripts.step5.blendshapes import BLENDSHAPE_NAMES
from workflow_scripts.step5.detections import BLENDSHAPES, Detections, Looks
from workflow_scripts.step5.sightings import Album, Sighting, Sightings
from workflow_scripts.step5.tracks import LONGEST_GAP, TrackedFrame

JAW_OPEN = BLENDSHAPE_NAMES.index("jawOpen")


def frame(*things: tuple, jaw: float = 0.0, mouth: float = 0.0, portrait: Any = None) -> TrackedFrame:
    """A frame of (id, label, box); all have the same jaw, mouth (grey from 0 to that, left to right) and portrait."""
    n = len(things)
    shapes = np.zeros((n, BLENDSHAPES), np.float32)
    shapes[:, JAW_OPEN] = jaw
    mouths = np.tile(np.linspace(0, mouth, 11, dtype=np.float32), (n, 1))
    looks = Looks(np.ones((n, 1), np.float32), mouths, (portrait,) * n)
    boxes = np.array([box for _, _, box in things], np.float32).reshape(n, 4)
    labels = tuple(label for _, label, _ in things)
    seen = Detections(boxes, np.ones(n, np.float32), labels, "test", blendshapes=shapes, looks=looks)
    return TrackedFrame(seen, tuple(track for track, _, _ in things))


FACE = (1, "face", (0, 0, 112, 112))


def gathered(*frames: TrackedFrame, print_of: Any = None) -> list[Sighting]:
    sightings = Sightings(print_of, Album(BytesIO()))
    for one in frames:
        sightings.take(one)
    return sightings.ended()


def decoded(seen: Sighting) -> Any:
    assert seen.picture is not None
    return cv2.imdecode(np.frombuffer(seen.picture.read(), np.uint8), cv2.IMREAD_COLOR)


def test_a_track_is_known_frame_by_frame() -> None:
    """Mouths from 0 to 0.5 and to 1 differ, evened out, by a quarter of the range on average at the ends, 0 in the middle."""
    (seen,) = gathered(frame(), frame(FACE, jaw=0.1), frame(FACE, jaw=0.2, mouth=1.0), frame(), frame(FACE, jaw=0.3))
    assert (seen.first, seen.end, seen.seen) == (1, 5, 3)
    assert seen.openings.tolist() == pytest.approx([0.1, 0.2, np.nan, 0.3], nan_ok=True)
    change = np.abs(np.linspace(-0.5, 0.5, 11)).mean()
    assert seen.changes.tolist() == pytest.approx([np.nan, change, np.nan, np.nan], nan_ok=True), "none over a gap"


def test_light_that_changes_is_no_mouth_that_moves() -> None:
    brighter = frame(FACE, mouth=0.5)
    assert brighter.detections.looks is not None
    brighter.detections.looks.mouths[:] += 0.4
    (seen,) = gathered(frame(FACE, mouth=0.5), brighter)
    assert seen.changes[1] == pytest.approx(0, abs=1e-6)


def test_the_best_portraits_are_printed_one_for_two_seconds() -> None:
    taken = []

    def print_of(portrait: Any) -> Any:
        taken.append(portrait.std() > 0)
        return np.eye(4, dtype=np.float32)[0]

    sharp = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    blank = np.zeros((112, 112, 3), np.uint8)
    frames = [frame(FACE, portrait=blank)] * 30 + [frame(FACE, portrait=sharp)] + [frame(FACE, portrait=blank)] * 24
    (seen,) = gathered(*frames, print_of=print_of)
    assert taken == [True, False]
    assert decoded(seen).std() > 10
    assert seen.face is not None
    assert seen.face.tolist() == [1, 0, 0, 0]


def test_only_faces_are_printed() -> None:
    person = (1, "person", (0, 0, 50, 100))
    portrait = np.zeros((128, 64, 3), np.uint8)
    (seen,) = gathered(frame(person, portrait=portrait), print_of=lambda _: pytest.fail("printed"))
    assert seen.face is None
    assert decoded(seen).shape == portrait.shape


def test_portraits_of_what_is_over_are_let_go() -> None:
    """A track that cannot come back is closed at once, so that memory stays the same however many there are."""
    closed = []
    sightings = Sightings(lambda portrait: closed.append(portrait) or np.ones(1, np.float32))
    sightings.take(frame(FACE, portrait=np.zeros((112, 112, 3), np.uint8)))
    for _ in range(LONGEST_GAP):
        sightings.take(frame())
    assert not closed
    sightings.take(frame())
    assert len(closed) == 1


def test_pictures_of_what_is_over_stand_in_a_file() -> None:
    stream = BytesIO()
    sightings = Sightings(album=Album(stream))
    colours = [40, 120, 200]
    for track, colour in enumerate(colours, 1):
        sightings.take(frame((track, "face", (0, 0, 50, 50)), portrait=np.full((112, 112, 3), colour, np.uint8)))
        for _ in range(LONGEST_GAP + 1):
            sightings.take(frame())
    assert len(stream.getvalue()) > 0
    assert [round(decoded(seen).mean()) for seen in reversed(sightings.ended())] == colours[::-1]


def test_a_face_belongs_to_the_smallest_person_around_it() -> None:
    near, far = (2, "person", (0, 0, 300, 600)), (3, "person", (40, 80, 200, 400))
    face, legs = (4, "face", (100, 100, 140, 150)), (5, "face", (100, 380, 140, 398))
    by_track = {seen.track: seen.bodies for seen in gathered(frame(near, far, face, legs))}
    assert by_track == {2: {}, 3: {}, 4: {3: 1}, 5: {}}
