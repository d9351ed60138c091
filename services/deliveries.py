"""What became of a project: its records, where it was delivered, and the archives that were made of its videos."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from config.contract import Exit
from config.settings import Settings
from services.boards import RECORDS, Board, board
from services.errors import ServiceError
from services.recorded import is_below, read_document
from services.results_archiver import METADATA

_DELIVERY = f"{RECORDS}/delivery.json"


@dataclass(frozen=True)
class Incomplete:
    """A video of a delivery that lacks something, or is not in it at all for that; `missing` names files and their steps."""

    video: str
    is_delivered: bool
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Delivery:
    """A project's copy below OUTPUT_DIR: the paths of its files relative to `folder`, and when it was written last."""

    folder: Path
    files: tuple[str, ...]
    changed_at: str
    incomplete: tuple[Incomplete, ...] = ()


@dataclass(frozen=True)
class ArchivedVideo:
    """An archive of one video: its folder, whose files it names, and when it was made."""

    folder: Path
    stem: str
    created_at: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """A project, which may be gone from the work directory once it was delivered: then `board` is empty."""

    name: str
    board: Board
    deliveries: tuple[Delivery, ...]
    archives: tuple[ArchivedVideo, ...]


def project(name: str, settings: Settings) -> Project:
    """Return what there is of a project. Raises ServiceError no_such_project."""
    is_a_name = name not in {"", ".", "..", RECORDS} and not {"/", "\0"} & set(name) and len(os.fsencode(name)) < 256
    if not is_a_name:
        raise _missing(name)
    folders = [settings.output_dir, *([settings.fallback_output_dir] if settings.fallback_output_dir else [])]
    deliveries = tuple(found for folder in folders if (found := _delivery(folder / name)))
    known = Project(name, board(settings.projects_dir / name), deliveries, _archives(settings.archives_dir, name))
    if not (settings.projects_dir / name).is_dir() and not known.deliveries and not known.archives:
        raise _missing(name)
    return known


def _missing(name: str) -> ServiceError:
    shown = name.encode("unicode_escape").decode()[:200]
    return ServiceError("no_such_project", f"There is no project {shown}.", "Home lists those there are.", Exit.USAGE)


def _delivery(folder: Path) -> Delivery | None:
    try:
        changed = (folder / _DELIVERY).stat().st_mtime
        known = read_document(folder, _DELIVERY)
        names = tuple(sorted(made["name"] for made in known["files"].values() if is_below(made["name"])))
        incomplete = tuple(
            Incomplete(str(mark["video"]), mark["delivered"] is True, tuple(map(str, mark["missing"])))
            for mark in known.get("incomplete", [])
        )
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    written = datetime.fromtimestamp(changed, timezone.utc).isoformat(timespec="seconds")
    return Delivery(folder, names, written, incomplete)


def _archives(root: Path, name: str) -> tuple[ArchivedVideo, ...]:
    """Return the archives of a project, the newest first: their folder's name begins with the project's."""
    paths = root.glob(f"{glob.escape(name[:200])}*/*/{METADATA}")
    found = [archive for path in paths if (archive := _archive(path.parent, name))]
    return tuple(sorted(found, key=lambda archive: (archive.created_at, archive.stem), reverse=True))


def _archive(folder: Path, name: str) -> ArchivedVideo | None:
    try:
        known: dict[str, Any] = read_document(folder, METADATA)
        if known.get("project") != name:
            return None
        files = tuple(str(made["name"]) for made in known["artefacts"])
        return ArchivedVideo(folder, str(known["video_stem"]), str(known["created_at"]), files)
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None
