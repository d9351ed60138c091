"""How fast STEP5 looks at a video, beside `yolo track` and beside a plain loop over the same models.

The video is the interview of the demo archive at 720p, repeated. Ours is what the step does of what the others do: workers
that decode and detect, looks, association, writing. Left out are the list of the frames, prints of faces, and the second look:
who is who, who speaks. Models are loaded and workers are up before the clock starts, for the others as well. `yolo track`
is ultralytics' own command with the same weights (yolo11n's architecture, untrained and set to see nothing, so that no rule
that chooses among boxes is measured) and ByteTrack, timed from its sixth frame to its last. The plain loop is cv2.VideoCapture
and the same model in its usual runtime, with that runtime's own number of threads. Runs alternate; a ratio is the middle one of
the rounds.

`worker_efficiency` is what two workers do over twice what one does that has one processor for itself, its decoder and its
manager, as a share of what two processes of the bare model, with frames in memory and nothing else to do, do over twice one:
two threads of one core are not two cores for them either. Both figures are printed.

    envs/tracking_env/bin/python scripts/bench/tracking.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)

import cv2
import numpy as np

from config.settings import read_settings
from tests.steps.step5 import networks
from workflow_scripts.step5.choice import Choice
from workflow_scripts.step5.detecting import LEAST_SIDE, Footage, Stretch, stretches
from workflow_scripts.step5.engines import ENGINES
from workflow_scripts.step5.engines.mediapipe_landmarker import FaceLandmarker
from workflow_scripts.step5.face_mesh import FaceSquare
from workflow_scripts.step5.scenes import Scene
from workflow_scripts.step5.tracking_file import FrameWriter
from workflow_scripts.step5.tracks import follow
from workflow_scripts.step5.worker_messages import Setup
from workflow_scripts.step5.workers import Crew
from workflow_scripts.stepkit import media

WIDTH, HEIGHT = 1280, 720
Thing = TypeVar("Thing")
FFMPEG = media.ffmpeg_binary(read_settings({}))
MODELS = {
    "yunet": REPOSITORY / "models/face_detection_yunet_2023mar_int8bq.onnx",
    "face_landmarker": REPOSITORY / "models/face_landmarker.task",
}
YOLO_TRACK = """
import atexit, time
from ultralytics.cfg import entrypoint
from ultralytics.utils.callbacks import base
stamps = []
base.default_callbacks["on_predict_postprocess_end"].append(lambda _: stamps.append(time.perf_counter()))
atexit.register(lambda: print("frames a second:", (len(stamps) - 6) / (stamps[-1] - stamps[5])))
entrypoint()
"""
# Beside a CPU build of torch from an index that has none of torchvision, torchvision does not load for want of its operators:
# ultralytics' own nms, which gives the same, stands in for it.
OPERATORS = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("qnms", "nms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from ultralytics.utils.nms import TorchNMS
library.impl("nms", lambda boxes, scores, common: TorchNMS.nms(boxes, scores, common), "CompositeExplicitAutograd")
import torchvision.extension
torchvision.extension._has_ops = lambda: True
"""


@dataclass(frozen=True)
class Clip:
    """A video, and how many frames it has."""

    path: Path
    frames: int


def make_clip(folder: Path, frames: int) -> Clip:
    """Make the video: the demo's interview at 720p, as STEP2 codes it, repeated to its length."""
    path = folder / f"{frames}.mp4"
    with zipfile.ZipFile(REPOSITORY / "samples/demo_rushes.zip") as archive:
        source = archive.extract("demo_rushes/interview.mp4", folder)
    command = [
        str(FFMPEG), "-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i", source, "-an", "-vf",
        f"fps=25,scale={WIDTH}:{HEIGHT}", "-frames:v", str(frames), "-c:v", "libx264", "-preset", "veryfast", "-crf", "20",
        "-g", "50", "-pix_fmt", "yuv420p", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return Clip(path, frames)


def footage(clip: Clip, side: int, threads: int) -> Footage:
    """Return a clip as ours takes it."""
    return Footage(FFMPEG, clip.path, clip.frames, WIDTH, HEIGHT, max(side, LEAST_SIDE), threads)


class Ours:
    """STEP5's own way with some workers, which are up."""

    def __init__(self, engine: str, workers: int, weights: Path, logs: Path) -> None:
        files = {**MODELS, "step5_yolo_weights": weights}
        self.crew = Crew([Setup(Choice((ENGINES[engine],)), files, 0, logs)] * workers)
        self.side = self.crew.engine().side
        self.workers = workers
        self.shares: dict[str, float] = {}

    def warm(self, clip: Clip) -> None:
        """Have every worker look at some frames."""
        short = [Stretch(0, 20)] * self.workers
        for _ in self.crew.look(footage(clip, self.side, 1), short):
            pass

    def __call__(self, clip: Clip) -> float:
        """Return frames per second."""
        parts = stretches(media.index_frames(FFMPEG, clip.path), self.workers)
        writer = FrameWriter(WIDTH, HEIGHT)
        started = time.perf_counter()
        spent: dict[str, float] = defaultdict(float)
        with tempfile.TemporaryFile("w") as output:
            seen = self.crew.look(footage(clip, self.side, 0 if len(parts) == 1 else 1), parts)
            for tracked in follow(timed(seen, spent, "waiting"), [Scene(0, clip.frames)]):
                before = time.perf_counter()
                output.write(writer.spilled(tracked))
                spent["writing"] += time.perf_counter() - before
        seconds = time.perf_counter() - started
        spent["association"] = seconds - spent["waiting"] - spent["writing"]
        del spent["waiting"]
        self.shares = {**self.crew.seconds, **spent}
        return clip.frames / seconds


def timed(things: Iterator[Thing], spent: dict[str, float], name: str) -> Iterator[Thing]:
    """Pass things on, adding up the seconds it takes to get them."""
    while True:
        before = time.perf_counter()
        thing = next(things, None)
        spent[name] += time.perf_counter() - before
        if thing is None:
            return
        yield thing


def faces_loop() -> Callable[[Clip], float]:
    """Return the plain loop over YuNet in OpenCV."""
    size = (640, 360)
    detector = cv2.FaceDetectorYN.create(str(MODELS["yunet"]), "", size, 0.5, 0.3, 5000)

    def run(clip: Clip) -> float:
        return looped(clip, lambda frame: detector.detect(cv2.resize(frame, size, interpolation=cv2.INTER_AREA)))

    return run


def mesh_loop() -> Callable[[Clip], float]:
    """Return the plain loop over YuNet in OpenCV and the face landmarker in LiteRT, its networks given all cores."""
    from ai_edge_litert.interpreter import Interpreter

    size, times = (640, 360), WIDTH / 640
    detector = cv2.FaceDetectorYN.create(str(MODELS["yunet"]), "", size, 0.5, 0.3, 5000)
    landmarker = FaceLandmarker.__new__(FaceLandmarker)
    with zipfile.ZipFile(MODELS["face_landmarker"]) as parts:
        for name, part in (("_mesh", "face_landmarks_detector"), ("_blendshapes", "face_blendshapes")):
            interpreter = Interpreter(model_content=parts.read(f"{part}.tflite"), num_threads=os.cpu_count())
            interpreter.allocate_tensors()
            setattr(landmarker, name, _asked(interpreter))

    def look(frame: np.ndarray) -> None:
        _, rows = detector.detect(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        for row in rows if rows is not None else ():
            box = np.concatenate([row[:2], row[:2] + row[2:4]]) * np.float32(times)
            points = landmarker._points(frame, FaceSquare.around(box, row[4:8].reshape(2, 2) * np.float32(times)))
            if points is not None:
                landmarker._expression(points)

    return lambda clip: looped(clip, look)


def _asked(interpreter: Any) -> Callable[[np.ndarray], list[np.ndarray]]:
    place = interpreter.get_input_details()[0]["index"]
    outputs = [output["index"] for output in interpreter.get_output_details()]

    def ask(values: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(place, values)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return ask


def looped(clip: Clip, look: Callable[[np.ndarray], object]) -> float:
    """Return the frames per second of a plain loop."""
    capture = cv2.VideoCapture(str(clip.path))
    started = time.perf_counter()
    frames = 0
    while True:
        is_read, frame = capture.read()
        if not is_read:
            break
        look(frame)
        frames += 1
    assert frames == clip.frames
    return frames / (time.perf_counter() - started)


def yolo_track(weights: Path, clip: Clip, folder: Path) -> float:
    """Return the frames per second of `yolo track`, without its start."""
    own = {
        "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(folder), "ULTRALYTICS_SAFE_LOAD": "true",
        "MPLBACKEND": "agg",
    }  # fmt: skip

    loads = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0
    code = YOLO_TRACK if loads else OPERATORS + YOLO_TRACK

    command = [
        sys.executable, "-c", code, "track", f"model={weights}", f"source={clip.path}", "tracker=bytetrack.yaml",
        "imgsz=640", "device=cpu", "save=False", "verbose=False", f"project={folder / 'runs'}",
    ]  # fmt: skip
    told = subprocess.run(command, check=True, env={**os.environ, **own}, cwd=folder, stdout=subprocess.PIPE, text=True)
    return float(told.stdout.rpartition("frames a second:")[2])


BARE = """
import sys, time
sys.path[0] = {repository!r}
import cv2, numpy as np
cv2.setNumThreads(1)
from pathlib import Path
from workflow_scripts.step5.engines.opencv_yunet import YuNet
engine, frames = YuNet(Path({model!r})), np.load({frames!r})
for frame in frames:
    engine.detect(frame)
print("ready", flush=True)
for rounds in map(int, sys.stdin):
    started = time.perf_counter()
    for _ in range(rounds):
        for frame in frames:
            engine.detect(frame)
    print(rounds * len(frames) / (time.perf_counter() - started), flush=True)
"""


class Bare:
    """Processes of YuNet on frames in memory, and nothing else."""

    def __init__(self, count: int, clip: Clip, folder: Path) -> None:
        width, height = footage(clip, 0, 0).picture
        frames = list(islice(media.decode_frames(FFMPEG, clip.path, width, height, "bgr24"), 20))
        kept = folder / "frames.npy"
        np.save(kept, np.frombuffer(b"".join(frames), np.uint8).reshape(-1, height, width, 3))
        code = BARE.format(repository=str(REPOSITORY), model=str(MODELS["yunet"]), frames=str(kept))
        command = [sys.executable, "-c", code]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [subprocess.Popen(command, **pipes) for _ in range(count)]
        for process in self._processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"

    def __call__(self, count: int, rounds: int) -> float:
        """Return the frames per second of so many of them together."""
        running = self._processes[:count]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{rounds}\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in running if process.stdout)

    def end(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.communicate()


def limit(ours: Ours, clip: Clip) -> float:
    """Return the frames per second of the slower: decoding alone, or the model alone in all workers."""
    width, height = footage(clip, ours.side, 0).picture
    started = time.perf_counter()
    for _ in media.decode_frames(FFMPEG, clip.path, width, height, "bgr24"):
        pass
    decode = clip.frames / (time.perf_counter() - started)
    model = clip.frames * ours.workers / max(ours.shares["detect"], 1e-9)
    return min(decode, model)


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short clips and one round, in under 50 s")
    quick = parser.parse_args().quick
    rounds, faces, things = (1, 200, 40) if quick else (3, 1000, 150)
    with tempfile.TemporaryDirectory(prefix="derush-tracking-") as name:
        folder = Path(name)
        weights = folder / "yolo11n.pt"
        networks.save_yolo(weights, likely=-1e4)
        clip, short = (make_clip(folder, frames) for frames in (faces, things))
        figures = {
            "over_yolo_track": _yolo(weights, clip, short, folder, rounds),
            **_faces(weights, clip, folder, rounds),
        }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    return 0


def _yolo(weights: Path, clip: Clip, short: Clip, folder: Path, rounds: int) -> float:
    ours = Ours("yolo", 2, weights, folder)
    with ours.crew:
        ours.warm(clip)
        pairs = [(ours(clip), yolo_track(weights, short, folder)) for _ in range(rounds)]
    say("yolo, 2 workers", pairs, "yolo track")
    shown(ours)
    return middle(pairs)


def shown(ours: Ours) -> None:
    """Print what the workers' and the manager's time went into."""
    spent = sum(ours.shares.values())
    print("  shares: " + ", ".join(f"{name} {value / spent:.0%}" for name, value in ours.shares.items()))


def _faces(weights: Path, clip: Clip, folder: Path, rounds: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for engine, key, loop in (
        ("opencv_yunet", "faces_over_loop", faces_loop()),
        ("mediapipe_landmarker", "mesh_over_loop", mesh_loop()),
    ):
        both = Ours(engine, 2, weights, folder)
        with both.crew:
            both.warm(clip)
            if engine == "opencv_yunet":
                figures |= _efficiency(both, weights, clip, folder, rounds)
            pairs = [(both(clip), loop(clip)) for _ in range(rounds)]
        say(f"{engine}, 2 workers", pairs, "plain loop")
        shown(both)
        figures[key] = middle(pairs)
    return figures


@contextmanager
def on_one_processor() -> Iterator[None]:
    """Hold this process for a while, and those that it starts meanwhile for good, to one processor."""
    all_ = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_)


def _efficiency(both: Ours, weights: Path, clip: Clip, folder: Path, rounds: int) -> dict[str, float]:
    """Compare two workers with one, with two and one of the bare model, and with the slowest of their parts alone."""
    bare = Bare(2, clip, folder)
    with on_one_processor():
        alone = Ours("opencv_yunet", 1, weights, folder)
    times = max(1, clip.frames // 40)
    runs = []
    try:
        with alone.crew:
            alone.warm(clip)
            for _ in range(rounds):
                together, two, one, slowest = both(clip), bare(2, times), bare(1, times), limit(both, clip)
                with on_one_processor():
                    runs.append((together, alone(clip), two, one, slowest))
    finally:
        bare.end()
    plain = statistics.median(run[0] / (2 * run[1]) for run in runs)
    possible = statistics.median(run[2] / (2 * run[3]) for run in runs)
    print(f"two workers over twice one: {plain:.2f}; two processes of the bare model: {possible:.2f}", flush=True)
    return {
        "worker_efficiency": statistics.median(run[0] / run[1] * run[3] / run[2] for run in runs),
        "over_limit": statistics.median(run[0] / run[4] for run in runs),
    }


def middle(pairs: Sequence[tuple[float, ...]]) -> float:
    """Return the median of the ratios."""
    return statistics.median(pair[0] / pair[1] for pair in pairs)


def say(what: str, pairs: Sequence[tuple[float, ...]], beside: str) -> None:
    """Print what each round came to."""
    for ours, theirs in pairs:
        print(f"{what}: {ours:.1f} frames/s; {beside}: {theirs:.1f}; {ours / theirs:.2f} times", flush=True)


if __name__ == "__main__":
    sys.exit(main())
