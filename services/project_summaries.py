"""How far each project is: how many of its videos each step has done, from the records that the steps leave."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from services.boards import RECORDS, Board, board
from services.recent import Recent

_LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class ProjectSummary:
    """A project, how many videos it has, and for each step how many of them it has done and failed on."""

    name: str
    path: Path
    videos: int
    done: dict[str, int]
    failed: dict[str, int]
    changed: float

    @property
    def changed_at(self) -> str:
        """When a record changed last: UTC, ISO 8601 with offset."""
        return datetime.fromtimestamp(self.changed, timezone.utc).isoformat(timespec="seconds")


class ProjectSummaries:
    """Looks at the projects, and reads a project's records again only where they changed."""

    def __init__(self, projects_dir: Path) -> None:
        self._projects_dir = projects_dir
        self._known: dict[Path, ProjectSummary] = {}
        self._recent = Recent[Path, list[ProjectSummary]](_LOOK_SECONDS)

    def all(self) -> list[ProjectSummary]:
        """Return every project, the one that changed last first; any thread may ask, at any rate."""
        return self._recent.get(self._projects_dir, self._look)

    def _look(self) -> list[ProjectSummary]:
        if not self._projects_dir.is_dir():
            return []
        found = {}
        for path in self._projects_dir.iterdir():
            if path.name.startswith("."):
                continue
            try:
                changed = (path / RECORDS).stat().st_mtime  # a record is renamed into place, which changes its folder
            except OSError:
                continue
            known = self._known.get(path)
            found[path] = known if known and known.changed == changed else _summary(board(path), changed)
        self._known = found
        return sorted(found.values(), key=lambda each: each.changed, reverse=True)


def _summary(known: Board, changed: float) -> ProjectSummary:
    done = Counter(step for row in known.rows for step in row.steps)
    failed = Counter(step for row in known.rows for step in row.failures)
    return ProjectSummary(known.project, known.path, len(known.rows), dict(done), dict(failed), changed)
