"""What is done on each video of each project, read from the records that the steps leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDS = ".derush"


@dataclass(frozen=True)
class Row:
    """One video: its name, for each step that is done when it ended and what it left, for each that failed why."""

    video: str
    steps: Mapping[str, Mapping[str, Any]]
    failures: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Board:
    """One project and its videos."""

    project: str
    path: Path
    rows: list[Row]


def board(project: Path) -> Board:
    """Return what the records of a project say."""
    return Board(project.name, project, _rows(project / RECORDS))


def _rows(records: Path) -> list[Row]:
    rows = (_row(path) for path in sorted(records.glob("*.json")))
    return [row for row in rows if row.steps or row.failures]


def _row(path: Path) -> Row:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Row(path.stem, dict(known["steps"]), dict(known.get("failures", {})))
    except (OSError, ValueError, KeyError, TypeError):
        return Row(path.stem, {}, {})
