"""Curves of tracks as few keyframes, such that straight lines between them pass every frame within a tolerance.

The swing filter: Elmeleegy, Elmagarmid, Cecchet, Aref, Zwaenepoel, "Online Piece-wise Linear Approximation of Numerical
Streams with Precision Guarantees", VLDB 2009. From the last keyframe on it keeps the slopes of all lines that pass every
value since within the tolerance; when none is left, the next keyframe is set on the best of them (least squares), at the
value before. Each value is looked at once, and what it takes of memory is one line's values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, BinaryIO

import msgspec

Value = float | int | None
LARGEST = 1e6
"""Pixels: no picture is larger, and below it arithmetic is exact enough for what is left of the tolerance."""
CURVES = ("x", "y", "width", "height")
"""Of a track: the middle of its box and its size, in pixels of the proxy."""
_INNER = 1 - 1e-6
"""Part of the tolerance that is used: the rest is for what arithmetic rounds away."""


class Curve:
    """One curve as it comes, a value a frame: `frames` and `values` are those of the keyframes that are decided."""

    def __init__(self, frame: int, value: float, tolerance: float, decimals: int) -> None:
        self._tolerance = tolerance * _INNER
        self._decimals = decimals
        self.frames, self.values = array("q"), array("d")
        rounded = round(float(value), decimals)
        self._begin(frame, rounded if abs(rounded - value) <= self._tolerance else value)
        self.error = abs(self._value - value)
        """The largest distance, so far, between a value and the line."""

    def _begin(self, frame: int, value: float) -> None:
        """Set a keyframe, from which any line may go on."""
        self._frame, self._value = frame, value
        self.frames.append(frame)
        self.values.append(value)
        self._low, self._high = -inf, inf
        self._sum = 0.0
        self._passed = array("d")

    def add(self, value: float) -> None:
        """Take the value of the next frame."""
        ahead = len(self._passed) + 1
        low = max(self._low, (value - self._tolerance - self._value) / ahead)
        high = min(self._high, (value + self._tolerance - self._value) / ahead)
        if low > high:
            self._set_keyframe()
            self.add(value)
            return
        self._low, self._high = low, high
        self._sum += ahead * (value - self._value)
        self._passed.append(value)

    def end(self) -> None:
        """Set the last keyframe."""
        if self._passed:
            self._set_keyframe()

    def _set_keyframe(self) -> None:
        """End the line at the last value that was taken, and begin the next one there."""
        ahead = len(self._passed)
        squares = ahead * (ahead + 1) * (2 * ahead + 1) / 6
        slope = min(max(self._sum / squares, self._low), self._high)
        exact = self._value + slope * ahead
        rounded = round(exact, self._decimals)
        value = rounded if self._low * ahead <= rounded - self._value <= self._high * ahead else exact
        for number, passed in enumerate(self._passed, 1):
            self.error = max(self.error, abs(at(number, self._value, ahead, value) - passed))
        self._begin(self._frame + ahead, value)


def at(frame: int, first: float, frames: int, last: float) -> float:
    """Return the value of a line `frame` frames behind its first value; the last one is `frames` behind it."""
    return first + (last - first) * frame / frames


class _Stretch:
    """A track from one frame on, for as long as it is seen in every frame."""

    def __init__(self, first: int, values: Sequence[Value], tolerance: float, decimals: int) -> None:
        self.first, self.last = first, first
        self.curves = {
            name: Curve(first, value, tolerance, decimals)
            for name, value in zip(CURVES, values, strict=True)
            if value is not None
        }

    def goes_on(self, values: Sequence[Value]) -> bool:
        """Tell whether the same is known of the track as before."""
        return [name in self.curves for name in CURVES] == [value is not None for value in values]

    def add(self, values: Sequence[Value]) -> None:
        self.last += 1
        for name, value in zip(CURVES, values, strict=True):
            if value is not None:
                self.curves[name].add(value)


@dataclass
class Keyframes:
    """The curves of all tracks, frame by frame; those that have ended are spilled to a file.

    `tolerance` is in pixels, `decimals` are those that values have where the tolerance allows it. `cuts` are the frames
    (1-based) that shots begin with: no curve goes on over one, nor over a frame in which its track is not seen.
    """

    tolerance: float
    decimals: int
    spill: BinaryIO
    cuts: frozenset[int] = frozenset()
    _values: int = 0
    _kept: int = 0
    _error: float = 0.0
    _open: dict[int | str, _Stretch] = field(default_factory=dict)

    def add(self, frame: int, objects: Iterable[tuple[int | str, Sequence[Value]]]) -> None:
        """Take a frame's tracks, each with its id and the values of CURVES; None is one that is not known.

        Of several places of one track the first counts. Raises ValueError for a place that is in no picture.
        """
        seen: dict[int | str, Sequence[Value]] = {}
        for track, values in objects:
            if any(value is not None and not abs(value) <= LARGEST for value in values):
                raise ValueError(f"a place of {track} is beyond {LARGEST:g} pixels")
            seen.setdefault(track, values)
        is_cut = frame in self.cuts
        for track, stretch in list(self._open.items()):
            if is_cut or track not in seen or not stretch.goes_on(seen[track]):
                self._close(track)
        for track, values in seen.items():
            if track in self._open:
                self._open[track].add(values)
            else:
                self._open[track] = _Stretch(frame, values, self.tolerance, self.decimals)

    def end(self) -> None:
        """Close what is still open."""
        for track in list(self._open):
            self._close(track)

    def _close(self, track: int | str) -> None:
        stretch = self._open.pop(track)
        told: dict[str, Any] = {"id": track, "first": stretch.first, "last": stretch.last}
        for name, curve in stretch.curves.items():
            curve.end()
            self._values += stretch.last - stretch.first + 1
            self._kept += len(curve.frames)
            self._error = max(self._error, curve.error)
            told[name] = list(zip(curve.frames, curve.values, strict=True))
        self.spill.write(msgspec.json.encode(told) + b"\n")

    def summary(self) -> dict[str, float | int]:
        """Return the tolerance and the largest error (pixels), and how many values became how many keyframes."""
        reduction = round(self._values / self._kept, 2) if self._kept else 1.0
        return {
            "tolerance": self.tolerance, "max_error": self._error, "values": self._values, "keyframes": self._kept,
            "reduction": reduction,
        }  # fmt: skip

    def stretches(self) -> Iterator[dict[str, Any]]:
        """Yield the curves of each stretch, by where it ends."""
        self.spill.seek(0)
        for line in self.spill:
            yield msgspec.json.decode(line)
