"""From what a person asks for to a flow that can be carried out: inputs found, prerequisites looked at first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config.catalog import StepSpec, steps
from config.contract import Exit
from config.settings import REPOSITORY, Settings
from services.commands import run
from services.environments import environments, require_built
from services.errors import CommandFailed, ServiceError
from services.flow import Flow
from services.items import WorkItem, found_item
from services.stages import Stage
from services.worker import step_command

DEMO_ARCHIVE = REPOSITORY / "samples" / "demo_rushes.zip"


def require_prerequisites(chosen: Sequence[str], settings: Settings, arguments: Callable[[str], list[str]]) -> None:
    """Ask every chosen step, before any of them works, whether it could: environment, tools, models, options, disks.

    `arguments` gives the options a step will be called with. Raises ServiceError with the first step's own words.
    """
    known = environments(settings)
    for step_id in chosen:
        require_built(known[steps()[step_id].environment])

    def check(step_id: str) -> None:
        spec = steps()[step_id]
        environment = known[spec.environment]
        command = step_command(spec, environment, "--check", *arguments(step_id))
        try:
            run(command, changes=environment.variables, remedy="", timeout=120)
        except CommandFailed as refused:
            asked = refused.returncode == Exit.USAGE
            remedy = f"See `derush step {step_id} --help`." if asked else "`derush doctor` says all that is missing."
            known_code = refused.returncode in (Exit.USAGE, Exit.PREREQUISITE)
            exit_code = refused.returncode if known_code else Exit.BUG
            raise ServiceError(f"{step_id.lower()}_cannot_work", refused.output, remedy, exit_code) from None

    with ThreadPoolExecutor() as pool:
        list(pool.map(check, chosen))


def require_inputs(inputs: Sequence[Path], chosen: Sequence[str]) -> None:
    """Raise ServiceError when nothing was named to begin with, or something that is not there."""
    if not inputs and "STEP1" in chosen:
        raise ServiceError(
            "no_input", "Nothing to work on was named.", "Name a folder or an archive, or use --demo.", Exit.USAGE
        )
    for path in inputs:
        if not path.exists():
            raise ServiceError("no_input", f"{path} does not exist.", "Check the path.", Exit.USAGE)


def new_flow(stages: Mapping[str, Stage], settings: Settings, *, force: bool) -> Flow:
    """Return a flow of these stages that asks the steps' scripts what there is to do."""
    return Flow(stages, lambda step, project: _listed(step, settings, "--project", project), force=force)


def fill(flow: Flow, settings: Settings, warn: Callable[[str], None]) -> None:
    """Take in what the stages' files hold; where no stage names any, every project there is.

    Raises ServiceError when nothing is found to work on, or there is surely no room for it.
    """
    named: dict[str, list[str]] = {}
    for stage in flow.stages.values():
        for path in stage.files:
            named.setdefault(path, []).append(stage.id)
    require_inputs([Path(path) for path in named], [])
    for path, begin in named.items():
        if not _take_in(flow, Path(path).absolute(), begin, settings):
            warn(f"{path}: no archive, video or project was found in it.")
    for project in _all_projects(settings) if not named else ():
        flow.begin_with_project(project)
    works_on_items = any(stage.spec for stage in flow.stages.values())
    if works_on_items and not any(task.stage.spec for task in flow.tasks.values()):
        where = ", ".join(named) or str(settings.projects_dir)
        raise ServiceError(
            "nothing_found", f"Nothing to work on was found in {where}.",
            "Name a folder that holds zip, tar, 7z or rar archives, or videos. Steps 2 to 7 alone need STEP1's work on "
            "them first.", Exit.USAGE,
        )  # fmt: skip
    _require_room(flow, settings)


def _take_in(flow: Flow, path: Path, begin: Sequence[str], settings: Settings) -> bool:
    """Begin with what a path holds; returns whether it holds anything."""
    if path.parent == settings.projects_dir and path.is_dir():
        flow.begin_with_project(str(path), begin)
        return True
    if path.parent.name == "docs" and path.parent.parents[1] == settings.projects_dir:
        flow.begin_with_video(found_item("video", str(path), str(path.parents[1])), begin)
        return True
    items = _listed(steps()["STEP1"], settings, "--source-dir", str(path))
    for item in items:
        flow.begin_with_archive(item, begin)
    return bool(items)


def _listed(step: StepSpec, settings: Settings, *arguments: str) -> list[WorkItem]:
    """Ask a step's script which items it would work on: only it knows what it can take."""
    environment = environments(settings)[step.environment]
    command = step_command(step, environment, "--list", *arguments)
    remedy = f"Run `derush step {step.id} --list {' '.join(arguments)}` to see it alone."
    lines = run(command, changes=environment.variables, remedy=remedy, timeout=600).splitlines()
    parsed = (json.loads(line) for line in lines)
    return [found_item(entry["kind"], entry["path"], entry["project"]) for entry in parsed]


def _all_projects(settings: Settings) -> list[str]:
    return [item.path for item in _listed(steps()["STEP7"], settings)]


def _require_room(flow: Flow, settings: Settings) -> None:
    """Refuse what surely cannot fit: what comes out of an archive is hardly ever smaller than the archive."""
    items = (task.item for task in flow.tasks.values())
    archives = [item for item in items if item.kind == "archive" and item.project is None]
    needed = sum(_size(Path(item.path)) for item in archives)
    existing = next(path for path in (settings.projects_dir, *settings.projects_dir.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ServiceError(
            "disk_too_small",
            f"The archives hold {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free for {settings.projects_dir}.",
            "Free space, set PROJECTS_DIR to a larger disk, or name fewer archives.",
        )


def _size(path: Path) -> int:
    paths: Iterable[Path] = path.iterdir() if path.is_dir() else [path]
    return sum(entry.stat().st_size for entry in paths if entry.is_file())
