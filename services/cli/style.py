"""How steps, outcomes, items and numbers look on a terminal. Light: every command imports it."""

from __future__ import annotations

import re
from itertools import cycle
from pathlib import Path

from config.catalog import steps

_PALETTE = ("cyan", "blue", "magenta", "yellow", "green", "bright_cyan", "bright_magenta")
COLOURS = dict(zip(steps(), cycle(_PALETTE), strict=False))
OUTCOME_COLOURS = {
    "done": "green", "up_to_date": "dim", "failed": "red", "skipped": "yellow", "cancelled": "yellow", "accepted": "cyan",
    "interrupted": "yellow",
}  # fmt: skip


def colour_of(label: str) -> str:
    """Return the colour of a step; commands and checks have none of their own."""
    return COLOURS.get(label, "white")


def name_of(item: str, project: str | None) -> str:
    """Return where an item is, from its project on: many clips are called a.mp4, on one card each.

    A proxy's folder (`docs`) says nothing and is left out.
    """
    path = Path(item)
    if project in (None, item) or not path.is_relative_to(project):
        return path.name
    below = path.relative_to(project)
    return str(Path(project).name / (below.relative_to("docs") if below.parts[0] == "docs" else below))


def is_news(code: str, message: str, known: set[tuple[str, str]]) -> bool:
    """Tell whether a warning about a run as a whole was not given yet, and remember it in `known`.

    Figures do not count: of a disk that is nearly full each worker finds a little less free than the one before.
    """
    told = (code, re.sub(r"\d+", "", message))
    is_new = told not in known
    known.add(told)
    return is_new


def amount(count: int, noun: str) -> str:
    """Return how many there are: `1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
