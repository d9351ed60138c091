"""STEP5's script, run as a person runs it, on real footage and on odd footage."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.steps.step5 import networks
from tests.steps.step5.conftest import MODEL_FILES, REPOSITORY, Workplace, ffmpeg
from workflow_scripts.step5.choice import gpus

SCHEMA = json.loads((REPOSITORY / "docs/schemas/tracking_raw.json").read_text())


@pytest.fixture(scope="session")
def demo(new_workplace: Callable[[], Workplace], clips: dict[str, Path], truth: dict[str, Any]) -> Workplace:
    """The demo's two clips with faces, tracked by the best engine, all fields written."""
    place = new_workplace()
    place.add(clips["interview"], "interview", 750, (640, 360), tuple(truth["interview"]["cuts"]))
    place.add(clips["obama_speech"], "obama_speech", 219, (320, 240))
    place.variables = {"STEP5_EXPORT_VERBOSE_FIELDS": "true", "STEP5_BLENDSHAPES_PROFILE": "full"}
    done = place.run("--tracking_engine", "mediapipe_landmarker")
    assert done.returncode == 0, done.stderr
    return place


def tracks_of(frames: list[dict[str, Any]]) -> dict[int, list[int]]:
    """Return the frames (1-based) of each id."""
    found = defaultdict(list)
    for frame in frames:
        for tracked in frame["objects"]:
            found[tracked["id"]].append(frame["frame"])
    return dict(found)


@pytest.mark.parametrize("stem", ["interview", "obama_speech"])
def test_every_line_is_as_the_schema_says(demo: Workplace, stem: str) -> None:
    header, frames = demo.tracking(stem)
    validator = Draft202012Validator(SCHEMA)
    for line in (header, *frames):
        validator.validate(line)
    assert header["engine"] == "mediapipe_landmarker"
    assert set(header["models"]) == {"yunet", "face_landmarker", "sface"}
    assert [frame["frame"] for frame in frames] == list(range(1, header["total_frames"] + 1))
    for tracked in (tracked for frame in frames for tracked in frame["objects"]):
        assert len(tracked["landmarks"]) == 3 * header["landmarks"] == 3 * 478
        assert len(tracked["blendshapes"]) == len(header["blendshapes"]) == 52
        x, y, width, height = tracked["bbox"]
        assert x + width <= header["width"] and y + height <= header["height"]
        assert tracked["centroid"] == pytest.approx([x + width / 2, y + height / 2], abs=0.02)


def test_faces_of_the_interview(demo: Workplace, truth: dict[str, Any]) -> None:
    """No face in the first two shots, then in each shot one track for every person, from its first frame to its last."""
    _, frames = demo.tracking("interview")
    tracks = tracks_of(frames)
    edges = [0, *truth["interview"]["cuts"], 750]
    people = [0, 0, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2]  # by looking: see `seen` and `faces` in truth.json
    expected = [
        (first + 1, end) for (first, end), count in zip(pairwise(edges), people, strict=True) for _ in range(count)
    ]
    assert list(tracks) == list(range(1, 13)), "ids from 1, in order of first appearance"
    for (first, last), seen in zip(expected, tracks.values(), strict=True):
        assert first <= min(seen) <= first + 2
        assert last - 2 <= max(seen) <= last
        assert len(seen) >= 0.95 * (last - first + 1)


def test_two_people_keep_their_ids(demo: Workplace) -> None:
    _, frames = demo.tracking("obama_speech")
    for frame in frames:
        left, right = sorted(frame["objects"], key=lambda tracked: tracked["centroid"][0])
        assert (left["id"], right["id"]) == (1, 2)


def test_the_speaker_shows(demo: Workplace) -> None:
    _, frames = demo.tracking("obama_speech")
    left, right = ([frame["objects"][which]["speaking"]["jaw_open"] for frame in frames] for which in (0, 1))
    assert sum(right) > 1.5 * sum(left)


def test_a_second_run_does_nothing_and_a_forced_one_the_same(demo: Workplace) -> None:
    before = {stem: (demo.docs / f"{stem}_tracking_raw.jsonl").read_bytes() for stem in ("interview", "obama_speech")}
    demo.run("--tracking_engine", "mediapipe_landmarker")
    assert {ended["status"] for ended in demo.ended().values()} == {"up_to_date"}
    demo.run("--tracking_engine", "mediapipe_landmarker", "--force")
    assert {ended["status"] for ended in demo.ended().values()} == {"done"}
    assert before == {stem: (demo.docs / f"{stem}_tracking_raw.jsonl").read_bytes() for stem in before}


def test_by_default_little_is_told(workplace: Workplace, clips: dict[str, Path]) -> None:
    workplace.add(clips["obama_speech"], "obama_speech", 219, (320, 240))
    done = workplace.run()
    header, frames = workplace.tracking("obama_speech")
    assert "Tracking engine: mediapipe_landmarker (the best that can run here)" in done.stderr
    assert header["landmarks"] == 0
    assert {re.sub("[A-Z].*", "", name) for name in header["blendshapes"]} == {"jaw", "mouth"}
    assert len(header["blendshapes"]) == 4 + 23  # jaw*: forward, left, open, right; mouth*: counted in MediaPipe's list
    assert set(frames[0]["objects"][0]) == {
        "id", "bbox", "centroid", "source", "label", "confidence", "blendshapes", "speaking", "identity",
        "is_speaking", "speaking_confidence", "speaking_sources", "active_speakers",
    }  # fmt: skip


def test_blendshapes_of_ones_own_choice(workplace: Workplace, tmp_path: Path, clips: dict[str, Path]) -> None:
    face = tmp_path / "face.mp4"
    ffmpeg("-i", str(clips["obama_speech"]), "-frames:v", "12", str(face))
    workplace.add(face, "face", 12, (320, 240))
    written = {}
    for profile in ("full", "custom"):
        named = {"STEP5_BLENDSHAPES_CUSTOM": "mouthClose, jawOpen"} if profile == "custom" else {}
        workplace.variables = {"STEP5_BLENDSHAPES_PROFILE": profile, **named}
        assert workplace.run("--tracking-engine", "mediapipe_landmarker").returncode == 0
        assert workplace.ended()["face"]["status"] == "done", "another profile is another result"
        written[profile] = workplace.tracking("face")
    assert written["custom"][0]["blendshapes"] == ["jawOpen", "mouthClose"]
    places = [written["full"][0]["blendshapes"].index(name) for name in ("jawOpen", "mouthClose")]
    for own, all_ in zip(written["custom"][1], written["full"][1], strict=True):
        expected = [[one["blendshapes"][place] for place in places] for one in all_["objects"]]
        assert [one["blendshapes"] for one in own["objects"]] == expected
    assert any(frame["objects"] for frame in written["custom"][1])


def drawn(path: Path, size: str, frames: int) -> Path:
    """Make a drawn video without faces."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", "-frames:v", str(frames), "-pix_fmt", "yuv444p", str(path))
    return path


@pytest.mark.parametrize(
    "engine", ["mediapipe_landmarker", "opencv_yunet", "opencv_haar", "nanodet", "opencv_yunet+nanodet"]
)
def test_odd_videos(workplace: Workplace, tmp_path: Path, clips: dict[str, Path], engine: str) -> None:
    """No face is a result; one frame, an odd size, a tiny size are videos like others; broken ones fail alone."""
    face = tmp_path / "face.mp4"
    ffmpeg("-ss", "4.2", "-i", str(clips["interview"]), "-frames:v", "1", str(face))
    workplace.add(drawn(tmp_path / "a.mp4", "64x48", 30), "no face", 30, (64, 48), (7,))
    workplace.add(drawn(tmp_path / "b.mp4", "65x49", 3), "odd", 3, (65, 49))
    workplace.add(drawn(tmp_path / "c.mp4", "16x16", 2), "tiny", 2, (16, 16))
    workplace.add(face, "one frame", 1, (640, 360))
    workplace.add(tmp_path / "a.mp4", "too few", 31, (64, 48))
    workplace.add(tmp_path / "a.mp4", "too many", 29, (64, 48))
    workplace.add(tmp_path / "a.mp4", "bad scenes", 30, (64, 48))
    workplace.add(tmp_path / "a.mp4", '-l\'été "🎬"', 30, (64, 48))
    workplace.add(tmp_path / "a.mp4", "no scenes", 30, (64, 48))
    (workplace.docs / "no scenes_scenes.json").unlink()
    (workplace.docs / "bad scenes_scenes.json").write_text('{"scenes": [{"start_frame": 0, "end_frame": 29}]}')
    done = workplace.run("--tracking_engine", engine)
    assert done.returncode == 1, done.stderr
    failed = {stem: end["error"] for stem, end in workplace.ended().items() if end["status"] == "failed"}
    assert {stem: error["code"] for stem, error in failed.items()} == {
        "too few": "frame_count", "too many": "frame_count", "bad scenes": "bad_scenes", "no scenes": "no_scenes",
    }  # fmt: skip
    assert "STEP3" in failed["no scenes"]["remedy"]
    told = {
        stem: [len(frame["objects"]) for frame in workplace.tracking(stem)[1]] for stem in ("no face", "odd", "tiny")
    }
    assert told == {"no face": [0] * 30, "odd": [0] * 3, "tiny": [0] * 2}
    (shown,) = workplace.tracking("one frame")[1]
    assert {tracked["label"] for tracked in shown["objects"]} <= {"face", "person", "chair"}
    assert len(shown["objects"]) == 1 or ("nanodet" in engine and shown["objects"])
    assert not list(workplace.docs.glob("too *_tracking_raw.jsonl")), "no half a file"


def test_the_header_names_the_model_that_told_faces_apart(
    workplace: Workplace, tmp_path: Path, own_models: dict[str, Path]
) -> None:
    """InsightFace's own where its folder has one, and then not the catalogue's, which was not used."""
    pack = tmp_path / "pack"
    shutil.copytree(own_models["step5_insightface_models"], pack)
    workplace.variables = {"STEP5_INSIGHTFACE_MODELS": str(pack)}
    workplace.add(drawn(tmp_path / "a.mp4", "64x48", 3), "a", 3, (64, 48))
    used = []
    for _ in range(2):
        done = workplace.run("--tracking_engine", "insightface", "--force")
        assert done.returncode == 0, done.stderr
        used.append(set(workplace.tracking("a")[0]["models"]))
        networks.save(networks.Recognition(), 112, pack / "w600k_r50.onnx")
    assert used == [{"2d106.onnx", "scrfd.onnx", "sface"}, {"2d106.onnx", "scrfd.onnx", "w600k_r50.onnx"}]


REFUSED: dict[str, tuple[dict[str, str], list[str], int, tuple[str, ...]]] = {
    "both on and off": (
        {"TRACKING_DISABLE_GPU": "true", "STEP5_ENABLE_GPU": "true"}, [], 2,
        ("TRACKING_DISABLE_GPU", "STEP5_ENABLE_GPU"),
    ),
    "an engine that has no GPU path": (
        {"STEP5_ENABLE_GPU": "true", "STEP5_GPU_ENGINES": "opencv_yunet"}, [], 2,
        ("STEP5_ENABLE_GPU", "STEP5_GPU_ENGINES", "opencv_yunet"),
    ),
    "an engine that does not exist": (
        {"STEP5_ENABLE_GPU": "true", "STEP5_GPU_ENGINES": "magic"}, [], 2, ("STEP5_GPU_ENGINES", "magic"),
    ),
    "no engine": ({"STEP5_ENABLE_GPU": "true"}, [], 2, ("STEP5_ENABLE_GPU", "STEP5_GPU_ENGINES")),
    "cuda although disabled": ({"TRACKING_DISABLE_GPU": "1"}, ["--device", "cuda"], 2, ("TRACKING_DISABLE_GPU", "cuda")),
    "cuda for an engine of the CPU": (
        {}, ["--device", "cuda", "--tracking-engine", "opencv_yunet"], 2, ("opencv_yunet", "cuda"),
    ),
    "an unknown blendshape": (
        {"STEP5_BLENDSHAPES_PROFILE": "custom", "STEP5_BLENDSHAPES_CUSTOM": "jawOpen,jawBroken"}, [], 2,
        ("STEP5_BLENDSHAPES_CUSTOM", "jawBroken", "mouthClose"),
    ),
    "a profile of one's own without blendshapes": (
        {"STEP5_BLENDSHAPES_PROFILE": "custom"}, [], 2, ("STEP5_BLENDSHAPES_PROFILE", "STEP5_BLENDSHAPES_CUSTOM"),
    ),
    "an unknown engine": ({}, ["--tracking-engine", "magic"], 2, ("magic", "opencv_yunet")),
    "an unknown engine in the settings": ({"STEP5_TRACKING_ENGINE": "magic"}, [], 2, ("magic",)),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "arguments", "code", "named"), REFUSED.values(), ids=REFUSED)
def test_contradictions_are_refused_before_any_work(
    workplace: Workplace, tmp_path: Path, variables: dict[str, str], arguments: list[str], code: int, named: tuple[str]
) -> None:
    workplace.add(drawn(tmp_path / "a.mp4", "64x48", 2), "a", 2, (64, 48))
    workplace.variables = variables
    done = workplace.run(*arguments)
    assert done.returncode == code, done.stderr
    for name in named:
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert not workplace.ended()


def test_a_gpu_that_is_off_is_no_contradiction(workplace: Workplace, tmp_path: Path) -> None:
    workplace.add(drawn(tmp_path / "a.mp4", "64x48", 2), "a", 2, (64, 48))
    workplace.variables = {"TRACKING_DISABLE_GPU": "true", "STEP5_GPU_ENGINES": "opencv_yunet"}
    assert workplace.run().returncode == 0


def test_a_model_that_is_missing(workplace: Workplace, tmp_path: Path) -> None:
    """A named engine is never replaced; `auto` takes the next and says so, at last the one that needs no model."""
    workplace.add(drawn(tmp_path / "a.mp4", "64x48", 2), "a", 2, (64, 48))
    (workplace.root / "models" / MODEL_FILES["face_landmarker"]).unlink()
    named = workplace.run("--tracking-engine", "mediapipe_landmarker")
    assert named.returncode == 3
    assert "derush models fetch face_landmarker" in named.stderr
    auto = workplace.run()
    assert auto.returncode == 0
    assert "passes over the engine mediapipe_landmarker" in auto.stderr
    assert workplace.tracking("a")[0]["engine"] == "opencv_yunet"
    (workplace.root / "models" / MODEL_FILES["yunet"]).unlink()
    none = workplace.run("--force")
    assert none.returncode == 0
    assert "passes over the engine opencv_yunet" in none.stderr and "derush models fetch yunet" in none.stderr
    assert workplace.tracking("a")[0]["engine"] == "opencv_haar"


@pytest.mark.parametrize(
    ("engine", "setting"),
    [
        ("yolo", "STEP5_YOLO_WEIGHTS"),
        ("insightface", "STEP5_INSIGHTFACE_MODELS"),
        ("opencv_yunet+openseeface", "STEP5_OPENSEEFACE_MODELS"),
    ],
)
def test_models_of_a_persons_own_that_are_missing(workplace: Workplace, engine: str, setting: str) -> None:
    done = workplace.run("--check", "--tracking-engine", engine)
    assert done.returncode == 3 and setting in done.stderr
    workplace.variables = {setting: str(workplace.root / "nowhere")}
    done = workplace.run("--check", "--tracking-engine", engine)
    assert done.returncode == 3 and "nowhere" in done.stderr


def test_a_gpu_that_is_not_there(workplace: Workplace) -> None:
    """With a GPU here this would be another machine's test."""
    if gpus():
        pytest.skip("there is a GPU here")
    workplace.variables = {"STEP5_ENABLE_GPU": "true", "STEP5_GPU_ENGINES": "nanodet"}
    done = workplace.run("--check", "--tracking-engine", "nanodet")
    assert done.returncode == 3 and "TORCH_VARIANT=cuda" in done.stderr
