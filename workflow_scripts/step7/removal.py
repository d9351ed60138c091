"""Taking a delivered project's working copy away: noted first, out of sight in one rename, then removed."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.stepkit.events import now
from workflow_scripts.stepkit.files import flush_to_disk, write_json
from workflow_scripts.stepkit.projects import INTERNAL, Project

SCHEMA = "derush.finalized/1"


def remove_working_copy(
    project: Project, delivered_to: Path, archives: Sequence[Path], incomplete: Sequence[Mapping[str, Any]]
) -> None:
    """Remove a project whose every file is delivered and verified.

    `<work dir>/.derush/finalized/<sha256 of the archive>.json` is written first, so that STEP1 knows that this archive
    is done; a project that came from no archive needs none.
    """
    work_dir = project.path.parent
    _note(project, work_dir, delivered_to, archives, incomplete)
    hidden = _removed(work_dir) / secrets.token_hex(8)
    hidden.parent.mkdir(parents=True, exist_ok=True)
    project.path.rename(hidden)
    flush_to_disk(work_dir)
    shutil.rmtree(hidden)


def sweep(work_dir: Path) -> None:
    """Remove what is left of working copies whose removal was interrupted."""
    for hidden in _removed(work_dir).glob("*"):
        shutil.rmtree(hidden, ignore_errors=True)


def _removed(work_dir: Path) -> Path:
    return work_dir / INTERNAL / "removed"


def _note(
    project: Project,
    work_dir: Path,
    delivered_to: Path,
    archives: Sequence[Path],
    incomplete: Sequence[Mapping[str, Any]],
) -> None:
    if not project.archive_record.is_file():
        return
    archive = json.loads(project.archive_record.read_text(encoding="utf-8"))["archive"]
    path = work_dir / INTERNAL / "finalized" / f"{archive['sha256']}.json"
    write_json(
        path,
        {
            "schema": SCHEMA,
            "project": project.name,
            "archive": archive,
            "delivered_to": str(delivered_to),
            "archives": [str(folder) for folder in archives],
            "incomplete": list(incomplete),
            "finalized_at": now(),
        },
    )
