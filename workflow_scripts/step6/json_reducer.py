"""JSON reduction: what After Effects and other readers need of the raw audio and tracking files, and no more.

Reads `<stem>_audio_raw.json` and `<stem>_tracking_raw.jsonl` (or `.json`, as older versions wrote it), writes
`<stem>_audio.json` and `<stem>_tracking.json`. Memory stays the same whatever the length of the video. With EXPORTS,
writes these too: see `derush export --list`.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.settings import Settings
from workflow_scripts.step6.alignment import temporal_alignment
from workflow_scripts.step6.audio import AudioReduction, reduce_audio
from workflow_scripts.step6.broken import BrokenInput
from workflow_scripts.step6.exports.files import FOLDER, Order, missing_module, prepare, refuse_delivered
from workflow_scripts.step6.exports.material import read_scenes
from workflow_scripts.step6.exports.names import read_names
from workflow_scripts.step6.keyframes import Keyframes
from workflow_scripts.step6.layout import Layout
from workflow_scripts.step6.opening import writing
from workflow_scripts.step6.sources import Source, read_source
from workflow_scripts.step6.tracking import Noise, Reduction, read_objects, reduce_tracking
from workflow_scripts.stepkit import ItemError, Step, Task, Video, prerequisites, step_parser
from workflow_scripts.stepkit.errors import PrerequisiteMissing

AUDIO_RAW, AUDIO = "_audio_raw.json", "_audio.json"
TRACKING_RAW, OLDER_TRACKING_RAW, TRACKING = "_tracking_raw.jsonl", "_tracking_raw.json", "_tracking.json"
SOURCE, SCENES = "_source.json", "_scenes.json"


@dataclass(frozen=True)
class Inputs:
    """The files that a video's reduction reads; `scenes` is None where STEP3 has not been."""

    source: Path
    audio: Path
    tracking: Path
    scenes: Path | None

    def paths(self) -> list[Path]:
        """Return those that are there."""
        return [path for path in (self.source, self.audio, self.tracking, self.scenes) if path]


def main(argv: Sequence[str] | None = None) -> int:
    """Reduce every video, and return the exit code."""
    parser = step_parser("STEP6", __doc__)
    parser.add_argument(
        "--salvage", action="store_true", help="take what is whole of a raw tracking that ends too early"
    )
    arguments = parser.parse_args(argv)
    needed = [prerequisites.module("msgspec"), prerequisites.module("ijson"), _export_modules]
    with Step("STEP6", arguments, require=needed) as step:
        for item in step.items():
            with step.work_on(item) as task:
                if _is_wanted(task.video, step.settings):
                    _reduce(task, step.settings, salvage=arguments.salvage)
                else:
                    task.settle("skipped", "not chosen by STEP6_PROJECTS and STEP6_KEYWORDS")
    return step.exit_code


def _is_wanted(video: Video, settings: Settings) -> bool:
    """Tell whether the settings choose a video; capitals, and how accents are written, do not count."""
    project, stem = _plain(video.project.name), _plain(video.stem)
    patterns, keywords = map(_plain, settings.step6_projects), map(_plain, settings.step6_keywords)
    # A name may hold signs of a pattern: `Rushes [2024]` is itself.
    return (not settings.step6_projects or any(project == each or fnmatch(project, each) for each in patterns)) and (
        not settings.step6_keywords or any(keyword in stem for keyword in keywords)
    )


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _reduce(task: Task, settings: Settings, *, salvage: bool) -> None:
    inputs = _inputs(task.video, reads_scenes=bool(settings.exports or settings.step6_keyframes))
    parameters: dict[str, Any] = {
        "precision": settings.step6_precision,
        "min_track_frames": settings.step6_min_track_frames,
        "min_track_confidence": settings.step6_min_track_confidence,
        "tracking_fields": sorted(settings.step6_tracking_fields),
        "audio_fields": sorted(settings.step6_audio_fields),
        "keyframes": settings.step6_keyframes,
        "indent": settings.step6_indent,
        "compress": settings.step6_compress,
    }
    if settings.exports:
        parameters.update(exports=settings.exports, names=read_names(task.video.project))
    if not task.is_up_to_date(inputs=inputs.paths(), parameters=parameters):
        _write_reduced(task, settings, inputs, salvage=salvage)
        if settings.exports:
            _write_exports(task, Order(settings.exports))


def _inputs(video: Video, *, reads_scenes: bool) -> Inputs:
    """Return the files the reduction reads. Raises ItemError that names the step to run when one is not there."""

    def found(step: str, *suffixes: str) -> Path:
        for suffix in suffixes:
            if (path := video.artefact(suffix)).is_file():
                return path
        name = video.artefact(suffixes[0]).name
        raise ItemError("missing_input", f"{name} is not there.", f"Run {step} on this video first.")

    scenes = video.artefact(SCENES)
    return Inputs(
        found("STEP2", SOURCE), found("STEP4", AUDIO_RAW), found("STEP5", TRACKING_RAW, OLDER_TRACKING_RAW),
        scenes if reads_scenes and scenes.is_file() else None,
    )  # fmt: skip


def _write_reduced(task: Task, settings: Settings, inputs: Inputs, *, salvage: bool) -> None:
    """Write both files apart first, so that a broken input leaves neither of them."""
    video, layout = task.video, Layout(settings.step6_indent)
    with _named("broken_audio_raw", "STEP4"):
        heard = read_source(inputs.audio)
    with _named("broken_tracking_raw", "STEP5", _SALVAGE):
        tracked = read_source(inputs.tracking)
        tracked = _salvaged(task, tracked) if salvage else tracked
        noise = Noise(settings.step6_min_track_frames, settings.step6_min_track_confidence).tracks(tracked)
    proxy_frames = video.facts().frames
    alignment = temporal_alignment(
        audio_frames=heard.total_frames, audio_fps=heard.fps,
        tracking_frames=tracked.total_frames, tracking_fps=tracked.fps, proxy_frames=proxy_frames,
    )  # fmt: skip
    for message in alignment["warnings"]:
        task.warning("misaligned", message)
    total = heard.total_frames + tracked.total_frames
    audio_made, tracking_made = task.scratch / "audio.json", task.scratch / "tracking.json"
    with _named("broken_audio_raw", "STEP4"), writing(audio_made, settings.step6_compress) as stream:
        kept = AudioReduction(video.proxy.name, settings.step6_audio_fields)
        reduce_audio(heard, stream, layout, kept, _progress(task, 0, total))
    with (
        _named("broken_tracking_raw", "STEP5", _SALVAGE),
        writing(tracking_made, settings.step6_compress) as stream,
        _keyframes(task, settings, inputs.scenes, proxy_frames) as keyframes,
    ):
        reduce_tracking(
            tracked, stream, layout=layout, alignment=alignment, keyframes=keyframes,
            reduction=Reduction(settings.step6_precision, settings.step6_tracking_fields, noise),
            on_frame=_progress(task, heard.total_frames, total),
        )  # fmt: skip
    task.metrics.update(frames=total, tracks_left_out=len(noise))
    for kind, temporary, suffix in (("audio", audio_made, AUDIO), ("tracking", tracking_made, TRACKING)):
        with task.output(kind, video.artefact(suffix)) as path:
            temporary.replace(path)


def _salvaged(task: Task, tracked: Source) -> Source:
    """Take what is whole of a tracking, and say so where that is not all."""
    whole = tracked.salvaged(read_objects)
    if whole.salvage:
        taken = whole.salvage
        message = (
            f"{tracked.path.name} breaks off ({taken.reason}): {taken.frames} of {taken.announced} frames are taken."
        )
        task.warning("salvaged", message)
    return whole


@contextmanager
def _keyframes(task: Task, settings: Settings, scenes: Path | None, frames: int) -> Iterator[Keyframes | None]:
    """Give what makes keyframes, where they are asked for."""
    if settings.step6_keyframes is None:
        yield None
        return
    cuts = frozenset(scene.start + 1 for scene in read_scenes(scenes, frames)) if scenes else frozenset()
    with (task.scratch / "curves.jsonl").open("w+b") as spill:
        yield Keyframes(settings.step6_keyframes, settings.step6_precision, spill, cuts)


def _export_modules(settings: Settings) -> PrerequisiteMissing | None:
    return missing_module(Order(settings.exports), settings)


def _write_exports(task: Task, order: Order) -> None:
    """Write what is asked for by default; what cannot be made of this video is said, and harms nothing else."""
    folder = task.video.project.path / FOLDER
    prepared = prepare(task.video, order, folder)
    for error in (*prepared.warnings, *(error for _, error in prepared.impossible)):
        task.warning(error.code, f"{error.message} {error.remedy}")
    for each in prepared.possible:
        path = folder / order.name(task.video, each)
        try:
            refuse_delivered(task.video.project, path)
        except ItemError as error:
            task.warning(error.code, f"{error.message} {error.remedy}")
            continue
        with task.output(f"export_{each.name}", path) as temporary:
            each.write(prepared.export, temporary)


_SALVAGE = " Of a file that breaks off, --salvage takes what is whole."


@contextmanager
def _named(code: str, step: str, advice: str = "") -> Iterator[None]:
    try:
        yield
    except BrokenInput as error:
        raise ItemError(code, str(error), f"Run {step} on this video again with --force.{advice}") from error


def _progress(task: Task, before: int, total: int) -> Callable[[int], None]:
    return lambda done: task.progress(before + done, total, "frames")


if __name__ == "__main__":
    sys.exit(main())
