"""Workers: a video cut among several processes, which may die, gives what one gives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest

from config.settings import read_settings
from tests.steps.step5.conftest import MODELS, Workplace, ffmpeg, model_path
from workflow_scripts.step5 import choice as choice_module
from workflow_scripts.step5 import workers as workers_module
from workflow_scripts.step5.choice import Choice, worker_count, workers_for
from workflow_scripts.step5.detecting import LONGEST, SHORTEST, Detector, Footage, Stretch, stretches
from workflow_scripts.step5.detections import Detections, Frame
from workflow_scripts.step5.engines import ENGINES, OneByOne, OutOfMemory
from workflow_scripts.step5.worker_messages import Ended, Found, Setup
from workflow_scripts.step5.workers import Crew
from workflow_scripts.stepkit import ItemError, PrerequisiteMissing, media
from workflow_scripts.stepkit.media import Entry, FrameIndex

CODINGS = {
    "as STEP2 makes them": "keyint=40",
    "open groups": "keyint=40:min-keyint=10:bframes=8:b-adapt=0:open-gop=1",
    "many frames back": "keyint=100:min-keyint=50:bframes=16:b-adapt=0:open-gop=1:ref=8:b-pyramid=2",
    "short groups": "keyint=8",
    "every frame by itself": "keyint=1",
}


@pytest.fixture(scope="module")
def binary() -> Path:
    return media.ffmpeg_binary(read_settings({}))


def coded(path: Path, how: str, frames: int = 200) -> Path:
    options = ["-c:v", "libx264", "-x264-params", how, "-pix_fmt", "yuv420p"]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=25", "-frames:v", str(frames), *options, str(path))
    return path


@pytest.mark.parametrize("how", CODINGS.values(), ids=CODINGS)
def test_a_video_can_be_entered_exactly_to_the_frame(tmp_path: Path, binary: Path, how: str) -> None:
    path = coded(tmp_path / "a.mp4", how)
    whole = list(media.decode_frames(binary, path, 128, 96, "gray"))
    index = media.index_frames(binary, path)
    assert index.frames == len(whole) == 200
    assert len(set(whole)) == 200, "every frame is another"
    for frame in list(index.entries)[:: 1 + len(index.entries) // 12]:
        assert list(media.decode_frames(binary, path, 128, 96, "gray", entry=index.entries[frame])) == whole[frame:], (
            frame
        )


def test_what_is_not_h264_is_not_entered(tmp_path: Path, binary: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "60", "-c:v", "mpeg4", str(tmp_path / "a.mp4"))
    assert media.index_frames(binary, tmp_path / "a.mp4") == FrameIndex(60, {})


def spaced(frames: int, every: int) -> FrameIndex:
    return FrameIndex(frames, {number: Entry(number, 0.0) for number in range(0, frames, every)})


@pytest.mark.parametrize(
    ("frames", "every", "workers", "parts"),
    [
        (10_000, 50, 1, 1),  # one worker needs no parts
        (10_000, 10_000, 4, 1),  # nowhere to enter
        (80, 10, 8, 1),  # too short to be shared
        (750, 50, 2, 2),
        (10_000, 50, 4, 24),  # 10,000 / (4 * 400) is 6 rounds
        (10_000, 250, 2, 24),  # 12.5 rounds are 12, of 417 frames: the entries nearest to each multiple
    ],
)
def test_a_video_is_cut_evenly_where_it_can_be_entered(frames: int, every: int, workers: int, parts: int) -> None:
    index = spaced(frames, every)
    cut = stretches(index, workers)
    assert len(cut) == parts
    assert [part.first for part in cut] == [0, *(part.end for part in cut[:-1])] and cut[-1].end == frames
    assert all(part.first in index.entries and (part.entry is None) == (part.first == 0) for part in cut)
    if parts > 1:
        lengths = [part.end - part.first for part in cut]
        assert min(lengths) >= SHORTEST // 2 and max(lengths) <= LONGEST * 1.5 + every


def test_workers_by_default_are_as_many_as_cores_and_memory_allow() -> None:
    assert worker_count(read_settings({})) in range(1, (os.cpu_count() or 1) + 1)
    assert worker_count(read_settings({"TRACKING_CPU_WORKERS": "7"})) == 7


def test_a_video_that_has_a_share_of_the_cores_has_as_many_workers() -> None:
    free, set_ = read_settings({}), read_settings({"TRACKING_CPU_WORKERS": "7"})
    assert [workers_for(free, share, 8) for share in (None, 1, 3, 20)] == [8, 1, 3, 8]
    assert workers_for(set_, 2, 7) == 7, "who sets a number has it"


@pytest.mark.parametrize(
    ("variables", "device"), [({"STEP5_ENABLE_GPU": "1", "STEP5_GPU_ENGINES": "nanodet"}, "auto"), ({}, "cuda")]
)
def test_the_engine_for_objects_goes_to_the_gpu_like_others(
    variables: dict[str, str], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice_module, "gpus", lambda: 1)
    settings = read_settings({"STEP5_OBJECT_FALLBACK": "1", "MODELS_DIR": str(MODELS), **variables})
    chosen = choice_module.choose("opencv_yunet", settings, device)
    assert chosen.fallback is ENGINES["nanodet"] and chosen.on_gpu == {"nanodet"}


@pytest.mark.parametrize(
    ("asked", "gpu_engines", "workers"),
    [
        ("opencv_yunet", "", [0, 0, 0, 0, 0]),
        ("opencv_yunet", "nanodet", [0, 1, 0, 1, 0]),  # only where no face is: the faces' engine needs the cores
        ("nanodet", "nanodet", [0, 1]),
        ("opencv_yunet+nanodet", "nanodet", [0, 1]),
    ],
)
def test_workers_are_one_a_gpu_only_where_every_frame_goes_there(
    asked: str, gpu_engines: str, workers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice_module, "gpus", lambda: 2)
    on_gpu = {"STEP5_ENABLE_GPU": "1", "STEP5_GPU_ENGINES": gpu_engines} if gpu_engines else {}
    given = {"STEP5_OBJECT_FALLBACK": "1", "MODELS_DIR": str(MODELS), "TRACKING_CPU_WORKERS": "5", **on_gpu}
    settings = read_settings(given)
    assert choice_module.gpu_of_each_worker(choice_module.choose(asked, settings, "auto"), settings) == workers


class Scripted:
    """Stands in for a worker: it says at once what it has to of its stretch, the first one not its end."""

    made: ClassVar[list[Scripted]] = []

    def __init__(self, setup: Setup) -> None:
        self.connection, self.theirs = Pipe()
        self.at: int | None = None
        self.done = 0
        none = np.zeros((0, 4), np.float32)
        if self.made:
            self.ends(["the second stretch's"])
        else:
            self.theirs.send(Found([Detections(none, none[:, 0], (), setup.choice.name)]))
        self.made.append(self)

    def ends(self, damage: list[str]) -> None:
        self.theirs.send(Ended(Counter(), [], damage))

    def end(self) -> None:
        self.connection.close()
        self.theirs.close()


def test_of_complaints_the_first_stretchs_is_told_whoever_ends_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "made", [])
    monkeypatch.setattr(workers_module, "_Worker", Scripted)
    setup = Setup(Choice((ENGINES["opencv_yunet"],)), {}, 0, tmp_path)
    footage = Footage(tmp_path / "ffmpeg", tmp_path / "a.mp4", 2, 8, 8, 8)
    with Crew([setup, setup]) as crew:
        frames = crew.look(footage, [Stretch(0, 1), Stretch(1, 2)])
        next(frames)
        assert crew.complaint == "the second stretch's", "it has ended"
        Scripted.made[0].ends(["many lines\nthe first stretch's"])
        assert list(frames) == []
        assert crew.complaint == "the first stretch's"


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    choice = Choice((ENGINES["opencv_yunet"],))
    setup = Setup(choice, {"yunet": model_path("yunet")}, 0, tmp_path / "logs")
    with Crew([setup, setup]) as made:
        yield made


@pytest.fixture
def footage(clips: dict[str, Path], binary: Path) -> Footage:
    return Footage(binary, clips["interview"], 750, 640, 360, 1280, 1)


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "detection_worker.py" in " ".join(child.cmdline())]


def told(seen: Detections) -> list[list[float]]:
    return [*seen.boxes.tolist(), seen.scores.tolist()]


def test_a_worker_that_is_killed_has_its_stretch_done_again(crew: Crew, footage: Footage, binary: Path) -> None:
    parts = stretches(media.index_frames(binary, footage.path), 2)
    assert len(parts) == 2
    undisturbed = [told(seen) for seen in crew.look(footage, parts)]
    assert len(undisturbed) == 750 and not crew.notes
    assert len(workers()) == 2, "they wait for the next video"
    disturbed = []
    for number, seen in enumerate(crew.look(footage, parts)):
        disturbed.append(told(seen))
        if number == 40:
            for worker in workers():
                worker.kill()
    assert disturbed == undisturbed
    assert len(crew.notes) == 2 and "done again" in crew.notes[0]


def test_what_waits_to_be_told_is_bounded(
    crew: Crew, footage: Footage, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half is done long before the first is told: it waits in its worker, however slowly frames are taken."""
    parts = stretches(media.index_frames(binary, footage.path), 2)
    unbounded, most = [], 0
    for seen in crew.look(footage, parts):
        unbounded.append(told(seen))
        most = max(most, crew.waiting)
    weight = sum(seen.weight for seen in crew.look(footage, [Stretch(0, 750)], 1)) / 750
    monkeypatch.setattr(workers_module, "_MOST_WAITING", int(50 * weight))
    bounded, largest = [], 0
    for seen in crew.look(footage, parts):
        bounded.append(told(seen))
        largest = max(largest, crew.waiting)
    assert bounded == unbounded
    assert largest < 80 * weight < most
    assert crew.waiting == 0


def test_fewer_workers_may_be_asked_for(crew: Crew, footage: Footage, binary: Path) -> None:
    parts = stretches(media.index_frames(binary, footage.path), 2)
    assert sum(1 for _ in crew.look(footage, parts, 1)) == 750
    assert len(workers()) == 1


def test_a_stretch_that_kills_every_worker_fails(crew: Crew, footage: Footage) -> None:
    with pytest.raises(ItemError, match="Two workers died at frames 1 to 750") as failure:
        for number, _ in enumerate(crew.look(footage, [Stretch(0, 750)])):
            if number in (20, 60):
                for worker in workers():
                    worker.kill()
    assert failure.value.code == "worker_died" and "TRACKING_CPU_WORKERS" in failure.value.remedy
    assert not workers()
    assert sum(1 for _ in crew.look(footage, [Stretch(0, 750)])) == 750, "the next video has new ones"


def test_a_model_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "half.onnx"
    broken.write_bytes(model_path("yunet").read_bytes()[:60_000])
    setup = Setup(Choice((ENGINES["opencv_yunet"],)), {"yunet": broken}, 0, tmp_path)
    with Crew([setup]) as crew, pytest.raises(PrerequisiteMissing) as missing:
        crew.engine()
    assert missing.value.code == "model_unusable" and "derush models fetch yunet" in missing.value.remedy


def test_the_number_of_workers_changes_nothing(workplace: Workplace, clips: dict[str, Path]) -> None:
    workplace.add(clips["interview"], "interview", 750, (640, 360), (92, 137, 161))
    written = set()
    for count in ("1", "2", "8"):
        workplace.variables = {"TRACKING_CPU_WORKERS": count, "STEP5_EXPORT_VERBOSE_FIELDS": "true"}
        done = workplace.run("--tracking-engine", "opencv_yunet", "--force")
        assert done.returncode == 0, done.stderr
        written.add((workplace.docs / "interview_tracking_raw.jsonl").read_bytes())
    assert len(written) == 1
    assert len(list((workplace.root / "logs").glob("worker_*.log"))) >= 1 + 2 + 3
    assert len(list((workplace.root / "logs").glob("manager_*.log"))) == 3


class Crowded(OneByOne):
    """An engine on a GPU that has room for `room` frames, and for none from the frame `full_at` on."""

    name, points, side = "crowded", 0, 640
    blendshape_names: tuple[str, ...] = ()

    def __init__(self, room: int, full_at: int) -> None:
        self.batch, self.room, self.full_at, self.asked = 16, room, full_at, 0
        self.on_gpu = True

    def detect_all(self, frames: list[Frame]) -> list[Detections]:
        if self.on_gpu and (len(frames) > self.room or self.asked + len(frames) > self.full_at):
            raise OutOfMemory("no room")
        self.asked += len(frames)
        none = np.zeros((0, 4), np.float32)
        return [Detections(none, none[:, 0], (), self.name) for _ in frames]

    def to_cpu(self) -> bool:
        was, self.on_gpu = self.on_gpu, False
        return was


def test_a_gpu_without_room_is_given_fewer_frames_then_none() -> None:
    frames = [np.zeros((8, 8, 3), np.uint8)] * 40
    detector = Detector(Crowded(room=5, full_at=30))
    assert len(detector.detect(frames)) == 40
    assert detector.batch == 1 and not detector.engine.on_gpu
    assert [note.split(":")[0] for note in detector.notes][:2] == [
        "The GPU has no room for 16 frames at once", "The GPU has no room for 8 frames at once",
    ]  # fmt: skip
    assert "the CPU from here on" in detector.notes[-1]


def test_torchs_own_word_for_no_room_is_understood(
    own_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    engine = ENGINES["yolo"].load(own_models.__getitem__)
    answers = engine._asked_cpu

    def crowded(pictures: object) -> object:
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return answers(pictures)

    monkeypatch.setattr(engine, "_asked_cpu", crowded)
    detector = Detector(engine, batch=8)
    frames = [np.full((120, 160, 3), 100, np.uint8)] * 8
    assert len(detector.detect(frames)) == 8
    assert detector.batch == 2 and len(detector.notes) == 2
