"""JSON reduction: what After Effects and other readers need of the raw audio and tracking files, and no more.

Reads `<stem>_audio_raw.json` and `<stem>_tracking_raw.jsonl`, writes `<stem>_audio.json` and `<stem>_tracking.json`.
Memory stays the same whatever the length of the video. With EXPORTS, writes these too: see `derush export --list`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.settings import Settings
from workflow_scripts.step6 import audio, tracking
from workflow_scripts.step6.alignment import temporal_alignment
from workflow_scripts.step6.broken import BrokenInput
from workflow_scripts.step6.exports.files import FOLDER, Order, missing_module, prepare, refuse_delivered
from workflow_scripts.step6.exports.names import read_names
from workflow_scripts.step6.layout import Layout
from workflow_scripts.stepkit import ItemError, Step, Task, Video, prerequisites, step_parser
from workflow_scripts.stepkit.errors import PrerequisiteMissing

AUDIO_RAW, AUDIO = "_audio_raw.json", "_audio.json"
TRACKING_RAW, TRACKING = "_tracking_raw.jsonl", "_tracking.json"
SCENES = "_scenes.json"
_MADE_BY = {"_source.json": "STEP2", AUDIO_RAW: "STEP4", TRACKING_RAW: "STEP5"}


def main(argv: Sequence[str] | None = None) -> int:
    """Reduce every video, and return the exit code."""
    arguments = step_parser("STEP6", __doc__).parse_args(argv)
    with Step("STEP6", arguments, require=[prerequisites.module("ijson"), _export_modules]) as step:
        for item in step.items():
            with step.work_on(item) as task:
                _reduce(task, step.settings)
    return step.exit_code


def _reduce(task: Task, settings: Settings) -> None:
    inputs = _inputs(task.video)
    parameters: dict[str, Any] = {
        "precision": settings.step6_precision,
        "min_track_frames": settings.step6_min_track_frames,
        "indent": settings.step6_indent,
    }
    if settings.exports:
        parameters.update(exports=settings.exports, names=read_names(task.video.project))
        inputs += [path for path in [task.video.artefact(SCENES)] if path.is_file()]
    if not task.is_up_to_date(inputs=inputs, parameters=parameters):
        _write_reduced(task, settings)
        if settings.exports:
            _write_exports(task, Order(settings.exports))


def _inputs(video: Video) -> list[Path]:
    """Return the files the reduction reads. Raises ItemError that names the step to run when one is not there."""
    for suffix, step in _MADE_BY.items():
        path = video.artefact(suffix)
        if not path.is_file():
            raise ItemError("missing_input", f"{path.name} is not there.", f"Run {step} on this video first.")
    return [video.artefact(suffix) for suffix in _MADE_BY]


def _write_reduced(task: Task, settings: Settings) -> None:
    """Write both files apart first, so that a broken input leaves neither of them."""
    video, layout = task.video, Layout(settings.step6_indent)
    audio_raw, tracking_raw = video.artefact(AUDIO_RAW), video.artefact(TRACKING_RAW)
    with _named("broken_audio_raw", "STEP4"):
        heard = audio.read_facts(audio_raw)
    with _named("broken_tracking_raw", "STEP5"):
        tracked = tracking.read_facts(tracking_raw)
        short = tracking.short_tracks(tracking_raw, tracked, settings.step6_min_track_frames)
    alignment = temporal_alignment(
        audio_frames=heard.total_frames, audio_fps=heard.fps,
        tracking_frames=tracked.total_frames, tracking_fps=tracked.fps, proxy_frames=video.facts().frames,
    )  # fmt: skip
    for message in alignment["warnings"]:
        task.warning("misaligned", message)
    reduction = tracking.Reduction(settings.step6_precision, short)
    audio_made, tracking_made = task.scratch / "audio.json", task.scratch / "tracking.json"
    total = heard.total_frames + tracked.total_frames
    with _named("broken_audio_raw", "STEP4"), audio_made.open("w", encoding="ascii", newline="\n") as stream:
        audio.reduce_audio(audio_raw, heard, stream, layout, _progress(task, 0, total))
    with _named("broken_tracking_raw", "STEP5"), tracking_made.open("w", encoding="ascii", newline="\n") as stream:
        on_frame = _progress(task, heard.total_frames, total)
        tracking.reduce_tracking(
            tracking_raw, tracked, stream, layout=layout, reduction=reduction, alignment=alignment, on_frame=on_frame
        )
    task.metrics.update(frames=total, tracks_left_out=len(short))
    for kind, made, suffix in (("audio", audio_made, AUDIO), ("tracking", tracking_made, TRACKING)):
        with task.output(kind, video.artefact(suffix)) as path:
            made.replace(path)


def _export_modules(settings: Settings) -> PrerequisiteMissing | None:
    return missing_module(Order(settings.exports), settings)


def _write_exports(task: Task, order: Order) -> None:
    """Write what is asked for by default; what cannot be made of this video is said, and harms nothing else."""
    folder = task.video.project.path / FOLDER
    prepared = prepare(task.video, order, folder)
    for error in (*prepared.warnings, *(error for _, error in prepared.impossible)):
        task.warning(error.code, f"{error.message} {error.remedy}")
    for made in prepared.possible:
        path = folder / order.name(task.video, made)
        try:
            refuse_delivered(task.video.project, path)
        except ItemError as error:
            task.warning(error.code, f"{error.message} {error.remedy}")
            continue
        with task.output(f"export_{made.name}", path) as temporary:
            made.write(prepared.export, temporary)


@contextmanager
def _named(code: str, step: str) -> Iterator[None]:
    try:
        yield
    except BrokenInput as error:
        raise ItemError(code, str(error), f"Run {step} on this video again with --force.") from error


def _progress(task: Task, before: int, total: int) -> Callable[[int], None]:
    return lambda done: task.progress(before + done, total, "frames")


if __name__ == "__main__":
    sys.exit(main())
