"""SMPTE timecodes (ST 12-1): frame numbers of a day as `HH:MM:SS:FF`, drop-frame as `HH:MM:SS;FF`.

A timecode counts whole frames: 24 a second at 23.976 fps, 30 at 29.97. Drop-frame leaves the numbers 0 and 1 (0 to 3 at
59.94 fps) out at the beginning of every minute but each tenth, so that 29.97 fps stays with the clock. No frame is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_FORM = re.compile(r"(\d{1,2})[:;.](\d{1,2})[:;.](\d{1,2})([:;.])(\d{1,3})")
_DROP_RATES = (30, 60)
"""Frames a second that drop-frame is defined for."""


@dataclass(frozen=True)
class Timecode:
    """A frame of a day. `number` counts frames from midnight, `nominal` is the whole number of frames in a second."""

    number: int
    nominal: int
    drop_frame: bool = False

    def __post_init__(self) -> None:
        if self.nominal < 1 or (self.drop_frame and self.nominal not in _DROP_RATES):
            raise ValueError(
                f"no {'drop-frame ' if self.drop_frame else ''}timecode counts {self.nominal} frames a second"
            )

    @classmethod
    def parse(cls, text: str, nominal: int) -> Timecode:
        """Read a timecode; a `;` or `.` before the frames is drop-frame.

        Raises ValueError for what is no timecode at this rate: another form, 30 frames at 25, a number that is left out.
        """
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise ValueError(f"{text!r} is no timecode HH:MM:SS:FF")
        hours, minutes, seconds, frames = (int(form[part]) for part in (1, 2, 3, 5))
        if hours > 23 or minutes > 59 or seconds > 59 or frames >= nominal:
            raise ValueError(f"{text!r} is no timecode at {nominal} frames a second")
        whole_minutes = 60 * hours + minutes
        number = (60 * whole_minutes + seconds) * nominal + frames
        dropped = _dropped_a_minute(nominal) * (whole_minutes - whole_minutes // 10)
        found = cls(number - dropped if form[4] != ":" else number, nominal, form[4] != ":")
        if found.drop_frame and minutes % 10 and seconds == 0 and frames < _dropped_a_minute(nominal):
            raise ValueError(f"drop-frame leaves {text!r} out")
        return found

    def __add__(self, frames: int) -> Timecode:
        """Return the timecode some frames later (or earlier); after midnight it begins anew."""
        return Timecode((self.number + frames) % self.day, self.nominal, self.drop_frame)

    def frames_since(self, start: Timecode) -> int:
        """Return how many frames lie between `start` and this one, at or after it: midnight may lie between them."""
        return (self.number - start.number) % self.day

    @property
    def day(self) -> int:
        """Frames in 24 hours."""
        dropped = _dropped_a_minute(self.nominal) * (1440 - 144) if self.drop_frame else 0
        return 86_400 * self.nominal - dropped

    def __str__(self) -> str:
        label = self.number + (_left_out_before(self.number, self.nominal) if self.drop_frame else 0)
        seconds, frames = divmod(label, self.nominal)
        separator = ";" if self.drop_frame else ":"
        digits = max(2, len(str(self.nominal - 1)))
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{separator}{frames:0{digits}d}"


def nominal_rate(rate: Fraction) -> int:
    """Return how many frames a second a timecode counts at an exact rate: 30 at 30000/1001."""
    return max(1, round(rate))


def _dropped_a_minute(nominal: int) -> int:
    return nominal // 15


def _left_out_before(number: int, nominal: int) -> int:
    """Count the labels that drop-frame has left out up to the frame of this number."""
    dropped = _dropped_a_minute(nominal)
    ten_minutes, minute = 600 * nominal - 9 * dropped, 60 * nominal - dropped
    tens, rest = divmod(number, ten_minutes)
    # The first of ten minutes drops nothing, so it is longer than the others by what they drop.
    return dropped * (9 * tens + max(0, rest - dropped) // minute)
