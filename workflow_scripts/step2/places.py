"""Where an original stands, and where it goes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.files import flush_to_disk
from workflow_scripts.stepkit.items import Item
from workflow_scripts.stepkit.projects import Project


def with_project(item: Item, work_dir: Path) -> Item:
    """Return the item with its project: the folder right below the work directory that holds it.

    Raises nothing: an item from elsewhere comes back as it is, and fails by name when it is worked on.
    """
    if item.project is not None or not item.path.is_relative_to(work_dir) or item.path.parent == work_dir:
        return item
    return replace(item, project=work_dir / item.path.relative_to(work_dir).parts[0])


def owner(item: Item) -> Project:
    """Return the project of an item. Raises ItemError when it has none."""
    if item.project is None or not item.path.is_relative_to(item.project):
        raise ItemError("not_in_a_project", f"{item.path} lies in no project.", "Give the file or its folder to STEP1 first.")  # fmt: skip
    return Project(item.project)


def present(original: Path, project: Project) -> Path:
    """Return where an original stands now: as delivered, or in `sources/` when an earlier run moved it there."""
    if original.exists():
        return original
    moved = in_sources(original, project)
    if moved.exists():
        return moved
    raise ItemError(
        "file_not_found", f"{original} is not there any more.", "Put it back, or run STEP1 again with --force."
    )


def in_sources(original: Path, project: Project) -> Path:
    """Return an original's place once its proxy is verified."""
    return project.sources / project.delivered_name(original)


def delivered_sha256(original: Path, project: Project) -> str | None:
    """Return an original's sha256 as STEP1 took it while it wrote the file; None for one that is not as it was then.

    So a file of many gigabytes is not read once more for it.
    """
    status = original.stat()
    try:
        record = project.archive_record
        known = _members(record, record.stat().st_mtime_ns).get(project.delivered_name(original).as_posix())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # no record, or none of STEP1's making
        return None
    return known[2] if known and known[:2] == (status.st_size, status.st_mtime_ns) else None


@lru_cache(maxsize=1)
def _members(record: Path, _changed: int) -> dict[str, tuple[int, int, str]]:
    """Return size, modification time and sha256 of each file that a project was delivered with, by path."""
    members = json.loads(record.read_text(encoding="utf-8"))["members"]
    return {each["path"]: (each["bytes"], each.get("mtime_ns"), each["sha256"]) for each in members}


def move_to_sources(original: Path, project: Project) -> Path:
    """Move an original to its last place, by one rename: its content is never touched."""
    place = in_sources(original, project)
    if place == original:
        return place
    if place.exists():
        raise ItemError("source_in_the_way", f"{place} is there already.", "Rename one of the two files.")
    place.parent.mkdir(parents=True, exist_ok=True)
    original.rename(place)
    flush_to_disk(place.parent)
    return place
