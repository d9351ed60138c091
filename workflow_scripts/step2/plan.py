"""How a delivered video becomes its proxy. Pure: facts in, decisions out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from workflow_scripts.step2.frame_map import PROXY_RATE, proxy_frame_count
from workflow_scripts.step2.probe import Probe, VideoFacts

_SAME_TIME = Fraction(1, 100)
"""Seconds by which sound may begin beside its picture in what is not encoded anew: programs that read a proxy's sound
take its first sample for time zero. An mpegts with AAC is beyond it: it does not say that an encoder's first 1024
samples are to be skipped."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""ITU-T H.273 transfer characteristics of high dynamic range."""


@dataclass(frozen=True)
class Plan:
    """`method` is encoded, remuxed or linked; sizes are in pixels of the proxy."""

    method: str
    frames: int
    width: int
    height: int


def plan_for(probe: Probe, *, is_fast_start_mp4: bool) -> Plan:
    """Decide how the proxy is made."""
    frames = proxy_frame_count(probe.pts[0], probe.end_pts, probe.video.time_base)
    if can_stay(probe):
        return Plan("linked" if is_fast_start_mp4 else "remuxed", len(probe.pts), probe.video.width, probe.video.height)
    return Plan("encoded", frames, *proxy_size(probe.video))


def can_stay(probe: Probe) -> bool:
    """Tell whether a video is what a proxy has to be already, so that no frame need be encoded anew."""
    video, audio = probe.video, probe.audio
    step = 1 / (PROXY_RATE * video.time_base)
    pace = all(stamp - probe.pts[0] == k * step for k, stamp in enumerate(probe.pts))
    picture = (video.codec, video.pixel_format) == ("h264", "yuv420p") and video.sample_aspect_ratio == 1
    upright = not video.rotation and not video.interlaced and probe.starts_with_keyframe
    sound = audio is None or (audio.codec == "aac" and abs(audio.start - probe.start) <= _SAME_TIME)
    return pace and picture and upright and sound and not probe.warnings


def proxy_size(video: VideoFacts) -> tuple[int, int]:
    """Return the proxy's width and height: upright, with square pixels, even (4:2:0 has half the colour samples)."""
    width, height = video.width * video.sample_aspect_ratio, Fraction(video.height)
    if video.rotation % 180 != 0:
        width, height = height, width
    return _even(width), _even(height)


def _even(length: Fraction) -> int:
    return max(2, 2 * int(length / 2))


def cautions(probe: Probe) -> list[tuple[str, str]]:
    """Return what a person should know of the proxy: code and sentence."""
    transfer = _HDR_TRANSFERS.get(probe.video.color["transfer"])
    if transfer is None:
        return []
    return [("hdr_not_tone_mapped", f"The original is HDR ({transfer}); the proxy's colours are not tone-mapped.")]
