"""How steps, statuses, items, times and numbers look on a terminal. Light: every command imports it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import cycle
from pathlib import Path

from rich.text import Text

from config.catalog import steps

_PALETTE = ("cyan", "blue", "magenta", "yellow", "green", "bright_cyan", "bright_magenta")
COLOURS = dict(zip(steps(), cycle(_PALETTE), strict=False))
OUTCOME_COLOURS = {
    "done": "green", "up_to_date": "dim", "failed": "red", "skipped": "yellow", "cancelled": "yellow", "accepted": "cyan",
    "interrupted": "yellow",
}  # fmt: skip
STATUS_STYLES = {
    "queued": "dim", "running": "bold cyan", "succeeded": "green", "failed": "red", "skipped": "yellow",
    "cancelled": "yellow", "interrupted": "yellow", "accepted": "cyan",
}  # fmt: skip
_HELD_AS = {"paused": "paused", "disk_full": "held"}
"""What a run that goes on is called while it starts nothing new, by the reason."""


def plain(text: str) -> str:
    """Replace what a terminal would take as a command, and what it cannot show: names may come from anywhere."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def short(execution_id: str) -> str:
    """Return as much of an id as tells it from the others: tasks have ids too, and there are many."""
    return execution_id.removeprefix("exec_")[:8]


def state(status: str, hold: str | None) -> Text:
    """Return what a run is at, as a person says it. `hold` is the code of the reason why it starts nothing new."""
    held_as = _HELD_AS.get(hold or "")
    return Text(held_as, "yellow") if held_as else Text(status, STATUS_STYLES[status])


def duration(seconds: float | None) -> str:
    """Return a duration as a person says it."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def local_time(moment: str | None) -> str:
    """Return a recorded time as clocks show it here."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def counted(counts: Mapping[str, int]) -> Text:
    """Return how many there are of each status or outcome."""
    parts = [
        Text(f"{count} {plain(name).replace('_', ' ')}", STATUS_STYLES.get(name, "")) for name, count in counts.items()
    ]
    return Text(", ").join(parts)


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


def after_name(item: str, message: str) -> str:
    """Return what stands after an item's name to say this of it: most messages begin with the name themselves."""
    rest = message.removeprefix(Path(item).name)
    return rest if rest != message and rest[:1] in (" ", ":", ",") else f": {message}"


def amount(count: int, noun: str) -> str:
    """Return how many there are: `1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
