"""Strict readers of the two timeline formats that have no trustworthy one: edit decision lists and FCPXML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from xml.etree import ElementTree


@dataclass(frozen=True)
class Read:
    """What a timeline says: the medium's first timecode or time in frames, shots as (start, end) after it, markers."""

    rate: Fraction | None
    start: int
    shots: list[tuple[int, int]]
    markers: list[tuple[int, str]]


_EVENT = re.compile(
    r"(\d{3,})  ([A-Z0-9_]{1,8}) {1,8}(V|B|AA/V) {1,5}C {8}(\S{11,12}) (\S{11,12}) (\S{11,12}) (\S{11,12})"
)
_COMMENT = re.compile(r"\* (FROM CLIP NAME|SOURCE FILE|COMMENT): (\S.*)")
_LOCATOR = re.compile(r"\* LOC: (\S{11,12}) ([A-Z]{3,7}) +(\S.*)")


def day_number(label: str, nominal: int, *, is_drop: bool) -> int:
    """The number of a timecode's frame in its day: SMPTE ST 12-1, counted anew here."""
    form = re.fullmatch(rf"(\d\d):(\d\d):(\d\d){';' if is_drop else ':'}(\d\d)", label)
    assert form, label
    hours, minutes, seconds, frames = map(int, form.groups())
    assert hours < 24 and minutes < 60 and seconds < 60 and frames < nominal, label
    left_out = {30: 2, 60: 4}[nominal] if is_drop else 0
    assert not (is_drop and minutes % 10 and seconds == 0 and frames < left_out), f"{label} is left out"
    whole = hours * 60 + minutes
    return (whole * 60 + seconds) * nominal + frames - left_out * (whole - whole // 10)


def read_edl(text: str, rate: Fraction) -> Read:
    """Read a list as CMX 3600 says: nothing but title, counting, events in order, known comments."""
    title, counting, *lines = text.splitlines()
    assert title.startswith("TITLE: ") and counting in ("FCM: DROP FRAME", "FCM: NON-DROP FRAME")
    is_drop, nominal = counting == "FCM: DROP FRAME", round(rate)
    day = 86400 * nominal - ((1440 - 144) * {30: 2, 60: 4}[nominal] if is_drop else 0)
    shots, markers, start = [], [], None
    for line in filter(None, lines):
        if event := _EVENT.fullmatch(line):
            assert int(event[1]) == len(shots) + 1
            source_in, source_out, record_in, record_out = (
                day_number(event[k], nominal, is_drop=is_drop) for k in range(4, 8)
            )
            assert (source_in, source_out) == (record_in, record_out)
            start = source_in if start is None else start
            first = (source_in - start) % day
            shots.append((first, first + (source_out - source_in) % day))
        elif locator := _LOCATOR.fullmatch(line):
            assert start is not None
            markers.append(((day_number(locator[1], nominal, is_drop=is_drop) - start) % day, locator[3]))
        else:
            assert _COMMENT.fullmatch(line), line
    assert start is not None
    return Read(None, start, shots, markers)


def seconds(text: str | None) -> Fraction:
    """A time as FCPXML writes it."""
    assert text and re.fullmatch(r"\d+(/\d+)?s", text), text
    return Fraction(text[:-1])


def whole(value: Fraction) -> int:
    """A number of frames: nothing may lie between two."""
    assert value.denominator == 1, value
    return int(value)


def read_fcpxml(text: str) -> Read:
    """Read a document: one format, one asset, one project whose spine has no gap; every time on a frame."""
    root = ElementTree.fromstring(text)
    assert (root.tag, root.get("version"), [child.tag for child in root]) == ("fcpxml", "1.9", ["resources", "library"])
    form, asset = root[0]
    frame = seconds(form.get("frameDuration"))
    sequence = root.find("library/event/project/sequence")
    assert sequence is not None and asset.get("format") == sequence.get("format") == form.get("id")
    start, at = whole(seconds(asset.get("start")) / frame), seconds(sequence.get("tcStart"))
    assert start == at / frame
    shots, markers = [], []
    for clip in sequence[0]:
        assert clip.tag == "asset-clip" and clip.get("ref") == asset.get("id")
        assert seconds(clip.get("offset")) == at, "a gap in the spine"
        first, length = (whole(seconds(clip.get(key)) / frame) for key in ("start", "duration"))
        at += length * frame
        shots.append((first - start, first - start + length))
        for marker in clip.iter("marker"):
            position = whole(seconds(marker.get("start")) / frame) - start
            assert shots[-1][0] <= position < shots[-1][1], "a marker outside its clip"
            markers.append((position, marker.get("value") or ""))
    assert seconds(sequence.get("duration")) == seconds(asset.get("duration")) == at - start * frame
    return Read(1 / frame, start, shots, markers)
