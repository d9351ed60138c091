"""What there is to work on, as the steps' own scripts say: only they know what they can take."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from config.catalog import StepSpec, steps
from config.settings import Settings
from services.commands import run
from services.environments import environments
from services.flow import Flow
from services.items import WorkItem, found_item
from services.options import Options
from services.worker import step_command

_LIST_SECONDS = 600.0
_MOST_PLACES = 200
"""Places that one call of a script is asked about: a command line has its limits."""
MOST_NAMED = 200
"""Of the files that were left out, how many a run's record names; its events name them all."""
WHY = {
    "too_small": "too small",
    "other_kind": "of another kind",
    "other_name": "of another name",
    "still_arriving": "still being written",
    "part_of_another": "parts of archives that are taken in",
}
"""Why a delivered file is left out, by the code that STEP1 gives."""


@dataclass(frozen=True)
class Input:
    """Something delivered that is taken in.

    `form` is archive, folder or video. `name` is the name of its project, which is there already when the item has one.
    `clips` is how many it brings, None where only unpacking it will tell.
    """

    item: WorkItem
    form: str
    name: str
    clips: int | None


@dataclass(frozen=True)
class LeftOut:
    """A delivered file or folder that is not taken in: `form` is archive, video or folder; why, as a code and a sentence."""

    path: str
    form: str
    bytes: int
    code: str
    message: str


@dataclass
class Inputs:
    """What was found: delivered files, projects and videos that are there already, and what is left out."""

    taken: list[Input] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    """Places in which there is nothing at all."""


class Finder:
    """Asks the steps' scripts, once for many places. `seconds` is how long one of them may take to answer."""

    def __init__(self, settings: Settings, options: Options, seconds: float = _LIST_SECONDS) -> None:
        self._settings = settings
        self._options = options
        self._seconds = seconds
        self._expected: list[str] = []
        self._found: dict[str, dict[str, list[WorkItem]]] = defaultdict(dict)

    def expect(self, projects: Sequence[str]) -> None:
        """Announce projects whose items will be asked for: then they are listed together."""
        self._expected += projects

    def __call__(self, step: StepSpec, project: str) -> list[WorkItem]:
        """Return the items of a step in a project."""
        known = self._found[step.id]
        if project not in known:
            wanted = dict.fromkeys([project, *(each for each in self._expected if each not in known)])
            known.update((each, []) for each in wanted)
            for entry in self._listed(step, "--project", list(wanted)):
                item = found_item(entry["kind"], entry["path"], entry["project"])
                known.setdefault(str(item.project), []).append(item)
        return known[project]

    def forget(self) -> None:
        """Forget what was listed: a run changes what there is, and asks again."""
        self._expected.clear()
        self._found.clear()

    def projects(self) -> list[str]:
        """Return every project there is."""
        return [str(entry["path"]) for entry in self._entries(steps()["STEP7"], [])]

    def delivered(self, places: Sequence[str]) -> tuple[list[Input], list[LeftOut]]:
        """Return what is found in places that hold archives and clips, and what of that is left out."""
        entries = list(self._listed(steps()["STEP1"], "--source-dir", places, *self._options.filters()))
        left_out = [
            LeftOut(entry["path"], entry["form"], entry["bytes"], **entry["skipped"])
            for entry in entries
            if "skipped" in entry
        ]
        return [_input(entry) for entry in entries if "skipped" not in entry], left_out

    def _listed(self, step: StepSpec, option: str, places: Sequence[str], *more: str) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(places), _MOST_PLACES):
            named = [word for place in places[start : start + _MOST_PLACES] for word in (option, place)]
            yield from self._entries(step, [*named, *more])

    def _entries(self, step: StepSpec, arguments: Sequence[str]) -> list[Mapping[str, Any]]:
        environment = environments(self._settings)[step.environment]
        command = step_command(step, environment, "--list", *arguments)
        remedy = f"Run `derush step {step.id} --list {' '.join(arguments)[:200]}` to see it alone."
        lines = run(command, changes=environment.variables, remedy=remedy, timeout=self._seconds).splitlines()
        return [json.loads(line) for line in lines]


def take_in(flow: Flow, finder: Finder, settings: Settings) -> Inputs:
    """Let a flow begin with what its stages' files hold; where no stage names any, with every project there is."""
    named: dict[str, list[str]] = {}
    for stage in flow.stages.values():
        for path in stage.files:
            named.setdefault(str(Path(path).absolute()), []).append(stage.id)
    inputs = Inputs()
    inputs.projects = [path for path in named if _is_project(Path(path), settings)] if named else finder.projects()
    inputs.videos = [path for path in named if _is_video_of_a_project(Path(path), settings)]
    places = [path for path in named if path not in (*inputs.projects, *inputs.videos)]
    finder.expect(inputs.projects)
    if places:
        inputs.taken, inputs.left_out = finder.delivered(places)
        finder.expect([each.item.project for each in inputs.taken if each.item.project])
    for path in named or inputs.projects:
        _begin(flow, path, named.get(path), inputs)
    finder.forget()
    return inputs


def _begin(flow: Flow, path: str, begin: Sequence[str] | None, inputs: Inputs) -> None:
    if path in inputs.projects:
        flow.begin_with_project(path, begin)
    elif path in inputs.videos:
        flow.begin_with_video(found_item("video", path, str(Path(path).parents[1])), begin)
    else:
        found = [each.item for each in inputs.taken if _is_in(each.item.path, path)]
        for item in found:
            flow.begin_with_archive(item, begin)
        if not found and not any(_is_in(each.path, path) for each in inputs.left_out):
            inputs.empty.append(path)


def left_out_text(left_out: Sequence[LeftOut]) -> str:
    """Say which files are left out, the first ones by name; empty when there are none."""
    by_reason: dict[str, list[str]] = {}
    for each in left_out:
        by_reason.setdefault(WHY.get(each.code, each.code), []).append(Path(each.path).name)
    return "; ".join(
        f"{len(names)} left out, {reason}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
        for reason, names in by_reason.items()
    )


def left_out_record(left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """Return what is left out as a run's record keeps it: how many, and the first ones by name."""
    return {"count": len(left_out), "named": [asdict(each) for each in left_out[:MOST_NAMED]]}


def _input(entry: Mapping[str, Any]) -> Input:
    """Read what STEP1 says of an item; a step of one's own in its place may say less."""
    item = found_item(entry["kind"], entry["path"], entry["project"])
    size = entry.get("bytes", item.size)
    name = entry.get("name") or Path(item.project or item.path).name
    return Input(
        WorkItem(item.kind, item.path, item.project, size), entry.get("form", "archive"), name, entry.get("clips")
    )


def _is_project(path: Path, settings: Settings) -> bool:
    return path.parent == settings.projects_dir and path.is_dir()


def _is_video_of_a_project(path: Path, settings: Settings) -> bool:
    above = path.parents
    return len(above) > 2 and above[0].name == "docs" and above[2] == settings.projects_dir


def _is_in(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")
