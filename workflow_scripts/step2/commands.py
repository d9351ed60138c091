"""The ffmpeg commands, built with ffmpeg-python."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from workflow_scripts.step2.encoders import Coding
from workflow_scripts.step2.plan import BT709, Plan, said_colour
from workflow_scripts.step2.probe import Probe, VideoFacts
from workflow_scripts.step2.sound import AudioFacts
from workflow_scripts.stepkit.media import input_url
from workflow_scripts.stepkit.timebase import PROXY_RATE

DECODED_LIST = "decoded.txt"
"""Written in ffmpeg's working folder: the time stamp of every frame that was decoded."""

_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-v", "level+warning", "-progress", "pipe:1")
_PLAIN: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "movflags": "+faststart", "f": "mp4"}
"""Nothing of the original's metadata: its timecode would become a track; it stands in the facts beside the proxy."""
_SOUND_RATE = 48_000
_GAP = 0.01
"""Seconds by which sound may be beside its time stamps before it is put right: a hole of a lost packet is filled."""
_REFERENCE_WHITE = 203
"""Candela per square metre that count as 1 before tones are mapped: white paper in HDR (ITU-R BT.2408)."""
_BT2020, _BT2020_MATRIX = 9, 9


def encode_command(
    binary: Path, source: Path, target: Path, probe: Probe, plan: Plan, coding: Coding, threads: int | None
) -> list[str]:
    """Return the command that makes a 25 fps proxy; `threads` for decoder and encoder each, None: as many as they like.

    `-copyts` keeps the original's clock, so that the filters here alone decide what is time zero: the first frame.
    `-max_error_rate 1`: a damaged frame does not fail the rest; what was decoded is counted afterwards.
    """
    limit = {"threads": threads} if threads else {}
    given = ffmpeg.input(input_url(source), copyts=None, max_error_rate=1, **limit)
    picture = _picture(given[str(probe.video.index)], probe, plan)
    for name, arguments in coding.filters:
        picture = picture.filter(name, *arguments)
    streams, options = [picture], {**coding.options, **limit}
    if probe.audio is not None:
        streams.append(_stretched(_sound(given, probe.audio, probe.start), plan))
        options |= {"c:a": "aac", "b:a": "160k"}
    before = [part for name, value in coding.before.items() for part in (f"-{name}", str(value))]
    return _compiled(binary, ffmpeg.output(*streams, input_url(target), **options, **_PLAIN), *before)


def remux_command(binary: Path, source: Path, target: Path, probe: Probe) -> list[str]:
    """Return the command that puts the streams as they are into a fast-start mp4."""
    given = ffmpeg.input(input_url(source))
    indices = [probe.video.index, *(probe.audio.tracks if probe.audio else ())]
    streams = [given[str(index)] for index in indices]
    return _compiled(binary, ffmpeg.output(*streams, input_url(target), c="copy", **_PLAIN))


def count_command(binary: Path, source: Path, probe: Probe) -> list[str]:
    """Return the command that only decodes the picture, one frame after the other, so that each damaged one is told."""
    given = ffmpeg.input(input_url(source), max_error_rate=1, threads=1)
    return _compiled(binary, ffmpeg.output(given[str(probe.video.index)], "-", f="null"))


def _compiled(binary: Path, output: Any, *before: str) -> list[str]:
    return [str(part) for part in output.global_args(*_QUIET, *before).overwrite_output().compile(cmd=str(binary))]


def _picture(stream: Any, probe: Probe, plan: Plan) -> Any:
    """List what is decoded, begin at zero, bring to 25 fps by the frame map's rule, and give it its exact length."""
    stream = stream.filter("settb", expr=_written(probe.video.time_base))  # ffmpeg's own may differ from PyAV's
    stream = stream.filter("metadata", mode="add", key="derush", value="1")
    stream = stream.filter("metadata", mode="print", file=DECODED_LIST)
    stream = stream.filter("setpts", f"PTS-({probe.pts[0]})" if probe.has_pts else "PTS-STARTPTS")
    stream = _whole_frames(stream, plan.fields)
    # Older ffmpegs (5.1) leave a last frame out that begins with its proxy frame: here others follow it, and are cut off.
    stream = stream.filter("tpad", stop_duration=1, stop_mode="clone")
    stream = stream.filter("fps", fps=_written(plan.rate), round="near", start_time=0)
    if plan.rate != PROXY_RATE:  # each frame now is one of the proxy's: they are counted, and nothing is rounded
        stream = stream.filter("settb", expr=f"1/{PROXY_RATE}").filter("setpts", "N")
        stream = stream.filter("fps", fps=PROXY_RATE, round="near", start_time=0)
    if probe.video.has_alpha:  # over black, as an editor shows it
        stream = stream.filter("premultiply", inplace=1)
    stream = _coloured(_scaled(stream, probe.video, plan), probe.video, plan)
    # A tail that cannot be decoded is filled with the last frame that can: the duration stays.
    stream = stream.filter("tpad", stop=plan.frames, stop_mode="clone").filter("trim", end_frame=plan.frames)
    return stream.filter("setsar", 1)


def _whole_frames(stream: Any, fields: str | None) -> Any:
    """Make a frame of the first field of each frame that is interlaced: its time is the frame's."""
    if fields is None:
        return stream
    if fields in ("top", "bottom"):  # the container knows, the frames may not
        stream = stream.filter("setfield", {"top": "tff", "bottom": "bff"}[fields])
    return stream.filter("bwdif", mode="send_frame", deint="interlaced" if fields == "flagged" else "all")


def _scaled(stream: Any, video: VideoFacts, plan: Plan) -> Any:
    """Bring to the proxy's size and to limited range: what cameras' MJPEG, phones' H.264 and graphics are not."""
    colour: dict[str, Any] = {"out_color_matrix": "bt709"} if video.is_rgb else {}
    if video.is_full_range or video.is_rgb:
        colour["out_range"] = "tv"
    if not colour and (video.width, video.height) == (plan.width, plan.height):
        return stream
    return stream.filter("scale", plan.width, plan.height, **colour)


def _coloured(stream: Any, video: VideoFacts, plan: Plan) -> Any:
    """Bring HDR to what a proxy can show, and say of every frame what its colour is."""
    if plan.tone_map:
        for name, options in _tone_mapping(video, plan):
            stream = stream.filter(name, **options)
    said = plan.colour
    return stream.filter("format", "yuv420p").filter(
        "setparams", range="tv", color_primaries=said.primaries, color_trc=said.transfer, colorspace=said.matrix
    )


def _tone_mapping(video: VideoFacts, plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the filters from PQ or HLG to BT.709: light made linear, colours brought into the smaller gamut, tones mapped."""
    said = said_colour(video)
    yield "zscale", {
        "transferin": said.transfer, "transfer": "linear", "npl": _REFERENCE_WHITE,
        "primariesin": said.primaries if said.primaries != 2 else _BT2020,
        "matrixin": said.matrix if said.matrix != 2 else _BT2020_MATRIX,
        "rangein": "limited" if plan.tone_map and not video.is_full_range else "full",
    }  # fmt: skip
    yield "format", {"pix_fmts": "gbrpf32le"}
    yield "zscale", {"primaries": BT709}
    yield "tonemap", {"tonemap": "hable", "desat": 0}
    yield "zscale", {"transfer": BT709, "matrix": BT709, "range": "limited"}


def _sound(given: Any, audio: AudioFacts, zero: Fraction) -> Any:
    """Bring the sound to its picture's time, and to one or two channels."""
    tracks = [_in_time(given[str(index)], zero) for index in audio.tracks]
    if len(tracks) > 1:
        return ffmpeg.filter(tracks, "join", inputs=len(tracks), channel_layout="stereo")
    if audio.is_discrete:
        return tracks[0].filter("pan", args="stereo|c0=c0|c1=c1")
    return tracks[0].filter("aformat", channel_layouts="stereo" if audio.proxy_channels == 2 else "mono")


def _stretched(stream: Any, plan: Plan) -> Any:
    """Bring the sound of a film that is sped up to its tempo, at its pitch.

    With a short window rubberband keeps every onset within 2 ms; atempo moves them by up to 22 ms.
    """
    if plan.tempo == 1:
        return stream
    options = {"window": "short"} if plan.stretcher == "rubberband" else {}
    return stream.filter(plan.stretcher, tempo=float(plan.tempo), **options)


def _in_time(stream: Any, zero: Fraction) -> Any:
    """Begin where the picture begins: silence is put before sound that starts later, sound that starts earlier is cut."""
    stream = stream.filter("asetpts", f"PTS-({zero.numerator}/{zero.denominator})/TB")
    return stream.filter("aresample", _SOUND_RATE, first_pts=0, min_hard_comp=_GAP, **{"async": 1})


def _written(rate: Fraction) -> str:
    return f"{rate.numerator}/{rate.denominator}"
