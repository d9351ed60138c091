"""From a proxy back to its original: which frame, at which time, under which timecode; and the other way.

What STEP2 wrote to `<stem>_source.json`, read for whoever relinks cuts to the original.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.frame_map import FrameMap
from workflow_scripts.stepkit.timecode import Timecode, nominal_rate

_LATE = Fraction(1, 8)
"""Of a timecode's frame: what a container's rounding (half a millisecond) may bring a frame before its time."""


@dataclass(frozen=True)
class Original:
    """An original and the way to it. `rate` is exact where it is constant, else the average.

    `start` is the timecode of the first frame, `timecode_rate` the frames a second it counts; both None without one.
    """

    name: str
    rate: Fraction
    variable_rate: bool
    frame_map: FrameMap
    start: Timecode | None
    timecode_rate: Fraction | None

    def seconds(self, proxy_frame: int) -> Fraction:
        """Return when the original frame that a proxy frame shows begins, in seconds after the first one."""
        return self._elapsed(self.frame_map.original_pts(proxy_frame))

    def timecode(self, proxy_frame: int) -> Timecode | None:
        """Return the timecode of the original frame that a proxy frame shows; None where the original has none.

        It is counted by time, so that lost frames and a variable rate do not move what comes after them.
        """
        if self.start is None or self.timecode_rate is None:
            return None
        return self.start + floor(self.seconds(proxy_frame) * self.timecode_rate + _LATE)

    def proxy_range(self, timecode: Timecode) -> range:
        """Return the proxy frames that show the original's frames under a timecode: empty where there is none."""
        if self.start is None or self.timecode_rate is None:
            return range(0)
        count = timecode.frames_since(self.start)
        first, stop = self._first_from(count), self._first_from(count + 1)
        ranges = [self.frame_map.proxy_range(index) for index in range(first, stop)]
        return range(ranges[0].start, ranges[-1].stop) if ranges else range(0)

    def _elapsed(self, pts: int) -> Fraction:
        return (pts - self.frame_map.zero) * self.frame_map.time_base

    def _first_from(self, count: int) -> int:
        """Return the index of the first original frame whose timecode lies `count` frames or more after the first's."""
        assert self.timecode_rate is not None
        units = (count - _LATE) / (self.timecode_rate * self.frame_map.time_base)
        return bisect_left(self.frame_map.pts, ceil(self.frame_map.zero + units))


def read_original(path: Path) -> Original:
    """Read `<stem>_source.json`. Raises ItemError when STEP2 has not finished with the video, or the file is damaged."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        original, video = known["original"], known["original"]["video"]
        rate = Fraction(original["timecode_rate"]) if original["timecode_rate"] else None
        text = original["start_timecode"]
        return Original(
            str(original["name"]), Fraction(video["rate"]), bool(video["variable_rate"]),
            FrameMap.from_json(known["frame_map"]), Timecode.parse(text, nominal_rate(rate)) if rate else None, rate,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ItemError(
            "no_source_facts", f"{path.name} is missing or damaged ({error!r}).", "Run STEP2 on this project first."
        ) from error
