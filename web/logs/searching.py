"""A search as an answer that grows: a line of JSON for each hit, and now and then how far it came."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flask_babel import gettext as _
from flask_babel import ngettext

from services.log_file import LogFile
from services.log_lines import LEVELS, matters
from services.log_search import Hit, Words, search
from web.logs.lines import hit_to_html
from web.presentation import percent

MOST_HITS = 500
MOST_SECONDS = 60.0
_SAY_SECONDS = 0.2


class Wanted(NamedTuple):
    """What to look for, from which line on (that one left out), in which direction, at which level, and when to stop."""

    words: Words
    start: int
    backwards: bool
    least: str
    most: int = MOST_HITS
    seconds: float = MOST_SECONDS


def answer(path: Path, wanted: Wanted) -> Iterator[bytes]:
    """Yield lines of JSON: `{"b": offset, "html": …}` for a hit, `{"said": …}` in between, `{"said": …, "next": …}` last.

    `next` is where a search for further hits begins; null when there is nothing left to look through.
    """
    count, place, told = 0, wanted.start, time.monotonic()
    with LogFile(path) as log:
        for found in bounded(log, wanted):
            if isinstance(found, Hit):
                count, place = count + 1, found.line
                yield _line({"b": found.line, "html": hit_to_html(found)})
            else:
                place = found
            if time.monotonic() - told > _SAY_SECONDS:
                told = time.monotonic()
                yield _line({"said": _("%(count)d found, looking at %(part)s…", count=count, part=_part(log, place))})
        following = _next_start(log, wanted, place)
    yield _line({"said": ngettext("%(num)d line found", "%(num)d lines found", count), "next": following})


def bounded(log: LogFile, wanted: Wanted) -> Iterator[Hit | int]:
    """Yield hits, and offsets in between, as `search` does, until there are enough or it took too long."""
    began, count = time.monotonic(), 0
    for found in search(log, wanted.words, wanted.start, backwards=wanted.backwards):
        if isinstance(found, Hit):
            if (found.line == wanted.start and not wanted.backwards) or not _is_shown(log, found, wanted.least):
                continue
            count += 1
        yield found
        if count == wanted.most or time.monotonic() - began > wanted.seconds:
            return


def gathered(log: LogFile, wanted: Wanted) -> tuple[list[Hit], int | None]:
    """Return the hits, and where a search for further ones begins; None when there is nothing left to look through."""
    place, hits = wanted.start, []
    for found in bounded(log, wanted):
        place = found.line if isinstance(found, Hit) else found
        if isinstance(found, Hit):
            hits.append(found)
    return hits, _next_start(log, wanted, place)


def _next_start(log: LogFile, wanted: Wanted, place: int) -> int | None:
    """Return where the search goes on that came to `place`; None when it has seen everything."""
    is_over = place <= 0 if wanted.backwards else place >= log.size
    return None if is_over else place


def _is_shown(log: LogFile, hit: Hit, least: str) -> bool:
    return least == LEVELS[0] or matters(log.level_at(hit.line), least)


def _part(log: LogFile, place: int) -> str:
    return percent(place / max(1, log.size))


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"
