"""Colours, mouths and portraits, on drawn pictures and on the demo clips."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from tests.steps.step5.conftest import model_path
from workflow_scripts.step5.appearance import MOUTH_SIZE, PORTRAIT_SIDE, with_looks
from workflow_scripts.step5.detections import Detections, Looks
from workflow_scripts.step5.engines import ENGINES, opencv_yunet


def things(label: str, *boxes: tuple[float, float, float, float]) -> Detections:
    n = len(boxes)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), np.ones(n, np.float32), (label,) * n, "test")


def looks(frame: Any, detections: Detections, number: int = 0) -> Looks:
    found = with_looks(frame, detections, number).looks
    assert found is not None
    return found


def test_colours_are_counted_per_band() -> None:
    """A person red above and grey below is unlike one the other way round, and like itself elsewhere and twice as large."""
    frame = np.full((400, 400, 3), 200, np.uint8)
    frame[0:50, 0:40] = (0, 0, 220)
    frame[50:100, 100:140] = (0, 0, 220)
    frame[200:300, 200:280] = (0, 0, 220)
    colours = looks(frame, things("person", (0, 0, 40, 100), (100, 0, 140, 100), (200, 200, 280, 400))).colours
    assert (colours @ colours.T).round(3).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_colours_of_a_box_past_the_edge() -> None:
    colours = looks(np.zeros((1, 1, 3), np.uint8), things("face", (-50, -50, 500, 500))).colours
    assert float((colours**2).sum()) == pytest.approx(1)


def test_nothing_seen() -> None:
    assert looks(np.zeros((10, 10, 3), np.uint8), things("face")).portraits == ()


def test_a_face_without_points_has_neither_mouth_nor_portrait() -> None:
    found = looks(np.zeros((100, 100, 3), np.uint8), things("face", (0, 0, 50, 50)))
    assert found.portraits == (None,)
    assert np.isnan(found.mouths).all()


def test_portraits_are_taken_every_fifth_frame() -> None:
    frame, person = np.zeros((100, 100, 3), np.uint8), things("person", (0, 0, 50, 90))
    assert [number for number in range(11) if looks(frame, person, number).portraits[0] is not None] == [0, 5, 10]


def test_a_portrait_is_upright_however_the_head_is_turned(pictures: dict[str, Any]) -> None:
    """The same face turned by 20 degrees in the picture gives nearly the same portrait, as OpenCV's own alignment does."""
    engine = opencv_yunet.load(model_path)
    frame = pictures["interview"][130]
    turn = cv2.getRotationMatrix2D((470, 210), 20, 1.0)
    turned = cv2.warpAffine(frame, turn, (640, 360), borderMode=cv2.BORDER_REPLICATE)
    upright, tilted = (looks(picture, engine.detect(picture)).portraits[0] for picture in (frame, turned))
    assert upright is not None
    assert tilted is not None
    assert upright.shape == (PORTRAIT_SIDE, PORTRAIT_SIDE, 3)
    alike = np.corrcoef(upright.ravel().astype(float), tilted.ravel().astype(float))[0, 1]
    assert alike > 0.8


@pytest.mark.parametrize("engine", ["opencv_yunet", "mediapipe_landmarker"])
def test_portraits_of_every_engine_show_the_same(pictures: dict[str, Any], engine: str) -> None:
    """Eyes and mouth are where they belong: the portrait is much like the one that OpenCV's own alignment makes."""
    frame = pictures["interview"][250]
    _, rows = cv2.FaceDetectorYN.create(str(model_path("yunet")), "", (640, 360)).detect(frame)
    expected = cv2.FaceRecognizerSF.create(str(model_path("sface")), "").alignCrop(frame, rows[0])
    (portrait,) = looks(frame, ENGINES[engine].load(model_path).detect(frame)).portraits
    assert portrait is not None
    alike = np.corrcoef(expected.ravel().astype(float), portrait.ravel().astype(float))[0, 1]
    assert alike > 0.9


def test_a_mouth_that_opens_changes_and_one_at_rest_does_not(pictures: dict[str, Any]) -> None:
    """In obama_speech the face on the right speaks, the one on the left does not: truth.json says so."""
    engine = opencv_yunet.load(model_path)
    mouths = []
    for frame in pictures["obama_speech"][100:130]:
        seen = engine.detect(frame)
        mouths.append(looks(frame, seen).mouths[np.argsort(seen.boxes[:, 0])[:2]])
    assert mouths[0].shape == (2, MOUTH_SIZE[0] * MOUTH_SIZE[1])
    silent, speaking = np.abs(np.diff(mouths, axis=0)).mean(axis=(0, 2))
    assert speaking > 1.5 * silent
