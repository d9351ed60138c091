"""The ffmpeg commands, built with ffmpeg-python."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from workflow_scripts.step2.frame_map import PROXY_RATE
from workflow_scripts.step2.plan import Plan
from workflow_scripts.step2.probe import Probe
from workflow_scripts.stepkit.media import input_url

DECODED_LIST = "decoded.txt"
"""Written in ffmpeg's working folder: the time stamp of every frame that was decoded."""

_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-v", "warning", "-progress", "pipe:1")
_PLAIN: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "movflags": "+faststart", "f": "mp4"}
"""Nothing of the original's metadata: its timecode would become a track; it stands in the facts beside the proxy."""


def encode_command(
    binary: Path, source: Path, target: Path, probe: Probe, plan: Plan, preset: str, crf: int
) -> list[str]:
    """Return the command that makes a 25 fps proxy.

    `-copyts` keeps the original's clock, so that the filters here alone decide what is time zero: the first frame.
    `-max_error_rate 1`: a damaged frame does not fail the rest; what was decoded is counted afterwards.
    """
    given = ffmpeg.input(input_url(source), copyts=None, max_error_rate=1)
    streams = [_picture(given[str(probe.video.index)], probe, plan)]
    coding: dict[str, Any] = {"c:v": "libx264", "preset": preset, "crf": crf, "pix_fmt": "yuv420p"}
    if probe.audio is not None:
        streams.append(_sound(given[str(probe.audio.index)], probe.start))
        coding |= {"c:a": "aac", "b:a": "160k"}
    return _compiled(binary, ffmpeg.output(*streams, input_url(target), **coding, **_PLAIN))


def remux_command(binary: Path, source: Path, target: Path, probe: Probe) -> list[str]:
    """Return the command that puts the streams as they are into a fast-start mp4."""
    given = ffmpeg.input(input_url(source))
    indices = [probe.video.index] + ([probe.audio.index] if probe.audio else [])
    streams = [given[str(index)] for index in indices]
    return _compiled(binary, ffmpeg.output(*streams, input_url(target), c="copy", **_PLAIN))


def _compiled(binary: Path, output: Any) -> list[str]:
    return [str(part) for part in output.global_args(*_QUIET).overwrite_output().compile(cmd=str(binary))]


def _picture(stream: Any, probe: Probe, plan: Plan) -> Any:
    """List what is decoded, begin at zero, bring to 25 fps by the frame map's rule, and give it its exact length."""
    stream = stream.filter("metadata", mode="add", key="derush", value="1")
    stream = stream.filter("metadata", mode="print", file=DECODED_LIST)
    stream = stream.filter("setpts", f"PTS-({probe.pts[0]})")
    if probe.video.interlaced:
        stream = stream.filter("bwdif", mode="send_frame")
    stream = stream.filter("fps", fps=PROXY_RATE, round="near", start_time=0)
    if probe.video.is_full_range:  # a proxy is limited range: what cameras' MJPEG and phones' H.264 are not
        stream = stream.filter("scale", plan.width, plan.height, out_range="tv")
    elif (probe.video.width, probe.video.height) != (plan.width, plan.height):
        stream = stream.filter("scale", plan.width, plan.height)
    # A tail that cannot be decoded is filled with the last frame that can: the duration stays.
    stream = stream.filter("tpad", stop=plan.frames, stop_mode="clone").filter("trim", end_frame=plan.frames)
    return stream.filter("setsar", 1).filter("format", "yuv420p")


def _sound(stream: Any, zero: Fraction) -> Any:
    """Begin where the picture begins: silence is put before sound that starts later, sound that starts earlier is cut."""
    shift = f"PTS-({zero.numerator}/{zero.denominator})/TB"
    stream = stream.filter("asetpts", shift)
    return stream.filter("aresample", 48000, first_pts=0, **{"async": 1}).filter("aformat", channel_layouts="stereo")
