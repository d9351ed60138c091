"""One video as every format of an export sees it: the medium, its shots, who speaks when, what is seen where.

A position is a frame of the timeline, from 0: the frame that is shown from position / rate seconds after the medium's
first one. Spans are half-open.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from workflow_scripts.step6.exports.tracks import Tracks
from workflow_scripts.stepkit.timecode import Timecode, nominal_rate


@dataclass(frozen=True)
class Grid:
    """What a timeline counts in: frames a second (n, or n * 1000 / 1001), and the timecode of position 0."""

    rate: Fraction
    start: Timecode

    @property
    def nominal(self) -> int:
        """Frames a second as a timecode counts them: 30 at 29.97."""
        return nominal_rate(self.rate)

    @property
    def is_ntsc(self) -> bool:
        """Whether the rate is a thousandth under a whole number: 23.976, 29.97, 59.94."""
        return self.rate != self.nominal

    def timecode(self, position: int) -> Timecode:
        """Return the timecode of a position; after midnight it begins anew."""
        return self.start + position

    def seconds(self, position: int) -> Fraction:
        """Return when a position begins, in seconds after the first."""
        return position / self.rate


@dataclass(frozen=True)
class Medium:
    """The file that a timeline is cut from. `frames` are positions; the size is in its own pixels, upright.

    `url` is as a document beside the export names it: relative to it, or absolute; `path` is the same for a person.
    """

    name: str
    url: str
    path: str
    frames: int
    width: int
    height: int
    audio_channels: int
    audio_rate: int

    @property
    def has_audio(self) -> bool:
        """Whether there is sound in it."""
        return self.audio_channels > 0


@dataclass(frozen=True)
class Span:
    """A named stretch of the timeline; `kind` is shot, speaker or person."""

    kind: str
    name: str
    start: int
    end: int
    note: str = ""


@dataclass(frozen=True)
class Words:
    """What is said, in milliseconds after the medium's first frame. `speaker` is empty where nobody knows; so is `text`."""

    start: int
    end: int
    speaker: str
    text: str = ""


@dataclass(frozen=True)
class Export:
    """One video, ready to be written. Nothing in it is a path of this machine but `medium.path` and `medium.url`.

    `positions` are those of the proxy's frames; `lines` are spoken text, `turns` who speaks when: both may overlap.
    """

    name: str
    grid: Grid
    medium: Medium
    positions: tuple[int, ...]
    shots: tuple[Span, ...]
    markers: tuple[Span, ...]
    turns: tuple[Words, ...]
    lines: tuple[Words, ...]
    tracks: Tracks

    @property
    def spans(self) -> tuple[Span, ...]:
        """Shots and markers, in order."""
        return tuple(sorted((*self.shots, *self.markers), key=lambda span: (span.start, span.end)))

    @cached_property
    def inside(self) -> tuple[tuple[Span, ...], ...]:
        """For each shot the markers that begin in it."""
        starts = [shot.start for shot in self.shots]
        found: list[list[Span]] = [[] for _ in self.shots]
        for marker in self.markers:
            found[max(0, bisect_right(starts, marker.start) - 1)].append(marker)
        return tuple(map(tuple, found))


def plain(text: str) -> str:
    """Return a text as one line that any format can hold: what is no character, or steers a reader, becomes a blank.

    Marks of direction (U+202A to U+202E, U+2066 to U+2069) go too: a name could show as another one.
    """
    kept = (" " if unicodedata.category(sign) in _STEERING or sign in _TURNING else sign for sign in text)
    return " ".join("".join(kept).split())


_STEERING = ("Cc", "Cs", "Cn", "Zl", "Zp")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def media_name(path: Path) -> str:
    """Return a file's name as documents show it."""
    return plain(path.name) or "media"
