"""Whether the two analyses of a video speak of the same frames: the `temporal_alignment` block."""

from __future__ import annotations

from itertools import combinations
from typing import Any

FRAME_TOLERANCE = 0.05
"""Part of the longer one by which two counts of frames may differ, as in the older reducer."""
RATE_TOLERANCE = 0.5
"""Frames a second by which two rates may differ."""


def temporal_alignment(
    *, audio_frames: int, audio_fps: float, tracking_frames: int, tracking_fps: float, proxy_frames: int
) -> dict[str, Any]:
    """Compare the counts of frames (of audio, tracking and proxy) and the rates (frames a second)."""
    counts = {"audio": audio_frames, "tracking": tracking_frames, "proxy": proxy_frames}
    warnings = [
        f"{one} has {counts[one]} frames and {other} {counts[other]}: more than 5 % apart"
        for one, other in combinations(counts, 2)
        if abs(counts[one] - counts[other]) > FRAME_TOLERANCE * max(counts[one], counts[other])
    ]
    if abs(audio_fps - tracking_fps) > RATE_TOLERANCE:
        warnings.append(f"audio has {audio_fps:g} frames a second and tracking {tracking_fps:g}: more than 0.5 apart")
    return {
        "audio_total_frames": audio_frames,
        "tracking_total_frames": tracking_frames,
        "audio_fps": float(audio_fps),
        "tracking_fps": float(tracking_fps),
        "proxy_frames": proxy_frames,
        "aligned": not warnings,
        "warnings": warnings,
    }
