"""Which original frame a proxy frame shows, and back: exact, compact, pure.

The rule `at_middle`: proxy frame n stands for the original's time from n/rate s to (n+1)/rate s after its first frame, and
shows the original frame that is on the screen just before the middle of that time, (n+½)/rate s; a frame that begins
exactly there belongs to the next proxy frame. It follows that an original frame at time t is shown from proxy frame
floor(rate·t + ½) on, until the next one is: this is what ffmpeg's filter `fps=rate:round=near:start_time=0` does
(libavfilter/vf_fps.c: each time stamp is rescaled to output frames with AV_ROUND_NEAR_INF, the last frame due wins).

`rate` is 25 where the duration stays: no frame is shown earlier or later than half a proxy frame. It is the original's
own, 24 or 24000/1001, where a film is sped up to 25: then each of its frames is one proxy frame.

Stored, the original's presentation time stamps (PTS, in units of `time_base`) are runs [count, first_pts, num, den]:
frame k of a run is at first_pts + floor(k·num/den + ½). A constant rate is one run, also where a container rounds its
time stamps (23.976 fps in milliseconds); a variable rate takes as many as it has changes of pace.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Any

from workflow_scripts.stepkit.timebase import PROXY_RATE

RULE = "at_middle"

Run = tuple[int, int, int, int]


@dataclass(frozen=True)
class FrameMap:
    """The map of one video.

    `pts` are the original's frames in order, `zero` is the PTS at which proxy frame 0 begins, `rate` is how many proxy
    frames a second of the original becomes.
    """

    time_base: Fraction
    zero: int
    pts: Sequence[int]
    proxy_frames: int
    rate: Fraction = PROXY_RATE

    @cached_property
    def due(self) -> list[int]:
        """The proxy frame from which each original frame is shown."""
        scale = self.rate * self.time_base
        double, under = 2 * scale.numerator, 2 * scale.denominator
        return [(double * (pts - self.zero) + scale.denominator) // under for pts in self.pts]

    def original_index(self, proxy_frame: int) -> int:
        """Return the index of the original frame that a proxy frame shows; before the first one, the first."""
        if not 0 <= proxy_frame < self.proxy_frames:
            raise IndexError(f"proxy frame {proxy_frame} of {self.proxy_frames}")
        return max(0, bisect_right(self.due, proxy_frame) - 1)

    def original_pts(self, proxy_frame: int) -> int:
        """Return the PTS of the original frame that a proxy frame shows."""
        return self.pts[self.original_index(proxy_frame)]

    def proxy_range(self, original_index: int) -> range:
        """Return the proxy frames that show an original frame: empty when it was dropped, several when it is repeated."""
        last = original_index == len(self.pts) - 1
        start = 0 if original_index == 0 else min(self.due[original_index], self.proxy_frames)
        stop = self.proxy_frames if last else self.due[original_index + 1]
        return range(start, max(start, min(stop, self.proxy_frames)))

    def proxy_frame_at(self, pts: int) -> int:
        """Return the proxy frame in whose time an original's PTS lies; a time outside gives the nearest end."""
        frame = floor((pts - self.zero) * self.time_base * self.rate)
        return min(max(frame, 0), self.proxy_frames - 1)

    def to_json(self) -> dict[str, Any]:
        """Return the map as it stands in `<stem>_source.json`."""
        return {
            "rule": RULE,
            "rate": f"{self.rate.numerator}/{self.rate.denominator}",
            "proxy_frames": self.proxy_frames,
            "time_base": f"{self.time_base.numerator}/{self.time_base.denominator}",
            "zero_pts": self.zero,
            "original_frames": len(self.pts),
            "runs": [list(run) for run in to_runs(self.pts)],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FrameMap:
        """Read a map. Raises ValueError for a rule that is not known here."""
        if value["rule"] != RULE:
            raise ValueError(f"unknown frame map rule {value['rule']!r}")
        runs = [(int(count), int(first), int(num), int(den)) for count, first, num, den in value["runs"]]
        return cls(
            Fraction(value["time_base"]), int(value["zero_pts"]), list(from_runs(runs)), int(value["proxy_frames"]),
            Fraction(value["rate"]),
        )  # fmt: skip


def proxy_frame_count(first_pts: int, end_pts: int, time_base: Fraction, rate: Fraction = PROXY_RATE) -> int:
    """Return how many proxy frames keep the duration from `first_pts` to `end_pts`: rounded half up, at least 1."""
    return max(1, floor((end_pts - first_pts) * time_base * rate + Fraction(1, 2)))


def from_runs(runs: Sequence[Run]) -> Iterator[int]:
    """Yield the PTS that runs stand for."""
    for count, first, num, den in runs:
        yield from (first + (2 * k * num + den) // (2 * den) for k in range(count))


def to_runs(pts: Sequence[int]) -> list[Run]:
    """Write ascending PTS as runs, each as long as one step can make it."""
    runs: list[Run] = []
    start = 0
    while start < len(pts):
        count, step = _longest_run(pts, start)
        runs.append((count, pts[start], step.numerator, step.denominator))
        start += count
    return runs


def _longest_run(pts: Sequence[int], start: int) -> tuple[int, Fraction]:
    """Return the length of the run that begins at `start`, and the simplest step that makes all of it.

    Frame k lies at first + d exactly when (d - ½)/k <= step < (d + ½)/k: the run goes on while all these intervals meet.
    """
    low, high = (0, 1), (0, 1)
    count = 1
    for k in range(1, len(pts) - start):
        moved = 2 * (pts[start + k] - pts[start])
        lower, upper = (moved - 1, 2 * k), (moved + 1, 2 * k)
        new_low = lower if k == 1 or _less(low, lower) else low
        new_high = upper if k == 1 or _less(upper, high) else high
        if not _less(new_low, new_high):
            break
        low, high, count = new_low, new_high, k + 1
    if count == 1:
        return 1, Fraction(0)
    inner, edge = simplest_between(Fraction(*low), Fraction(*high)), Fraction(*low)
    return count, edge if edge.denominator < inner.denominator else inner


def _less(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Compare two fractions with positive denominators; faster by far than Fraction, and this runs once a frame."""
    return one[0] * other[1] < other[0] * one[1]


def simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """Return the fraction with the smallest denominator strictly between two (Stern-Brocot, by continued fractions)."""
    whole = floor(low)
    if whole + 1 < high:
        return Fraction(whole + 1)
    if low == whole:
        return whole + Fraction(1, floor(1 / (high - whole)) + 1)
    return whole + 1 / simplest_between(1 / (high - whole), 1 / (low - whole))
