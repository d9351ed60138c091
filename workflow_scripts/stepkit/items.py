"""What a step is asked to work on: read from a file or standard input, or found below the work directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.stepkit.errors import UsageError
from workflow_scripts.stepkit.projects import Project


@dataclass(frozen=True)
class Item:
    """One thing to work on. `kind` is archive, original, video or project; `project` is its project's folder, once it has one.

    `force`: do it again even where it is up to date. `cores`: how many to use; None: as the step likes. `accepted`: files of
    the project that a step failed on and that a person took as they are. `facts` are what else its finder knows of it, for
    `--list`.
    """

    kind: str
    path: Path
    project: Path | None = None
    force: bool = False
    cores: int | None = None
    accepted: tuple[Path, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """The item's name in events: its absolute path."""
        return str(self.path)

    def line(self) -> str:
        """Return the item as one JSON line."""
        named = {"kind": self.kind, "path": str(self.path), "project": self.project and str(self.project)}
        return json.dumps({**named, **self.facts})


def item_from(value: Any, kind: str) -> Item:
    """Make an item of a JSON value: a path, or an object with `path` and perhaps `kind`, `project`, `force`, `cores` and `accepted`.

    Raises UsageError when it is neither.
    """
    if isinstance(value, str) and value:
        return Item(kind, Path(value).absolute())
    if isinstance(value, dict) and isinstance(value.get("path"), str) and value["path"]:
        project = value.get("project")
        owner = Path(project) if isinstance(project, str) else None
        cores = value.get("cores")
        share = cores if type(cores) is int and cores > 0 else None
        path, force = Path(value["path"]).absolute(), value.get("force") is True
        named = value.get("accepted")
        accepted = tuple(Path(it) for it in named if isinstance(it, str)) if isinstance(named, list) else ()
        return Item(str(value.get("kind") or kind), path, owner, force, share, accepted)
    raise UsageError(
        "bad_item", f"Not an item: {value!r:.200}.", 'Give a path, or an object like {"path": "/a/clip.mp4"}.'
    )


def items_from_lines(lines: Iterable[str], kind: str) -> Iterator[Item]:
    """Yield the item of each JSON line as it arrives; empty lines are passed over."""
    for line in lines:
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError:
                raise UsageError(
                    "bad_item", f"Not JSON: {line.strip()!r:.200}.", "Give one JSON object a line."
                ) from None
            yield item_from(value, kind)


def items_from_file(path: Path, kind: str) -> list[Item]:
    """Read a list of items: a JSON array, an object with the array under `videos`, or JSON lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "no_item_list", f"{path} cannot be read ({error}).",
            "Run STEP2, which writes videos_to_track.json, or leave --videos out to take every video of the work directory.",
        ) from None  # fmt: skip
    try:
        value = json.loads(text)
    except ValueError:
        return list(items_from_lines(text.splitlines(), kind))
    listed = value.get("videos", [value]) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise UsageError("no_item_list", f"{path} holds no list.", "Give a JSON array of paths.")
    return [item_from(entry, kind) for entry in listed]


def items_from_input(kind: str) -> Iterator[Item]:
    """Yield items from standard input as they arrive, until it ends."""
    # iter(readline): a `for` over the stream would wait for a full buffer before it gives the first line.
    return items_from_lines(iter(sys.stdin.readline, ""), kind)


def originals_of(project: Project) -> list[Item]:
    """Return a project's delivered videos."""
    return [Item("original", path, project.path) for path in project.originals()]


def videos_of(project: Project) -> list[Item]:
    """Return a project's proxies."""
    return [Item("video", video.proxy, project.path) for video in project.videos()]


def project_itself(project: Project) -> list[Item]:
    """Return the project as the item."""
    return [Item("project", project.path, project.path)]
