#!/usr/bin/env python3
"""conversion: every delivered video gets a 25 fps proxy and a frame-exact map back to its original."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.settings import Settings
from workflow_scripts.step2.encoders import Choice, choose
from workflow_scripts.step2.places import delivered_sha256, in_sources, move_to_sources, owner, present, with_project
from workflow_scripts.stepkit import Project, Step, Task, Video, prerequisites, step_parser
from workflow_scripts.stepkit.files import write_json
from workflow_scripts.stepkit.items import originals_of
from workflow_scripts.stepkit.media import ffmpeg_binary
from workflow_scripts.stepkit.records import Record

if TYPE_CHECKING:
    from workflow_scripts.step2.conversion import Converted

TRACKING_LIST = "videos_to_track.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run STEP2; returns its exit code."""
    arguments = step_parser("STEP2", __doc__).parse_args(argv)
    require = [prerequisites.ffmpeg(), prerequisites.module("av"), prerequisites.module("ffmpeg")]
    with Step("STEP2", arguments, version=2, require=require, find=originals_of) as step:
        proxies: list[Path] = []
        for item in step.items():
            with step.work_on(with_project(item, step.work_dir)) as task:
                project = owner(task.item)
                original = present(task.item.path, project)
                video = project.proxy_for(original)
                bring_up_to_date(step, task, original, video)
                task.discovered("video", video.proxy, project.path)  # in a dry run, also one that is still to come
                proxies.append(video.proxy)
        if not (step.is_driven or step.dry_run or arguments.list):
            write_json(Path.cwd() / TRACKING_LIST, [str(proxy) for proxy in proxies])
        if arguments.check:
            found = chosen_encoder(step.settings)
            print(json.dumps({"encoder": found.name, "refused": found.refused}))
    return step.exit_code


def chosen_encoder(settings: Settings) -> Choice:
    """Return the encoder that works here and that the settings allow."""
    return choose(ffmpeg_binary(settings), settings.step2_encoder, settings.data_dir)


def bring_up_to_date(step: Step, task: Task, original: Path, video: Video) -> None:
    """Make a video's proxy and facts, unless they are there, made from this very file with these settings."""
    # Imported here: PyAV is most of what a start takes, and a run asks this script what there is before it works.
    from workflow_scripts.step2.conversion import Way, convert
    from workflow_scripts.step2.facts import Origin, source_facts
    from workflow_scripts.step2.probe import probe

    project, settings = video.project, step.settings
    if task.would_do(project, video.stem):
        return
    record = Record(project, video.stem)
    size = original.stat().st_size

    def reading(done: int) -> None:
        task.progress(min(done, size - 1), size, "bytes")  # the frames are still to come

    sha256 = delivered_sha256(original, project) or record.fingerprint(original, reading)
    origin = Origin(in_sources(original, project).relative_to(project.path), size, sha256)
    # Not the encoder: what another one made is as good, and a new GPU is no reason to make every proxy anew.
    parameters = {
        "preset": settings.step2_preset, "crf": settings.step2_crf, "rate_mode": settings.step2_rate_mode,
        "original": {"path": str(origin.path), "sha256": origin.sha256},
    }  # fmt: skip
    # The original is named by its last place: it moves there in the course of the work, and stays the same input.
    if task.is_up_to_date(inputs=[], parameters=parameters, subject=(project, video.stem)):
        return
    seen = probe(original, reading)
    way = Way(
        ffmpeg_binary(settings), settings.step2_preset, settings.step2_crf, settings.step2_rate_mode == "speed",
        lambda: step.once(partial(chosen_encoder, settings)), task.item.cores, settings.step2_proof == "full",
    )  # fmt: skip
    converted = convert(
        original, origin.sha256, seen, task.scratch, way,
        lambda done, frames, pace: task.progress(done, frames, "frames", pace),
    )  # fmt: skip
    for code, message in (*converted.warnings, *converted.notes):
        task.warning(code, message)
    put_in_place(task, original, video, source_facts(origin, seen, video.proxy.name, converted), converted)
    task.metrics |= {"frames": converted.plan.frames, "method": converted.plan.method}
    if converted.made.encoder:
        task.metrics |= {"encoder": converted.made.encoder}


def put_in_place(task: Task, original: Path, video: Video, facts: dict[str, Any], converted: Converted) -> None:
    """Move the original, then let its facts appear, then its proxy: killed between any two, the next run goes on.

    What lies in `sources/` without facts is an original to be converted; a proxy never stands without its facts.
    """
    with (
        task.output("proxy", video.proxy, sha256=converted.made.sha256) as proxy,
        task.output("source", video.artefact("_source.json")) as listing,
    ):
        converted.made.path.rename(proxy)
        listing.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        place = move_to_sources(original, video.project)
    remember(Record(video.project, video.stem), video.project, original, place)


def remember(record: Record, project: Project, before: Path, now: Path) -> None:
    """Keep the sha256 that was read at the old place: the file need not be read again at the new one."""
    old, new = (str(path.relative_to(project.path)) for path in (before, now))
    with record.change() as known:
        if old in known["fingerprints"]:
            known["fingerprints"][new] = known["fingerprints"].pop(old)


if __name__ == "__main__":
    sys.exit(main())
