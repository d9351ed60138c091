#!/usr/bin/env python3
"""secure extraction: every archive below a folder becomes a project, and so does a folder of clips, or one clip."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.settings import Settings
from workflow_scripts.step1.extraction import Extracted, Terms, extract, hashed_beside, terms_of
from workflow_scripts.step1.finding import Lookout, places_of, wanted
from workflow_scripts.step1.names import is_called, is_named_archive, project_name
from workflow_scripts.step1.passwords import ask, readable
from workflow_scripts.step1.publication import publish, restore
from workflow_scripts.step1.registry import Identity, Registry, content_sha256, identify
from workflow_scripts.step1.sources import KINDS, Source, is_video, passed_over, source_at
from workflow_scripts.stepkit import Item, ItemError, PrerequisiteMissing, Project, Step, Task, step_parser
from workflow_scripts.stepkit.prerequisites import folder

log = logging.getLogger(__name__)

_MOST_WARNINGS = 20
"""Names that are warned of one by one: a person reads no thousand."""


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
    parser.add_argument(
        "--keyword", action="append", default=[], metavar="TEXT",
        help="take only what has this in its name or its folder's, whatever the accents and capitals (repeatable: either)",
    )  # fmt: skip
    parser.add_argument(
        "--watch", action="store_true", help="go on: take in what comes to the places, until Ctrl-C or SIGTERM"
    )
    arguments = parser.parse_args(argv)
    lookout = Lookout()
    with Step("STEP1", arguments, require=[cache_root, readable], find_all=lookout.look) as step:
        registry = Registry(step.work_dir)
        for item in chain(step.items(), watched(step, lookout)):
            with step.work_on(replace(item, project=None)) as task:  # work stands beside projects, not in one
                bring(step, task, registry)
    return step.exit_code


def _megabytes(text: str) -> float:
    if not 0 <= float(text) <= 1e6:
        raise argparse.ArgumentTypeError("accepted: a number of megabytes from 0 to 1000000")
    return float(text)


def watched(step: Step, lookout: Lookout) -> Iterator[Item]:
    """Yield what comes to the places, if that is asked for, until a signal comes while nothing is at work.

    With `--list` it is printed instead.
    """
    if not step.arguments.watch or step.arguments.check or step.dry_run:
        return
    from workflow_scripts.step1.watching import Watch  # watchdog is needed for nothing else

    with Watch(places_of(step)) as watch:
        log.info("Watching; Ctrl-C ends it")
        while True:
            for item in lookout.look(step):
                if step.arguments.list:
                    print(item.line())
                else:
                    yield item
            sys.stdout.flush()
            if not watch.wait(soon=lookout.is_pending):
                return


def cache_root(settings: Settings) -> PrerequisiteMissing | None:
    """Require the disk of the working data, if one is named: an unmounted one must not be written beneath."""
    if settings.cache_root_dir is None:
        return None
    return folder(lambda chosen: chosen.cache_root, "CACHE_ROOT_DIR", create=False)(settings)


def bring(step: Step, task: Task, registry: Registry) -> None:
    """Make a project of one source, unless its content was extracted before; report the videos it brought."""
    source = source_at(task.item.path, wanted(step))
    identity = identify(source)
    sha256 = registry.known_sha256(identity)
    if sha256 is None and step.dry_run:
        task.settle("skipped", "would be extracted")  # a dry run reads no archive
        return
    if sha256 is None and registry.may_know(identity.bytes):
        sha256 = content_sha256(source)
    if sha256 is None:
        project: Project | None = extract_to_project(step, task, registry, source, identity, None)
    elif (delivered := registry.delivery_of(sha256)) and not task.force:
        task.settle("up_to_date", f"delivered already to {delivered}; --force extracts it again")
        return
    elif (project := registry.project_of(sha256)) and not task.force:
        task.settle("up_to_date", f"extracted already as {project.name}")
        named = project_name(source.path, step.settings.step1_project_pattern)
        if not is_called(project.name, named):
            task.warning(
                "same_content", f"It is, byte for byte, what became {project.name}: no project {named} is made."
            )
    elif step.dry_run:
        task.settle("skipped", "would be extracted")
    else:
        project = extract_to_project(step, task, registry, source, identity, sha256)
    if project:
        report(task, project)


def extract_to_project(
    step: Step, task: Task, registry: Registry, source: Source, identity: Identity, sha256: str | None
) -> Project:
    """Extract a source; with a project of the same content there (`--force`) put back what it misses.

    Without its `sha256` nothing of its size was extracted before: then it is hashed meanwhile.
    """
    terms = step.once(partial(terms_of, step.settings))
    if sha256 is None:
        with hashed_beside(source, identity.bytes, terms) as hashed:
            extracted = extract_asking(step, task, source, identity, terms)
            sha256 = hashed()
    else:
        extracted = extract_asking(step, task, source, identity, terms)
    task.metrics["files"] = len(extracted.members)
    task.metrics["bytes"] = sum(member["bytes"] for member in extracted.members)
    warn(task, extracted)
    if source.form == "folder":
        warn_of_others(task, source.path)
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


def extract_asking(step: Step, task: Task, source: Source, identity: Identity, terms: Terms) -> Extracted:
    """Extract a source; where a person runs the step, ask for a password that is missing or wrong until none is given."""
    while True:
        try:
            return extract(source, identity.bytes, Path(mkdtemp(dir=task.scratch)), terms, task.progress)
        except ItemError as error:
            password = None if step.is_driven else ask(error)
            if password is None:
                raise
            terms.passwords.learn(password)


def warn(task: Task, extracted: Extracted) -> None:
    """Say what a person may not expect of the project."""
    paths = [Path(str(member["path"])) for member in extracted.members]
    if not any(map(is_video, paths)):
        inner = [path.name for path in paths if is_named_archive(path.name)]
        if inner:
            task.warning(
                "no_video", f"The archive holds no video, but {', '.join(inner[:3])}. To unpack archives in archives set "
                "STEP1_NESTED=true, remove the project and run again.",
            )  # fmt: skip
        else:
            task.warning("no_video", "The archive holds no video: the later steps have nothing to do for it.")
    for left in extracted.skipped:
        if left["reason"] != "system_junk":
            task.warning("left_out", f"{left['name']} was left out ({left['reason']}): rename it and run again.")
    renamed = [change for change in extracted.changed if change["reason"] != "unicode_form"]  # looks the same
    for change in renamed[:_MOST_WARNINGS]:
        task.warning("renamed", f"{change['name']} is {change['path']} in the project ({change['reason']}).")
    if len(renamed) > _MOST_WARNINGS:
        task.warning("renamed", f"{len(renamed)} names were changed; .derush/project/archive.json lists them all.")
    for encoding in extracted.encodings:
        task.warning(
            "names_guessed", f"The archive does not say how its names are written: they were read as {encoding}. "
            "If they look wrong, set STEP1_NAME_ENCODING, remove the project and run again.",
        )  # fmt: skip


def warn_of_others(task: Task, folder: Path) -> None:
    """Say which files beside a folder's clips are not taken in: sound recorded apart, camera reports, notes."""
    if others := [path.name for path in passed_over(folder)]:
        more = f" and {len(others) - 5} more" if others[5:] else ""
        task.warning("not_taken", f"Not taken in, being no videos: {', '.join(others[:5])}{more}.")


def report(task: Task, project: Project) -> None:
    """Say which videos the project has, for STEP2."""
    for original in project.originals():
        task.discovered("original", original, project.path)


if __name__ == "__main__":
    sys.exit(main())
