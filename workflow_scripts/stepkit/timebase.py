"""Time on the 25 fps proxy: frames, exact seconds, timecodes.

Frame `n` (0-based) is shown from `n / 25` s on. Intervals are half-open. Times are `Fraction`, never float.
"""

from __future__ import annotations

from fractions import Fraction

PROXY_RATE = Fraction(25)


def frame_time(frame: int, rate: Fraction = PROXY_RATE) -> Fraction:
    """Return the exact second at which 0-based `frame` begins."""
    return frame / rate


def clock(seconds: Fraction) -> str:
    """Write a time as `HH:MM:SS.mmm`, rounded to the nearest millisecond; hours may pass 99."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
