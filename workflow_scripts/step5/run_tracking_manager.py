"""Tracking: where each face is in every frame, under an id that holds until the shot ends, who it is, and who speaks.

Reads the proxy `<stem>.mp4`, STEP3's `<stem>_scenes.json` and, if it is there, STEP4's `<stem>_audio_raw.json`; writes
`<stem>_tracking_raw.jsonl`, and adds to the project's `people.json`. Lines are written as frames are done, and again with
what is known at the end: memory stays the same whatever the length of the video, but for a few bytes a face and frame.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.catalog import models
from config.settings import Settings
from workflow_scripts.step5 import blendshapes, choice
from workflow_scripts.step5.choice import AUTO, Choice
from workflow_scripts.step5.engines import ENGINES, JOIN
from workflow_scripts.step5.scenes import Scene, read_scenes
from workflow_scripts.stepkit import PrerequisiteMissing, SourceFacts, Step, Task, media, prerequisites, step_parser
from workflow_scripts.stepkit.files import sha256_of
from workflow_scripts.stepkit.timebase import PROXY_RATE

if TYPE_CHECKING:
    from workflow_scripts.step5.face_prints import FacePrints
    from workflow_scripts.step5.tracking_file import FrameWriter
    from workflow_scripts.step5.tracks import TrackedFrame
    from workflow_scripts.step5.worker_messages import Ready
    from workflow_scripts.step5.workers import Crew

_FACE_PRINTS = "sface"
"""The model, by its name in models.toml, that tells whose a face is, unless the engine has its own."""
log = logging.getLogger(__name__)
_BATCH = 12
"""Frames between two reports of progress."""


def main(argv: Sequence[str] | None = None) -> int:
    """Track what is seen in every video, and return the exit code."""
    parser = step_parser("STEP5", __doc__, videos_aliases=["--videos-json-path"])
    told = "; ".join(f"{spec.name}: {spec.about}" for spec in ENGINES.values())
    parser.add_argument(
        "--tracking-engine", metavar="ENGINE",
        help=f"{AUTO} (the best that can run here), or engines joined by {JOIN}: {told} (setting STEP5_TRACKING_ENGINE)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    require = (
        prerequisites.module("lap"), prerequisites.ffmpeg(), prerequisites.model(_FACE_PRINTS),
        partial(_engine_missing, arguments.tracking_engine, arguments.device),
    )  # fmt: skip
    with ExitStack() as ended, Step("STEP5", arguments, version=2, require=require, log_name="manager") as step:
        for item in step.items():
            with step.work_on(item) as task:
                _track(step, task, ended)
    return step.exit_code


def _engine_missing(name: str | None, device: str, settings: Settings) -> PrerequisiteMissing | None:
    """Check, before any work, that settings agree and the engines can run. Raises UsageError."""
    choice.check_gpu_settings(settings, device)
    blendshapes.check_profile(settings)
    try:
        choice.choose(name or settings.step5_tracking_engine, settings, device)
    except PrerequisiteMissing as missing:
        return missing
    return None


def _chosen(step: Step) -> Choice:
    """Choose the engines, and say which."""
    asked = step.arguments.tracking_engine or step.settings.step5_tracking_engine
    chosen = choice.choose(asked, step.settings, step.arguments.device)
    choice.announce(chosen, asked, step.settings)
    return chosen


def _own_models(step: Step, chosen: Choice) -> dict[str, str]:
    """Return the sha256 of each file of a person's own that is loaded, by its name."""
    files: dict[str, str] = {}
    for setting in chosen.given:
        path = choice.given_path(setting, step.settings)
        assert path is not None
        for file in sorted(path.glob("*.onnx")) if path.is_dir() else [path]:
            files[file.name] = sha256_of(file)
    return files


def _crew(step: Step, chosen: Choice, ended: ExitStack) -> Crew:
    """Make the workers (see `gpu_of_each_worker`)."""
    from workflow_scripts.step5.worker_messages import Setup
    from workflow_scripts.step5.workers import Crew

    files = {name: step.model_path(name) for name in chosen.models}
    for setting in chosen.given:
        path = choice.given_path(setting, step.settings)
        assert path is not None
        files[setting] = path
    gpus = choice.gpu_of_each_worker(chosen, step.settings)
    setups = [Setup(chosen, files, gpu, step.log_folder) for gpu in gpus]
    return ended.enter_context(Crew(setups))


def _load_prints(step: Step, chosen: Choice) -> FacePrints:
    """Load what makes prints of faces: the engine's own model where it has one."""
    from workflow_scripts.step5.face_prints import ArcFace, SFace, recognition_model

    for setting in chosen.given:
        folder = choice.given_path(setting, step.settings)
        if folder is not None and folder.is_dir() and (own := recognition_model(folder)):
            log.info("Faces are told apart by %s", own.name)
            return ArcFace(own)
    return SFace(step.model_path(_FACE_PRINTS))


def _track(step: Step, task: Task, ended: ExitStack) -> None:
    video = task.video
    facts = video.facts()
    inputs = [video.proxy, video.artefact("_scenes.json"), video.artefact("_audio_raw.json")]
    scenes = read_scenes(inputs[1], facts.frames)
    chosen = step.once(partial(_chosen, step))
    own = step.once(partial(_own_models, step, chosen))
    parameters = {
        "engine": chosen.name,
        "fallback": chosen.fallback.name if chosen.fallback else None,
        "gpu": sorted(chosen.on_gpu),
        "own_models": own,
        "verbose": step.settings.step5_export_verbose_fields,
        "blendshapes": list(blendshapes.wanted_names(step.settings)),
    }
    there = [path for path in inputs if path.is_file()]
    if task.is_up_to_date(inputs=there, parameters=parameters, models=(*chosen.models, _FACE_PRINTS)):
        return
    crew = step.once(partial(_crew, step, chosen, ended))
    tracks = _write(step, task, crew, facts, scenes)
    speed = round(facts.frames / task.seconds, 1)
    task.metrics.update(frames=facts.frames, tracks=tracks, engine=chosen.name, frames_per_second=speed)
    task.metrics.update({f"{name}_seconds": round(value, 2) for name, value in crew.seconds.items()})
    if complaint := crew.complaint:
        task.warning("damaged_frames", f"ffmpeg went on over damage: {complaint}")
    for note in crew.notes:
        task.warning("workers", note)
    if crew.notes:
        task.metrics["worker_notes"] = " ".join(crew.notes)


def _write(step: Step, task: Task, crew: Crew, facts: SourceFacts, scenes: Sequence[Scene]) -> int:
    """Look at the video frame by frame, then at the whole, write the tracking, and return how many tracks there are."""
    from workflow_scripts.step5.passes import first_pass, second_pass
    from workflow_scripts.step5.sightings import Album, Sightings
    from workflow_scripts.step5.tracking_file import FrameWriter, line, lines

    engine, chosen = crew.engine(), step.once(partial(_chosen, step))
    kept = blendshapes.kept(step.settings, engine.blendshape_names)
    writer = FrameWriter(facts.width, facts.height, kept, step.settings.step5_export_verbose_fields)
    spill = task.scratch / "frames.jsonl"
    with (task.scratch / "portraits").open("w+b") as pictures:
        prints = step.once(partial(_load_prints, step, chosen))
        sightings = Sightings(prints.of, Album(pictures))
        with (
            closing(_followed(step, task, crew, facts, scenes)) as followed,
            spill.open("w", encoding="ascii") as stream,
        ):
            for done, _ in enumerate(first_pass(followed, writer, sightings, stream), 1):
                if done % _BATCH == 0 or done == facts.frames:
                    task.progress(done, facts.frames, "frames", crew.state)
        ended = sightings.ended()
        found = second_pass(task.video, ended, scenes, task.scratch, prints)
    header = {**_about(step, task, engine, writer, prints.kind), "total_frames": facts.frames, "scenes": len(scenes)}
    with (
        task.output("tracking_raw", task.video.artefact("_tracking_raw.jsonl")) as path,
        path.open("w", encoding="ascii", newline="\n") as output,
        spill.open(encoding="ascii") as spilled,
    ):
        output.write(line(header))
        output.writelines(lines(spilled, found))
    return len(ended)


def _followed(
    step: Step, task: Task, crew: Crew, facts: SourceFacts, scenes: Sequence[Scene]
) -> Generator[TrackedFrame, None, None]:
    """Yield every frame with its tracks."""
    from workflow_scripts.step5 import frames, tracks
    from workflow_scripts.step5.detecting import LEAST_SIDE, Footage, stretches

    binary = media.ffmpeg_binary(step.settings)
    index = media.index_frames(binary, task.video.proxy)
    if index.frames != facts.frames:
        raise frames.miscounted(str(index.frames), facts.frames)
    workers = len(crew)
    if not step.once(partial(_chosen, step)).looks_on_gpu:
        workers = choice.workers_for(step.settings, task.item.cores, workers)
    parts = stretches(index, workers)
    side = max(LEAST_SIDE, crew.engine().side)
    threads = 0 if len(parts) == 1 else 1
    footage = Footage(binary, task.video.proxy, facts.frames, facts.width, facts.height, side, threads)
    with closing(crew.look(footage, parts, workers)) as seen:
        yield from tracks.follow(seen, scenes)


def _about(step: Step, task: Task, engine: Ready, writer: FrameWriter, prints: str) -> Mapping[str, Any]:
    """Return what the header says of the video and of how it was tracked; `prints` is the kind of the faces' prints."""
    from workflow_scripts.step5.tracking_file import SCHEMA

    chosen = step.once(partial(_chosen, step))
    catalogued = (*chosen.models, _FACE_PRINTS) if prints == _FACE_PRINTS else chosen.models
    named = {name: models()[name].sha256 for name in catalogued}
    return {
        "schema": SCHEMA,
        "video_filename": task.video.proxy.name,
        "fps": int(PROXY_RATE),
        "width": writer.width,
        "height": writer.height,
        "engine": chosen.name,
        "models": {**named, **step.once(partial(_own_models, step, chosen))},
        "landmarks": engine.points if writer.landmarks else 0,
        "blendshapes": [engine.blendshape_names[index] for index in writer.blendshapes],
    }


if __name__ == "__main__":
    sys.exit(main())
