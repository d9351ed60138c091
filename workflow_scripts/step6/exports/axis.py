"""From the proxy, where everything was found, to the medium that a timeline is cut from.

A position of an original is counted by time, as players and editors address a file: where its rate is constant,
position n is its frame n. A variable rate is laid on the nearest rate that editors know, or on the next higher one in
which every frame that a shot begins with has a position of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain

from workflow_scripts.step6.exports.timeline import Grid
from workflow_scripts.stepkit.original import Original
from workflow_scripts.stepkit.timebase import PROXY_RATE
from workflow_scripts.stepkit.timecode import Timecode, nominal_rate

_EARLY = Fraction(1, 8)
"""Of a position: what a container's rounding (half a millisecond) may bring a frame behind its time."""
_NTSC = Fraction(1000, 1001)
_USUAL = tuple(sorted((*map(Fraction, (24, 25, 30, 50, 60)), *(n * _NTSC for n in (24, 30, 60)))))
_FINER = tuple(map(Fraction, (25, 30, 50, 60, 120)))
_HIGHEST_RATE = 960


@dataclass(frozen=True)
class Axis:
    """The way to a medium. `is_exact`: every frame that was asked about has a position of its own."""

    grid: Grid
    positions: tuple[int, ...]
    end: int
    pace: Fraction
    is_exact: bool = True

    def position(self, proxy_frame: int) -> int:
        """Return where what a proxy frame shows begins; the end for the frame after the last."""
        return self.positions[proxy_frame] if proxy_frame < len(self.positions) else self.end

    def beginning(self, proxy_frame: int) -> int:
        """Return where a shot begins: at 60 fps the proxy's first frame shows the original's second, and the first is its too."""
        return self.position(proxy_frame) if proxy_frame else 0

    def milliseconds(self, proxy_milliseconds: int) -> int:
        """Return a time of the proxy as one of the medium: another only where a film was sped up."""
        return round(proxy_milliseconds * self.pace)

    def at(self, proxy_milliseconds: int) -> int:
        """Return the position at a time of the proxy, at most the end."""
        return min(self.end, int(proxy_milliseconds * self.pace * self.grid.rate / 1000))


def proxy_axis(frames: int) -> Axis:
    """Return the axis of the proxy itself: 25 fps from 00:00:00:00."""
    return Axis(Grid(PROXY_RATE, Timecode(0, 25)), tuple(range(frames)), frames, Fraction(1))


def original_axis(original: Original, asked: Iterable[int], duration: Fraction) -> Axis:
    """Return the axis of an original; the proxy frames `asked` are those that shots begin with.

    `duration` is that of its picture, in seconds: what the last frame of a variable rate is shown for.
    """
    shown = [original.frame_map.original_index(frame) for frame in range(original.frame_map.proxy_frames)]
    wanted = sorted({shown[frame] for frame in asked if frame < len(shown)})
    nearest = _Laid(original, _rate_for(original))
    finer = (_Laid(original, rate) for rate in _FINER if rate > nearest.rate and original.variable_rate)
    laid = next((each for each in chain([nearest], finer) if each.names_each(wanted)), nearest)
    places = laid.places
    end = max(places[-1] + 1, round(duration * laid.rate) if original.variable_rate else 0)
    pace = PROXY_RATE / original.frame_map.rate
    grid = Grid(laid.rate, _start(original, laid.rate))
    return Axis(grid, tuple(places[index] for index in shown), end, pace, laid.names_each(wanted))


@dataclass(frozen=True)
class _Laid:
    """An original's frames on a rate."""

    original: Original
    rate: Fraction

    @cached_property
    def places(self) -> Sequence[int]:
        """The first position at which each frame is on the screen."""
        mapped = self.original.frame_map
        step = self.rate * mapped.time_base
        # In whole numbers, since this runs once a frame: the ceiling of (pts - zero) * step - _EARLY.
        over, under = step.numerator * _EARLY.denominator, step.denominator * _EARLY.denominator
        early = _EARLY.numerator * step.denominator
        return [max(0, -((early - (pts - mapped.zero) * over) // under)) for pts in mapped.pts]

    def names_each(self, wanted: Iterable[int]) -> bool:
        """Tell whether at its position each of the wanted frames is what is on the screen."""
        return all(bisect_right(self.places, self.places[index]) - 1 == index for index in wanted)


def _rate_for(original: Original) -> Fraction:
    """Return an original's rate where editors can count in it, else a multiple of it, else the nearest that they know."""
    rate, nominal = original.rate, nominal_rate(original.rate)
    if not original.variable_rate:
        if rate in (nominal, nominal * _NTSC) and nominal <= _HIGHEST_RATE:
            return rate
        if multiples := [usual for usual in _USUAL if (usual / rate).denominator == 1]:
            return multiples[0]
    return min(_USUAL, key=lambda usual: abs(usual - rate))


def _start(original: Original, rate: Fraction) -> Timecode:
    """Return the original's start timecode as one that counts in `rate`; 00:00:00:00 where it has none."""
    nominal = nominal_rate(rate)
    if original.start is None:
        return Timecode(0, nominal)
    counted, text = original.start, str(original.start)
    frames = int(text[9:]) * nominal // counted.nominal
    is_drop = counted.drop_frame and rate in (30 * _NTSC, 60 * _NTSC)
    return Timecode.parse(f"{text[:8]}{';' if is_drop else ':'}{frames:02d}", nominal)
