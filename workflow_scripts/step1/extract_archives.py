#!/usr/bin/env python3
"""secure extraction: every archive below a folder becomes a project, and so does a folder of clips, or one clip."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.settings import Settings
from workflow_scripts.step1.extraction import Extracted, extract
from workflow_scripts.step1.names import free_name, project_name
from workflow_scripts.step1.publication import publish, restore
from workflow_scripts.step1.registry import Identity, Registry, content_sha256, identify
from workflow_scripts.step1.sources import KINDS, LeftOut, Source, Wanted, found_below, is_video, source_at
from workflow_scripts.stepkit import Item, PrerequisiteMissing, Project, Step, Task, UsageError, step_parser
from workflow_scripts.stepkit.prerequisites import folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run STEP1; returns its exit code."""
    parser = step_parser("STEP1", __doc__)
    parser.add_argument(
        "--source-dir", action="append", type=Path, metavar="PLACE",
        help="a folder to look through for archives and clips, or one archive or clip (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--kind", choices=KINDS, default="all", help="take only archives, or only loose videos (default: all)"
    )
    parser.add_argument(
        "--min-size", type=_megabytes, metavar="MB",
        help="leave out archives and loose videos smaller than this; 0 takes all (setting STEP1_MIN_SIZE_MB)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    with Step("STEP1", arguments, require=[cache_root], find_all=find_items) as step:
        registry = Registry(step.work_dir)
        for item in step.items():
            with step.work_on(replace(item, project=None)) as task:  # work stands beside projects, not in one
                bring(step, task, registry)
    return step.exit_code


def _megabytes(text: str) -> float:
    if not 0 <= float(text) <= 1e6:
        raise argparse.ArgumentTypeError("accepted: a number of megabytes from 0 to 1000000")
    return float(text)


def wanted(step: Step) -> Wanted:
    """Return which delivered files are taken: by the command line, else by the settings."""
    chosen = step.arguments.min_size
    megabytes = step.settings.step1_min_size_mb if chosen is None else chosen
    return Wanted(step.arguments.kind, round(megabytes * 1e6))


def cache_root(settings: Settings) -> PrerequisiteMissing | None:
    """Require the disk of the working data, if one is named: an unmounted one must not be written beneath."""
    if settings.cache_root_dir is None:
        return None
    return folder(lambda chosen: chosen.cache_root, "CACHE_ROOT_DIR", create=False)(settings)


def find_items(step: Step) -> list[Item]:
    """Return the items of the places named on the command line, and say what is left out.

    Raises UsageError for a place that is not there.
    """
    places = [path.absolute() for path in step.arguments.source_dir or []]
    if not places:
        raise UsageError("no_source", "Nothing was named to extract.", "Give --source-dir, or --videos with a list.")
    for place in places:
        if not place.exists():
            raise UsageError("no_source", f"{place} is not there.", "Check the path; mount the disk it is on.")
    settings = step.settings
    own = {step.work_dir, settings.projects_dir, settings.output_dir, settings.archives_dir, settings.logs_dir}
    chosen, items = wanted(step), []
    finding = Finding(step)
    for found in found_below(places, own, chosen):
        if isinstance(found, LeftOut):
            facts = {"form": found.form, "bytes": found.bytes}
            step.leave_out(Item("archive", found.path, facts=facts), found.code, found.message)
        else:
            items.append(finding.item(source_at(found, chosen)))
    return items


class Finding:
    """What is found, with what `--list` tells of it: whose project it is, or how the project will be called."""

    def __init__(self, step: Step) -> None:
        self._seen = Registry(step.work_dir).seen()
        self._pattern = step.settings.step1_project_pattern
        self._taken = [path.name for path in step.work_dir.iterdir()] if step.work_dir.is_dir() else []

    def item(self, source: Source) -> Item:
        """Return a source as an item. The name of a project that is none yet is the one that is free by now."""
        identity = identify(source)
        project = self._seen.get(identity)
        facts = {"form": source.form, "bytes": identity.bytes, "name": project.name if project else self._name(source)}
        clips = {"clips": len(source.files)} if facts["form"] != "archive" else {}
        return Item("archive", source.path, project.path if project else None, facts={**facts, **clips})

    def _name(self, source: Source) -> str:
        name = free_name(project_name(source.path, self._pattern), self._taken)
        self._taken.append(name)
        return name


def bring(step: Step, task: Task, registry: Registry) -> None:
    """Make a project of one source, unless its content was extracted before; report the videos it brought."""
    source = source_at(task.item.path, wanted(step))
    identity = identify(source)
    sha256 = registry.known_sha256(identity)
    if sha256 is None and step.dry_run:
        task.settle("skipped", "would be extracted")  # a dry run reads no archive
        return
    sha256 = sha256 or content_sha256(source)
    delivered = registry.delivery_of(sha256)
    if delivered and not task.force:
        task.settle("up_to_date", f"delivered already to {delivered}; --force extracts it again")
        return
    project = registry.project_of(sha256)
    if project and not task.force:
        task.settle("up_to_date", f"extracted already as {project.name}")
    elif step.dry_run:
        task.settle("skipped", "would be extracted")
    else:
        project = extract_to_project(step, task, registry, source, identity, sha256)
    if project:
        report(task, project)


def extract_to_project(
    step: Step, task: Task, registry: Registry, source: Source, identity: Identity, sha256: str
) -> Project:
    """Extract a source; with a project of the same content there (`--force`) put back what it misses."""
    extracted = extract(source, identity.bytes, task.scratch, task.progress)
    task.metrics["files"] = len(extracted.members)
    task.metrics["bytes"] = sum(member["bytes"] for member in extracted.members)
    warn(task, extracted)
    with registry.locked():
        project = registry.project_of(sha256)
        if project is None:
            name = project_name(source.path, step.settings.step1_project_pattern)
            record = extracted.record(source.path.name, identity, sha256)
            project = publish(extracted.folder, record, step.work_dir, name)
            task.message = f"as {project.name}"
        else:
            restored = restore(extracted.folder, extracted.members, project)
            task.message = f"{restored or 'no'} missing files put back into {project.name}"
    return project


def warn(task: Task, extracted: Extracted) -> None:
    """Say what a person may not expect of the project."""
    if not any(is_video(Path(str(member["path"]))) for member in extracted.members):
        task.warning("no_video", "The archive holds no video: the later steps have nothing to do for it.")
    for left in extracted.skipped:
        if left["reason"] != "system_junk":
            task.warning("left_out", f"{left['name']} was left out ({left['reason']}): rename it and run again.")
    for change in extracted.changed:
        task.warning("renamed", f"{change['name']} is {change['path']} in the project ({change['reason']}).")


def report(task: Task, project: Project) -> None:
    """Say which videos the project has, for STEP2."""
    for original in project.originals():
        task.discovered("original", original, project.path)


if __name__ == "__main__":
    sys.exit(main())
