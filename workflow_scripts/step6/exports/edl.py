"""CMX 3600 edit decision lists. The timeline counts in the medium's own timecode: record times are source times.

An event has a number of three digits there. A longer list goes on with four, in one file, as OpenTimelineIO reads it; whoever
exports one is told, since some programs stop at 999.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from workflow_scripts.step6.exports.timeline import Export, Span

MOST_EVENTS = 999
"""What the three digits of an event's number can say."""
_COLOURS = {"speaker": "CYAN", "person": "GREEN", "shot": "WHITE"}


def edl(export: Export) -> Iterator[str]:
    """Yield the list: an event for each shot, with the medium's full name and the markers inside it as comments."""
    grid, channels = export.grid, _channels(export.medium.audio_channels)
    yield f"TITLE: {export.name}\n"
    yield f"FCM: {'DROP FRAME' if grid.start.drop_frame else 'NON-DROP FRAME'}\n"
    reel = reel_name(export.name)
    for number, (shot, inside) in enumerate(zip(export.shots, export.inside, strict=True), 1):
        times = " ".join(str(grid.timecode(position)) for position in (shot.start, shot.end) * 2)
        yield f"\n{number:03d}  {reel:<8} {channels:<5} C        {times}\n"
        yield f"* FROM CLIP NAME: {export.medium.name}\n"
        yield f"* SOURCE FILE: {export.medium.path}\n"
        yield f"* COMMENT: {shot.name}{': ' + shot.note if shot.note else ''}\n"
        for marker in inside:
            yield _locator(export, marker)


def _locator(export: Export, marker: Span) -> str:
    colour, length = _COLOURS[marker.kind], marker.end - marker.start
    return f"* LOC: {export.grid.timecode(marker.start)} {colour:<7} {marker.kind} {marker.name} ({length} frames)\n"


def _channels(audio: int) -> str:
    return {0: "V", 1: "B"}.get(audio, "AA/V")


def reel_name(name: str) -> str:
    """Return a reel name of at most eight characters out of A to Z, 0 to 9 and _; AX, an unknown one, where none is left."""
    letters = unicodedata.normalize("NFKD", name).upper()
    kept = "".join(sign if sign.isascii() and sign.isalnum() else "_" if sign in " -_." else "" for sign in letters)
    return kept.strip("_")[:8].rstrip("_") or "AX"
