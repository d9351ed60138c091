"""Tracking: where each face is in every frame, under an id that holds until the shot ends.

Reads the proxy `<stem>.mp4` and STEP3's `<stem>_scenes.json`, writes `<stem>_tracking_raw.jsonl`. Lines are written as
frames are done: memory stays the same whatever the length of the video.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.catalog import models
from config.settings import Settings
from workflow_scripts.step5.choice import AUTO, announce, check_gpu_settings, choose_engine
from workflow_scripts.step5.engines import ENGINES, Engine, EngineSpec
from workflow_scripts.step5.scenes import Scene, read_scenes
from workflow_scripts.stepkit import PrerequisiteMissing, SourceFacts, Step, Task, media, prerequisites, step_parser
from workflow_scripts.stepkit.timebase import PROXY_RATE

if TYPE_CHECKING:
    from workflow_scripts.step5.tracking_file import FrameWriter

_BATCH = 12
"""Frames between two reports of progress."""
_THREADS = min(4, os.cpu_count() or 1)
"""Threads of OpenCV: YuNet at 640 pixels takes 13 ms with one, 7.5 ms with two, and gains little from many."""


def main(argv: Sequence[str] | None = None) -> int:
    """Track what is seen in every video, and return the exit code."""
    parser = step_parser("STEP5", __doc__, videos_aliases=["--videos-json-path"])
    told = "; ".join(f"{spec.name}: {spec.about}" for spec in ENGINES.values())
    parser.add_argument(
        "--tracking-engine", metavar="ENGINE",
        help=f"{AUTO} (the best that can run here), or {told} (setting STEP5_TRACKING_ENGINE)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    require = (
        prerequisites.module("lap"), prerequisites.ffmpeg(),
        partial(_engine_missing, arguments.tracking_engine, arguments.device),
    )  # fmt: skip
    with Step("STEP5", arguments, require=require, log_name="manager") as step:
        for item in step.items():
            with step.work_on(item) as task:
                _track(step, task)
    return step.exit_code


def _engine_missing(name: str | None, device: str, settings: Settings) -> PrerequisiteMissing | None:
    """Check, before any work, that GPU settings agree and the engine can run. Raises UsageError."""
    check_gpu_settings(settings, device)
    try:
        choose_engine(name or settings.step5_tracking_engine, settings, device)
    except PrerequisiteMissing as missing:
        return missing
    return None


def _spec(step: Step) -> EngineSpec:
    """Choose the engine, and say which."""
    asked = step.arguments.tracking_engine or step.settings.step5_tracking_engine
    spec = choose_engine(asked, step.settings, step.arguments.device)
    announce(spec, asked, step.settings)
    return spec


def _load(step: Step, spec: EngineSpec) -> Engine:
    import cv2

    cv2.setNumThreads(_THREADS)
    return spec.load(step.model_path)


def _track(step: Step, task: Task) -> None:
    video = task.video
    facts = video.facts()
    scenes_file = video.artefact("_scenes.json")
    scenes = read_scenes(scenes_file, facts.frames)
    spec = step.once(partial(_spec, step))
    parameters = {
        "engine": spec.name,
        "verbose": step.settings.step5_export_verbose_fields,
        "blendshapes": step.settings.step5_blendshapes_profile,
    }
    if task.is_up_to_date(inputs=[video.proxy, scenes_file], parameters=parameters, models=spec.models):
        return
    engine = step.once(partial(_load, step, spec))
    records = _lines(step, task, engine, facts, scenes)
    with closing(records), task.output("tracking_raw", video.artefact("_tracking_raw.jsonl")) as path:
        tracks = _write(path, records, task, facts.frames)
    speed = round(facts.frames / task.seconds, 1)
    task.metrics.update(frames=facts.frames, tracks=tracks, engine=spec.name, frames_per_second=speed)


def _write(path: Path, records: Iterator[dict[str, Any]], task: Task, total: int) -> int:
    """Write the records as they come, the header first, and return how many tracks there are."""
    from workflow_scripts.step5.tracking_file import line

    tracks = 0
    with path.open("w", encoding="ascii", newline="\n") as stream:
        for done, record in enumerate(records):
            stream.write(line(record))
            tracks = max([tracks, *(told["id"] for told in record.get("objects", ()))])
            if done % _BATCH == 0 or done == total:
                task.progress(done, total, "frames")
    return tracks


def _lines(
    step: Step, task: Task, engine: Engine, facts: SourceFacts, scenes: Sequence[Scene]
) -> Generator[dict[str, Any], None, None]:
    """Yield the header, then the record of each frame."""
    from workflow_scripts.step5 import frames, tracks
    from workflow_scripts.step5.tracking_file import FrameWriter, kept_blendshapes

    kept = tuple(kept_blendshapes(step.settings.step5_blendshapes_profile, engine.blendshape_names))
    writer = FrameWriter(facts.width, facts.height, kept, step.settings.step5_export_verbose_fields)
    yield {**_about(task, engine, writer), "total_frames": facts.frames, "scenes": len(scenes)}
    binary = media.ffmpeg_binary(step.settings)
    decoded = media.decode_frames(binary, task.video.proxy, facts.width, facts.height, "bgr24")
    with closing(frames.one_ahead(frames.exactly(decoded, facts.frames))) as ahead:
        pictures = frames.as_pictures(ahead, facts.width, facts.height)
        for number, tracked in enumerate(tracks.follow(map(engine.detect, pictures), scenes), 1):
            yield writer.record(number, tracked)


def _about(task: Task, engine: Engine, writer: FrameWriter) -> Mapping[str, Any]:
    """Return what the header says of the video and of how it was tracked."""
    from workflow_scripts.step5.tracking_file import SCHEMA

    return {
        "schema": SCHEMA,
        "video_filename": task.video.proxy.name,
        "fps": int(PROXY_RATE),
        "width": writer.width,
        "height": writer.height,
        "engine": engine.name,
        "models": {name: models()[name].sha256 for name in ENGINES[engine.name].models},
        "landmarks": engine.points if writer.landmarks else 0,
        "blendshapes": [engine.blendshape_names[index] for index in writer.blendshapes],
    }


if __name__ == "__main__":
    sys.exit(main())
