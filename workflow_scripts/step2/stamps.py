"""Questions to a list of presentation time stamps (PTS)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def has_step(pts: Sequence[int], step: Fraction) -> bool:
    """Tell whether ascending PTS are one run of this step, give or take one unit of the time base for rounding."""
    first, num, den = pts[0] if pts else 0, step.numerator, step.denominator
    return all(-den <= (stamp - first) * den - k * num <= den for k, stamp in enumerate(pts))


def missing_from(expected: Sequence[int], found: Sequence[int]) -> int:
    """Count the expected PTS that are not among those found."""
    return len(set(expected).difference(found))
