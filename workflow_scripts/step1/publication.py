"""The last move of an extraction: a finished folder becomes a project, in one rename."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.step1.names import free_name
from workflow_scripts.stepkit.files import flush_to_disk, write_json
from workflow_scripts.stepkit.projects import Project


def publish(folder: Path, record: Mapping[str, Any], work_dir: Path, wanted: str) -> Project:
    """Put the record into a finished folder and the folder into the work directory under a name that is free.

    `folder` is on the work directory's file system. The caller holds the registry's lock.
    """
    write_json(Project(folder).archive_record, record)
    project = Project(work_dir / free_name(wanted, [path.name for path in work_dir.iterdir()]))
    folder.rename(project.path)
    flush_to_disk(work_dir)
    return project


def restore(folder: Path, members: Iterable[Mapping[str, Any]], project: Project) -> int:
    """Put back those files of an archive that its project misses; nothing that is there is touched. Returns how many."""
    missing = [member["path"] for member in members if not _is_there(project, member["path"])]
    for path in missing:
        (project.path / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).rename(project.path / path)
    return len(missing)


def _is_there(project: Project, path: str) -> bool:
    return (project.path / path).exists() or (project.sources / path).exists()
