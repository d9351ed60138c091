"""One suite over every engine, on real frames whose faces people marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.steps.step5.conftest import model_path
from workflow_scripts.step5.detections import Detections
from workflow_scripts.step5.engines import ENGINES, Engine
from workflow_scripts.step5.face_mesh import BLENDSHAPE_NAMES, BLENDSHAPE_POINTS, FaceSquare
from workflow_scripts.step5.tracks import CONFIDENT, overlaps

Pictures = dict[str, NDArray[np.uint8]]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param].load(model_path)


@pytest.fixture(scope="module")
def landmarker() -> Engine:
    return ENGINES["mediapipe_landmarker"].load(model_path)


def test_it_says_who_it_is(engine: Engine) -> None:
    seen = engine.detect(np.zeros((90, 120, 3), np.uint8))
    assert engine.name in ENGINES
    assert seen.source == engine.name


@pytest.mark.parametrize("stem", ["interview", "obama_speech"])
def test_it_finds_the_faces_that_people_see(
    engine: Engine, pictures: Pictures, truth: dict[str, Any], stem: str
) -> None:
    for marked in truth[stem]["faces"]:
        seen = engine.detect(pictures[stem][marked["frame"]])
        sure = seen.boxes[seen.scores >= CONFIDENT]
        assert len(sure) <= marked["count"], marked
        for x, y, width, height in marked["boxes"]:
            box = np.array([[x, y, x + width, y + height]], np.float32)
            assert overlaps(box, sure).max(initial=0) >= 0.4, marked


def test_it_sees_no_face_where_there_is_none(engine: Engine, pictures: Pictures, truth: dict[str, Any]) -> None:
    for first, end in truth["interview"]["no_human_face"]:
        for frame in pictures["interview"][first:end:10]:
            assert not (engine.detect(frame).scores >= CONFIDENT).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (720, 3), (3, 1300)])
def test_any_size_will_do(engine: Engine, size: tuple[int, int]) -> None:
    """Strips too thin for a face show none, whatever a network makes of them: several noises, as its answers vary."""
    for seed in range(20):
        noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        assert not (engine.detect(noise).scores >= CONFIDENT).any()


def test_places_are_in_pixels_of_the_frame_whatever_its_size(engine: Engine, pictures: Pictures) -> None:
    """A frame two or four times as large has its face two or four times as far from the corner."""
    frame = pictures["interview"][105]
    small = engine.detect(frame)
    for times in (2, 4):
        large = engine.detect(frame.repeat(times, axis=0).repeat(times, axis=1))
        assert overlaps(small.boxes * np.float32(times), large.boxes).max() > 0.9
        assert large.landmarks is not None and small.landmarks is not None
        assert np.abs(large.landmarks / times - small.landmarks)[..., :2].max() < 0.06 * 210  # of the face's width


def test_the_same_frame_gives_the_same_and_stays_as_it_is(engine: Engine, pictures: Pictures) -> None:
    frame = pictures["obama_speech"][30].copy()
    first = engine.detect(frame)
    engine.detect(pictures["interview"][300])
    again = engine.detect(frame)
    assert np.array_equal(frame, pictures["obama_speech"][30])
    for name in ("boxes", "scores", "landmarks", "blendshapes"):
        one, other = getattr(first, name), getattr(again, name)
        assert (one is None and other is None) or np.array_equal(one, other, equal_nan=True)


def test_points_and_blendshapes_are_as_announced(engine: Engine, pictures: Pictures) -> None:
    seen = engine.detect(pictures["interview"][300])
    assert (0 if seen.landmarks is None else seen.landmarks.shape[1]) == engine.points
    assert (seen.blendshapes is not None) == bool(engine.blendshape_names)
    assert list(seen.boxes[:, 0]) == sorted(seen.boxes[:, 0]), "from left to right"


def mouth(engine: Engine, seen: Detections, row: int) -> NDArray[np.float32]:
    """Return points of the mouth, (k, 2)."""
    assert seen.landmarks is not None
    which = [3, 4] if engine.points == 5 else [61, 291, 13, 14, 0, 17]  # corners; corners, inner lips, outer lips
    return seen.landmarks[row, which, :2]


def test_the_mouth_is_in_the_lower_half_of_the_face(engine: Engine, pictures: Pictures, truth: dict[str, Any]) -> None:
    for marked in truth["interview"]["faces"]:
        for x, y, width, height in marked["boxes"]:
            seen = engine.detect(pictures["interview"][marked["frame"]])
            row = int(overlaps(np.array([[x, y, x + width, y + height]], np.float32), seen.boxes).argmax())
            points = mouth(engine, seen, row)
            assert (points[:, 0] > x).all() and (points[:, 0] < x + width).all(), marked
            assert (points[:, 1] > y + height / 2).all() and (points[:, 1] < y + height).all(), marked


def test_the_jaw_moves_more_in_the_face_that_speaks(
    landmarker: Engine, pictures: Pictures, truth: dict[str, Any]
) -> None:
    """`truth` says: of the two men the one on the right speaks, the other stands still."""
    frames = pictures["obama_speech"][25::5]
    jaws = [landmarker.detect(frame).blendshapes[:2, BLENDSHAPE_NAMES.index("jawOpen")] for frame in frames]
    silent, speaking = np.array(jaws).T
    assert "right speaks" in truth["obama_speech"]["seen"]
    assert speaking.mean() > 1.5 * silent.mean()
    assert speaking.std() > 1.5 * silent.std()


def test_a_face_seen_by_the_detector_alone_keeps_its_box(
    landmarker: Engine, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mesh is shown the sky beside the face, as when the detector is mistaken."""
    nothing = np.zeros((1, 256, 256, 3), np.float32)
    monkeypatch.setattr(FaceSquare, "cut", lambda *_: nothing)
    seen = landmarker.detect(pictures["interview"][105])
    assert len(seen) == 1
    assert np.isnan(seen.landmarks).all() and np.isnan(seen.blendshapes).all()


def test_the_square_turns_with_the_eyes() -> None:
    """A face lying on its side, its crown to the right: eyes one below the other, the chin on the left."""
    box = np.array([100, 100, 300, 200], np.float32)
    square = FaceSquare.around(box, np.array([[220, 120], [220, 180]], np.float32))
    corners = square.to_frame(np.array([[128, 128, 0], [128, 256, 0], [256, 128, 10]], np.float32))
    centre, below, across = corners[:, :2]
    assert centre.tolist() == pytest.approx([200 - 0.045 * 200, 150], abs=0.01)  # a little towards the chin
    assert (below - centre).tolist() == pytest.approx([-138, 0], abs=0.01)  # half of 1.38 * 200, to the left
    assert (across - centre).tolist() == pytest.approx([0, 138], abs=0.01)
    assert corners[2, 2] == pytest.approx(10 * 276 / 256)


def test_the_vocabulary_is_whole() -> None:
    assert len(set(BLENDSHAPE_NAMES)) == 52
    assert (BLENDSHAPE_NAMES[0], BLENDSHAPE_NAMES[25]) == ("_neutral", "jawOpen")
    assert len(set(BLENDSHAPE_POINTS.tolist())) == 146
    assert BLENDSHAPE_POINTS.max() == 477
