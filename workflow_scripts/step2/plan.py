"""How a delivered video becomes its proxy. Pure: facts in, decisions out."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from fractions import Fraction

from workflow_scripts.step2.probe import Probe, VideoFacts
from workflow_scripts.step2.sound import AudioFacts
from workflow_scripts.stepkit.frame_map import proxy_frame_count
from workflow_scripts.stepkit.timebase import PROXY_RATE

_SAME_TIME = Fraction(1, 100)
"""Seconds by which sound may begin beside its picture in what is not encoded anew: programs that read a proxy's sound
take its first sample for time zero. An mpegts with AAC is beyond it: it does not say that an encoder's first 1024
samples are to be skipped."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""ITU-T H.273 transfer characteristics of high dynamic range."""
_UNSAID, BT709 = 2, 1
_TONE_MAPPING = frozenset({"zscale", "tonemap"})
_FILM = (Fraction(24), Fraction(24000, 1001))
"""The rates that are sped up to 25 where that is asked for: what PAL transfers of films have always done."""
_FLAGS_FIELDS = frozenset({"h264", "mpeg2video", "vc1", "wmv3"})
"""Codecs whose streams may change between fields and whole frames; each of their frames says which it is."""
_LEAST_FOR_FIELDS = 16
"""Pixels a side that bwdif needs, with half as many for colour."""


@dataclass(frozen=True)
class Colour:
    """Colour of a proxy's picture, by the code points of ITU-T H.273 (2: not said). Its range is always limited."""

    primaries: int
    transfer: int
    matrix: int


@dataclass(frozen=True)
class Plan:
    """How a proxy is made.

    `method` is encoded, remuxed or linked; sizes are in pixels of the proxy; `rate` is how many proxy frames a second of
    the original becomes. `fields` says which frames are deinterlaced: all, with the top or bottom field first; those
    that are flagged; or none. `treatment` names what was done to the picture, for a person.
    `stretcher` is the filter that makes sound faster at its pitch.
    """

    method: str
    frames: int
    width: int
    height: int
    rate: Fraction = PROXY_RATE
    fields: str | None = None
    tone_map: bool = False
    colour: Colour = Colour(_UNSAID, _UNSAID, _UNSAID)
    treatment: tuple[str, ...] = ()
    stretcher: str = "atempo"

    @property
    def tempo(self) -> Fraction:
        """How much faster than the original the proxy plays."""
        return PROXY_RATE / self.rate


def untouched_plan(probe: Probe, *, is_fast_start_mp4: bool) -> Plan | None:
    """Return how a video becomes its proxy without encoding; None when it is not what a proxy has to be."""
    video = probe.video
    if not _can_stay(probe):
        return None
    first_sound = next((stream["index"] for stream in probe.streams if stream["type"] == "audio"), None)
    in_order = probe.audio is None or probe.audio.tracks == (first_sound,)
    method = "linked" if is_fast_start_mp4 and in_order else "remuxed"
    return Plan(method, len(probe.pts), video.width, video.height, colour=said_colour(video))


def encoding_plan(probe: Probe, *, speed_up_film: bool, filters: Set[str]) -> Plan:
    """Return how a video is encoded; `filters` are those of ffmpeg, which not every ffmpeg has."""
    video = probe.video
    rate = video.rate if speed_up_film and not video.variable_rate and video.rate in _FILM else PROXY_RATE
    frames = proxy_frame_count(probe.pts[0], probe.end_pts, video.time_base, rate)
    tone_map = is_hdr(video) and filters >= _TONE_MAPPING
    done = {
        "deinterlaced": video.interlaced, "over_black": video.has_alpha, "tone_mapped": tone_map,
        "sped_up": rate != PROXY_RATE,
    }  # fmt: skip
    return Plan(
        "encoded", frames, *proxy_size(video), rate, _fields(video), tone_map, _proxy_colour(video, tone_map),
        tuple(name for name, was_done in done.items() if was_done), "rubberband" if "rubberband" in filters else "atempo",
    )  # fmt: skip


def _can_stay(probe: Probe) -> bool:
    """Tell whether a video is what a proxy has to be already, so that no frame need be encoded anew."""
    video, audio = probe.video, probe.audio
    step = 1 / (PROXY_RATE * video.time_base)
    pace = all(stamp - probe.pts[0] == k * step for k, stamp in enumerate(probe.pts))
    picture = (video.codec, video.pixel_format) == ("h264", "yuv420p") and video.sample_aspect_ratio == 1
    upright = not video.rotation and not video.interlaced and probe.starts_with_keyframe
    plain = not video.is_full_range and not is_hdr(video)
    return (
        probe.has_pts
        and pace
        and picture
        and upright
        and plain
        and (audio is None or _may_stay(audio, probe))
        and not probe.warnings
    )


def _may_stay(audio: AudioFacts, probe: Probe) -> bool:
    return audio.codec == "aac" and len(audio.tracks) == 1 and abs(audio.start - probe.start) <= _SAME_TIME


def _fields(video: VideoFacts) -> str | None:
    if min(video.width, video.height) < _LEAST_FOR_FIELDS:
        return None
    if video.codec in _FLAGS_FIELDS:
        return "flagged"
    return (video.field_order or "all") if video.interlaced else None


def proxy_size(video: VideoFacts) -> tuple[int, int]:
    """Return the proxy's width and height: upright, with square pixels, even (4:2:0 has half the colour samples)."""
    width, height = video.width * video.sample_aspect_ratio, Fraction(video.height)
    if video.rotation % 180 != 0:
        width, height = height, width
    return _even(width), _even(height)


def _even(length: Fraction) -> int:
    return max(2, 2 * int(length / 2))


def is_hdr(video: VideoFacts) -> bool:
    """Tell whether a picture is in high dynamic range, by its transfer characteristics."""
    return video.color["transfer"] in _HDR_TRANSFERS


def said_colour(video: VideoFacts) -> Colour:
    """Return the colour that an original says it has."""
    return Colour(video.color["primaries"], video.color["transfer"], video.color["matrix"])


def _proxy_colour(video: VideoFacts, tone_map: bool) -> Colour:
    """Return what the proxy says of its colour: BT.709 where it was converted to that, else what the original says."""
    said = said_colour(video)
    if tone_map:
        return Colour(BT709, BT709, BT709)
    if video.is_rgb:
        primaries, transfer = (BT709 if value == _UNSAID else value for value in (said.primaries, said.transfer))
        return Colour(primaries, transfer, BT709)
    return said


def sound_end(probe: Probe, plan: Plan) -> Fraction | None:
    """Return when the proxy's sound ends, in seconds; None when the original has none."""
    audio = probe.audio
    return (audio.start + audio.duration - probe.start) / plan.tempo if audio else None


def cautions(probe: Probe, plan: Plan) -> list[tuple[str, str]]:
    """Return what a person should know of the proxy: code and sentence."""
    transfer = _HDR_TRANSFERS.get(probe.video.color["transfer"])
    if transfer is None or plan.tone_map:
        return []
    return [(
        "hdr_not_tone_mapped",
        f"The original is HDR ({transfer}); this ffmpeg has no zscale and tonemap, so the proxy's colours are pale.",
    )]  # fmt: skip
