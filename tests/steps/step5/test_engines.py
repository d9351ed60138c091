"""One suite over every engine; those that see faces are shown real frames whose faces people marked.

The engines whose models no package has are given small networks that are made here and see what is red, bright or square.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.steps.step5 import networks
from tests.steps.step5.conftest import model_path
from workflow_scripts.step5.blendshapes import BLENDSHAPE_NAMES
from workflow_scripts.step5.choice import Choice
from workflow_scripts.step5.detections import Detections
from workflow_scripts.step5.engines import ENGINES, Engine
from workflow_scripts.step5.face_mesh import BLENDSHAPE_POINTS, FaceSquare
from workflow_scripts.step5.tracks import CONFIDENT, overlaps
from workflow_scripts.stepkit import PrerequisiteMissing

Pictures = dict[str, NDArray[np.uint8]]


FACES = ("mediapipe_landmarker", "opencv_yunet", "opencv_haar")
POINTED = ("mediapipe_landmarker", "opencv_yunet")
Paths = Callable[[str], Path]


@pytest.fixture(scope="module")
def paths(own_models: dict[str, Path]) -> Paths:
    return lambda name: own_models.get(name) or model_path(name)


def made(name: str, paths: Paths) -> Engine:
    """Load an engine, or several joined by `+`."""
    return Choice(tuple(ENGINES[part] for part in name.split("+"))).load(paths)


@pytest.fixture(scope="module", params=[*ENGINES, "opencv_yunet+nanodet"])
def engine(request: pytest.FixtureRequest, paths: Paths) -> Engine:
    return made(request.param, paths)


@pytest.fixture(scope="module", params=FACES)
def face_engine(request: pytest.FixtureRequest, paths: Paths) -> Engine:
    return made(request.param, paths)


@pytest.fixture(scope="module", params=POINTED)
def pointed(request: pytest.FixtureRequest, paths: Paths) -> Engine:
    return made(request.param, paths)


@pytest.fixture(scope="module")
def landmarker() -> Engine:
    return ENGINES["mediapipe_landmarker"].load(model_path)


def test_it_says_who_it_is(engine: Engine) -> None:
    seen = engine.detect(np.zeros((90, 120, 3), np.uint8))
    assert set(engine.name.split("+")) <= set(ENGINES)
    assert seen.source == engine.name
    assert engine.batch >= 1 and engine.side >= 224 and not engine.to_cpu(), "it is on the CPU here"


@pytest.mark.parametrize("stem", ["interview", "obama_speech"])
def test_it_finds_the_faces_that_people_see(
    face_engine: Engine, pictures: Pictures, truth: dict[str, Any], stem: str
) -> None:
    """The cascades are the oldest way: three faces in four are asked of them, and one mistake in a clip forgiven."""
    found = there = wrong = 0
    for marked in truth[stem]["faces"]:
        seen = face_engine.detect(pictures[stem][marked["frame"]])
        sure = seen.boxes[seen.scores >= CONFIDENT]
        wrong += max(0, len(sure) - marked["count"])
        for x, y, width, height in marked["boxes"]:
            box = np.array([[x, y, x + width, y + height]], np.float32)
            found += overlaps(box, sure).max(initial=0) >= 0.4
            there += 1
    is_old = face_engine.name == "opencv_haar"
    assert wrong <= is_old
    assert found >= (0.75 if is_old else 1) * there


def test_it_sees_no_face_where_there_is_none(pointed: Engine, pictures: Pictures, truth: dict[str, Any]) -> None:
    for first, end in truth["interview"]["no_human_face"]:
        for frame in pictures["interview"][first:end:10]:
            assert not (pointed.detect(frame).scores >= CONFIDENT).any()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (720, 3), (3, 1300)])
def test_any_size_will_do(engine: Engine, size: tuple[int, int]) -> None:
    """Strips too thin for a face show none, whatever a network makes of them: several noises, as its answers vary."""
    for seed in range(20):
        noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        seen = engine.detect(noise)
        assert engine.name not in FACES or not (seen.scores >= CONFIDENT).any()


def test_places_are_in_pixels_of_the_frame_whatever_its_size(engine: Engine, pictures: Pictures) -> None:
    """A frame two or four times as large has what it shows two or four times as far from the corner."""
    frame = (
        pictures["interview"][105]
        if engine.name in (*FACES, "nanodet", "opencv_yunet+nanodet")
        else scene(engine.name == "openseeface")
    )
    if engine.name == "yolo":
        return  # untrained: what it sees in noise is nothing's size
    small = engine.detect(frame)
    assert len(small)
    for times in (2, 4):
        large = engine.detect(frame.repeat(times, axis=0).repeat(times, axis=1))
        assert overlaps(small.boxes * np.float32(times), large.boxes).max() > 0.8
        if engine.name in POINTED:
            assert large.landmarks is not None and small.landmarks is not None
            assert np.abs(large.landmarks / times - small.landmarks)[..., :2].max() < 0.06 * 210  # of the face's width


def scene(bright: bool = False) -> NDArray[np.uint8]:
    """Draw a grey frame, 640 x 360, with a red or white square at (160, 80) to (240, 160): what the networks made here see."""
    frame = np.full((360, 640, 3), 100, np.uint8)
    frame[80:160, 160:240] = 255 if bright else (40, 40, 220)
    return frame


def test_the_networks_given_by_a_person_are_read_right(paths: Paths) -> None:
    """What SCRFD's and OpenSeeFace's outputs mean, on networks that say what was asked of them (`networks`)."""
    seen = made("insightface", paths).detect(scene())
    # At 320 pixels the square is 80 to 120 by 40 to 80; cells of 16 whose mean is red lie from 80 to 112 by 48 to 80; a box
    # reaches 16 pixels around a cell's left upper corner.
    assert len(seen) and set(seen.labels) == {"face"}
    assert (seen.boxes[:, :2] >= [2 * (80 - 16), 2 * (48 - 16 - 16)]).all() and (
        seen.boxes[:, 2:] <= [2 * 128, 2 * 96]
    ).all()
    box, points = seen.boxes[0], seen.landmarks[0]
    centre, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
    assert points.shape == (106, 3)
    # Point n is n hundredths of half the cut-out right of its middle; the cut-out is 1.5 boxes wide.
    assert points[50].tolist() == pytest.approx([centre[0] + 0.5 * 1.5 * side / 2, centre[1], 0], abs=0.02)
    frame = np.zeros((448, 448, 3), np.uint8)
    frame[96:184, 200:288] = 255  # eleven by eleven cells of eight pixels, the middle one at 240, 136
    seen = made("openseeface", paths).detect(frame)
    assert len(seen) == 1
    assert seen.boxes[0].tolist() == pytest.approx([240 - 56, 136 - 56, 240 + 56, 136 + 56])
    first = np.floor(seen.boxes[0][:2] - [0.1 * 112, 0.125 * 112])
    size = np.ceil(seen.boxes[0][2:] + np.array([0.1 * 112, 0.125 * 112])) - first
    expected = first + np.array([21 / 27 + 0.005, 7 / 27]) * size * 223 / 224
    assert seen.landmarks[0, 5, :2].tolist() == pytest.approx(expected.tolist(), abs=0.1)


@pytest.mark.parametrize("task", ["detect", "pose"])
def test_yolo_sees_what_ultralytics_own_predictor_sees(
    tmp_path: Path, pictures: Pictures, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "own.pt"
    networks.save_yolo(weights, task, likely=-6.0, sure=0.02)
    from workflow_scripts.step5.engines.yolo import Yolo

    ours = Yolo(weights, "cpu", "f32")
    from ultralytics import YOLO
    from ultralytics.utils.nms import TorchNMS

    # Beside a CPU build of torch torchvision may not load: its one function that is needed is ultralytics' own, too.
    own = types.ModuleType("torchvision")
    own.ops = types.SimpleNamespace(nms=TorchNMS.nms)
    monkeypatch.setitem(sys.modules, "torchvision", own)
    monkeypatch.chdir(tmp_path)
    theirs = YOLO(str(weights))
    for stem, number in (("interview", 105), ("obama_speech", 30)):
        frame = pictures[stem][number]
        options = {"conf": 0.1, "iou": 0.7, "imgsz": 640, "device": "cpu", "verbose": False, "save": False}
        (expected,) = theirs.predict(frame, **options)
        seen = ours.detect(frame)
        boxes, scores = expected.boxes.xyxy.numpy(), expected.boxes.conf.numpy()
        same = overlaps(boxes, seen.boxes)
        ours_of, found = same.argmax(axis=1), same.max(axis=1) > 0.98
        # Where a score is 0.1, or an overlap 0.7, to the last bit of a float, one of the two sees a thing more.
        assert len(boxes) > 10 and found.mean() > 0.97 and len(seen) <= 1.03 * len(boxes)
        kinds = np.array([expected.names[int(kind)] for kind in expected.boxes.cls])
        alike = (np.abs(scores - seen.scores[ours_of]) < 1e-3) & (kinds == np.array(seen.labels)[ours_of])
        assert (found & alike).mean() > 0.95
        if task == "pose":
            off = np.abs(expected.keypoints.xy.numpy() - seen.landmarks[ours_of][..., :2])[found]
            assert ours.points == 17 and np.quantile(off, 0.99) < 0.5


@pytest.mark.parametrize("task", ["detect", "pose"])
def test_yolo_may_see_nothing(tmp_path: Path, task: str) -> None:
    weights = tmp_path / "blind.pt"
    networks.save_yolo(weights, task, likely=-10_000.0)
    engine = ENGINES["yolo"].load({"step5_yolo_weights": weights}.__getitem__)
    seen = engine.detect(np.full((360, 640, 3), 100, np.uint8))
    assert len(seen) == 0 and seen.labels == ()
    assert seen.landmarks is None if task == "detect" else seen.landmarks.shape == (0, 17, 3)


def test_bfloat16_hardly_moves_what_a_trained_network_sees(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine yolo computes in it where the processor can. There are no trained YOLO weights here: YuNet stands in."""
    from workflow_scripts.step5.engines import openvino_cpu

    full, half = (ENGINES["opencv_yunet"].load(model_path) for _ in range(2))
    frames = [frame for stem in pictures for frame in pictures[stem][100:200:20]]
    seen = [full.detect(frame) for frame in frames]
    compiled = openvino_cpu.compiled
    monkeypatch.setattr(openvino_cpu, "compiled", lambda model: compiled(model, "bf16"))
    for frame, expected in zip(frames, seen, strict=True):
        found = half.detect(frame)
        assert len(found) == len(expected)
        if len(expected):
            assert overlaps(expected.boxes, found.boxes).diagonal().min() > 0.93
            assert np.abs(expected.scores - found.scores).max() < 0.02
    assert sum(map(len, seen)) >= 10


def test_weights_that_want_to_run_code_are_refused(tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(PrerequisiteMissing, match="cannot be used") as refused:
        ENGINES["yolo"].load({"step5_yolo_weights": tmp_path / "evil.pt"}.__getitem__)
    assert "STEP5_YOLO_WEIGHTS" in refused.value.remedy
    assert not (tmp_path / "ran").exists()


def test_yunet_is_opencvs(pictures: Pictures) -> None:
    """The same network in another runtime, its outputs read by other code: OpenCV's own detector says the same."""
    model = model_path("yunet")
    ours = ENGINES["opencv_yunet"].load(model_path)
    for stem, frames in pictures.items():
        height, width = frames.shape[1:3]
        theirs = cv2.FaceDetectorYN.create(str(model), "", (width, height), 0.5, 0.3, 5000)
        for frame in frames[::25]:
            _, rows = theirs.detect(frame)
            rows = np.zeros((0, 15), np.float32) if rows is None else rows[np.lexsort((rows[:, 1], rows[:, 0]))]
            seen = ours.detect(frame)
            assert len(seen) == len(rows), stem
            told = np.concatenate([seen.boxes[:, :2], seen.boxes[:, 2:] - seen.boxes[:, :2]], axis=1)
            assert np.abs(told - rows[:, :4]).max(initial=0) < 0.01
            assert np.abs(seen.landmarks[:, :, :2].reshape(-1, 10) - rows[:, 4:14]).max(initial=0) < 0.01
            assert np.abs(seen.scores - rows[:, 14]).max(initial=0) < 1e-4


def test_persons_are_found(paths: Paths, pictures: Pictures) -> None:
    seen = made("nanodet", paths).detect(pictures["interview"][300])
    persons = [label == "person" and score >= CONFIDENT for label, score in zip(seen.labels, seen.scores, strict=True)]
    assert sum(persons) == 2, "a woman and a man, side by side"


def test_engines_together_see_what_each_sees(paths: Paths, pictures: Pictures) -> None:
    frame = pictures["interview"][300]
    both, face, thing = (
        made(name, paths).detect(frame) for name in ("nanodet+opencv_yunet", "opencv_yunet", "nanodet")
    )
    assert both.labels == thing.labels + face.labels
    assert both.sources == ("nanodet",) * len(thing) + ("opencv_yunet",) * len(face)
    assert np.isnan(both.landmarks[: len(thing)]).all(), "NanoDet tells no points"
    assert np.array_equal(both.landmarks[len(thing) :], face.landmarks)


def test_objects_are_looked_for_where_no_face_is(paths: Paths, pictures: Pictures) -> None:
    choice = Choice((ENGINES["opencv_yunet"],), fallback=ENGINES["nanodet"])
    engine = choice.load(paths)
    with_face, without = pictures["interview"][300], pictures["interview"][300].copy()
    without[90:205, 115:220] = without[45:185, 335:450] = 100
    seen = engine.detect_all([with_face, without])
    assert set(seen[0].labels) == {"face"}
    assert set(seen[1].sources) == {"nanodet"} and "person" in seen[1].labels
    assert choice.models == ("yunet", "nanodet")


def test_the_same_frame_gives_the_same_and_stays_as_it_is(engine: Engine, pictures: Pictures) -> None:
    frame = pictures["obama_speech"][30].copy()
    first = engine.detect(frame)
    engine.detect(pictures["interview"][300])
    again = engine.detect(frame)
    assert np.array_equal(frame, pictures["obama_speech"][30])
    together = engine.detect_all([pictures["interview"][300][:240, :320], frame])[1]
    assert np.array_equal(together.boxes, first.boxes), "whatever is beside it"
    for name in ("boxes", "scores", "landmarks", "blendshapes"):
        one, other = getattr(first, name), getattr(again, name)
        assert (one is None and other is None) or np.array_equal(one, other, equal_nan=True)


def test_points_and_blendshapes_are_as_announced(engine: Engine, pictures: Pictures) -> None:
    seen = engine.detect(pictures["interview"][300])
    assert (0 if seen.landmarks is None else seen.landmarks.shape[1]) == engine.points
    assert (seen.blendshapes is not None) == bool(engine.blendshape_names)
    if seen.sources is None:
        assert list(seen.boxes[:, 0]) == sorted(seen.boxes[:, 0]), "from left to right"


def mouth(engine: Engine, seen: Detections, row: int) -> NDArray[np.float32]:
    """Return points of the mouth, (k, 2)."""
    assert seen.landmarks is not None
    which = [3, 4] if engine.points == 5 else [61, 291, 13, 14, 0, 17]  # corners; corners, inner lips, outer lips
    return seen.landmarks[row, which, :2]


def test_the_mouth_is_in_the_lower_half_of_the_face(pointed: Engine, pictures: Pictures, truth: dict[str, Any]) -> None:
    for marked in truth["interview"]["faces"]:
        for x, y, width, height in marked["boxes"]:
            seen = pointed.detect(pictures["interview"][marked["frame"]])
            row = int(overlaps(np.array([[x, y, x + width, y + height]], np.float32), seen.boxes).argmax())
            points = mouth(pointed, seen, row)
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
