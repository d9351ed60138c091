"""What a delivered video is, found by PyAV: its streams by their headers, its time stamps by demuxing, one frame decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from workflow_scripts.step2.scan import OnRead, Scan, scan
from workflow_scripts.step2.sound import AudioFacts, audio_facts, choose_sound
from workflow_scripts.step2.stamps import has_step
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.frame_map import to_runs
from workflow_scripts.stepkit.media import input_url
from workflow_scripts.stepkit.timecode import Timecode, nominal_rate

_FIELD_ORDERS = {2: "top", 3: "bottom", 4: "top", 5: "bottom"}
"""AVFieldOrder, by the field that is displayed first; 0 and 1 are unknown and progressive. 4 and 5 are QuickTime's 9 and
14, whose lines are interleaved: there Apple says of the first line whether it is early (9) or late (14)."""
_COMMON_RATES = tuple(
    Fraction(number, under) for number in (24, 25, 30, 48, 50, 60, 120) for under in (1, Fraction(1001, 1000))
)
"""What cameras record: time stamps in milliseconds fit many rates, and these come first."""
_WITHOUT_PTS = frozenset({"avi", "mpegvideo", "mjpeg", "m4v", "h264", "hevc"})
"""Containers, and streams without one, that only have an order of frames. What decoders and demuxers make of it is off
by as many frames as a decoder holds back, each version by others."""
_COARSE = Fraction(1, 1000)
_SHORT = Fraction(1, 2)
"""Seconds that a matroska may lack: its duration is that of its longest stream, subtitles included."""
_RANGES = {1: "limited", 2: "full"}
_MAGIC = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"), (0, b"\x06\x0e\x2b\x34"))
"""How mp4/mov, matroska/webm, avi and mxf begin: a file that does but cannot be opened is damaged, any other is no video."""


@dataclass(frozen=True)
class VideoFacts:
    """The video stream. `rotation` is in degrees, anticlockwise, as the display matrix has it.

    `interlaced`: the stream or its first frame says so. `field_order` is top or bottom where the stream names the field
    that is displayed first, else None. `color` has the code points of ITU-T H.273.
    """

    index: int
    codec: str
    width: int
    height: int
    rate: Fraction
    average_rate: Fraction | None
    variable_rate: bool
    time_base: Fraction
    rotation: int
    sample_aspect_ratio: Fraction
    pixel_format: str
    is_rgb: bool
    has_alpha: bool
    interlaced: bool
    field_order: str | None
    color: dict[str, Any]

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 and white 255; ffmpeg's `yuvj` formats say so by their name."""
        return self.color["range"] == "full" or self.pixel_format.startswith("yuvj")


@dataclass(frozen=True)
class Probe:
    """All that is known of a delivered video before it is decoded."""

    container: str
    duration: Fraction
    start_timecode: str | None
    timecode_rate: Fraction | None
    """Frames a second that the timecode counts; None without one, or with one that is no timecode at this rate."""
    video: VideoFacts
    audio: AudioFacts | None
    streams: list[dict[str, Any]]
    has_pts: bool
    """Whether the container has time stamps; else frames come one after the other, and the first begins at `pts[0]`."""
    pts: list[int]
    """Of every frame that is to be shown, ascending, in units of the video's time base."""
    end_pts: int
    starts_with_keyframe: bool
    warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def start(self) -> Fraction:
        """The time of the first frame on the file's own clock, in seconds."""
        return self.pts[0] * self.video.time_base

    @property
    def drop_frame(self) -> bool | None:
        """Whether the start timecode is drop-frame (a `;` or `.` before the frames); None without a timecode."""
        return any(mark in self.start_timecode for mark in ";.") if self.start_timecode else None


def replace_it(path: Path) -> str:
    """Say what to do about an original that cannot be used; it is the project's copy that is read."""
    return f"Put a good copy of it at {path}, then `derush retry`; `derush accept` goes on without it."


def probe(path: Path, on_read: OnRead = lambda _bytes: None) -> Probe:
    """Look at a delivered video. Raises ItemError by name when it is no video, or none of it can be used."""
    if path.stat().st_size == 0:
        raise ItemError("empty_file", f"{path.name} is empty.", replace_it(path))
    with _opened(path) as container:
        stream = _video_stream(path, container)
        sounds = choose_sound(container)
        seen = scan(container, stream, sounds, on_read, has_pts=container.format.name not in _WITHOUT_PTS)
        if not seen.pts:
            raise ItemError("no_frames", f"{path.name} has a video stream without a single frame.", replace_it(path))
        if seen.first_frame is None:
            raise ItemError("damaged_source", f"Not one frame of {path.name} can be decoded.", replace_it(path))
        return _facts(container, stream, seen, seen.first_frame, audio_facts(sounds, seen.sound))


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        container = av.open(input_url(path), metadata_errors="replace")
    except av.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise
        raise _cannot_open(path, error) from error
    with container:
        yield container


def _cannot_open(path: Path, error: av.FFmpegError) -> ItemError:
    with path.open("rb") as stream:
        head = stream.read(16)
    if any(head[offset:].startswith(magic) for offset, magic in _MAGIC):
        return ItemError(
            "damaged_source",
            f"{path.name} is cut off or damaged: it cannot be opened ({error.strerror}).",
            replace_it(path),
        )
    return ItemError("not_a_video", f"{path.name} is no video, whatever its name says.", replace_it(path))  # fmt: skip


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the first video stream that is no cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ItemError("no_video_stream", f"{path.name} has no picture, only {_kinds(container)}.", "Deliver sound with its picture, or take the file out.")  # fmt: skip


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _facts(
    container: InputContainer, stream: VideoStream, seen: Scan, first: VideoFrame, audio: AudioFacts | None
) -> Probe:
    pts = seen.pts
    video = _video_facts(stream, first, pts)
    # At a constant rate the last frame stays as long as the others, whatever a container rounds its duration to.
    step = (
        seen.last_duration if video.variable_rate and seen.last_duration else round(1 / (video.rate * video.time_base))
    )
    end = pts[-1] + max(1, step)
    timecode = _timecode(container)
    if audio and audio.start + audio.duration <= pts[0] * video.time_base:
        audio = None  # it ends before the picture begins
    return Probe(
        container.format.name, (end - pts[0]) * video.time_base, timecode, _timecode_rate(timecode, video), video,
        audio, [_stream_facts(each) for each in container.streams], container.format.name not in _WITHOUT_PTS, pts, end,
        seen.starts_with_keyframe,
        _damage(container, stream, seen, end * video.time_base),
    )  # fmt: skip


def _damage(container: InputContainer, stream: VideoStream, seen: Scan, end: Fraction) -> list[tuple[str, str]]:
    """Return a warning for each way in which the file is less than it says."""
    said = [f"Reading stops early: {seen.broken}"] if seen.broken else []
    if stream.frames > seen.packets:
        said.append(f"The file promises {stream.frames} frames and holds {seen.packets}.")
    elif "matroska" in container.format.name and container.duration is not None:  # it counts no frames
        promised, holds = Fraction(container.duration, av.time_base), max(end, seen.sound.end)
        if promised - holds >= _SHORT:
            said.append(f"The file promises {float(promised):.1f} s and ends after {float(holds):.1f} s.")
    return [("damaged_source", sentence) for sentence in said]


def _video_facts(stream: VideoStream, frame: VideoFrame, pts: list[int]) -> VideoFacts:
    context, time_base = stream.codec_context, stream.time_base or Fraction(1, 1000)
    rate, variable = _rate(stream, pts, time_base)
    order = _FIELD_ORDERS.get(context.field_order)
    return VideoFacts(
        stream.index, context.codec.canonical_name, frame.width, frame.height, rate, stream.average_rate, variable, time_base,
        frame.rotation, stream.sample_aspect_ratio or Fraction(1), frame.format.name,
        frame.format.is_rgb or frame.format.has_palette, any(each.is_alpha for each in frame.format.components),
        frame.interlaced_frame or order is not None, order,
        {
            "range": _RANGES.get(context.color_range), "primaries": context.color_primaries,
            "transfer": context.color_trc, "matrix": context.colorspace,
        },
    )  # fmt: skip


def _rate(stream: VideoStream, pts: list[int], time_base: Fraction) -> tuple[Fraction, bool]:
    """Return the exact rate, and whether it varies: then the rate is the average."""
    named = [rate for rate in (stream.guessed_rate, stream.base_rate, stream.average_rate) if rate]
    usual = [*filter(_COMMON_RATES.__contains__, named), *_COMMON_RATES]
    # What a container in milliseconds names is an average; one with a finer clock may mean an odd rate.
    for rate in (*usual, *named) if time_base >= _COARSE else (*named, *usual):
        if has_step(pts, 1 / (rate * time_base)):
            return rate, False
    runs = to_runs(pts)
    if len(runs) == 1 and runs[0][2] > 0:
        return 1 / (Fraction(runs[0][2], runs[0][3]) * time_base), False
    spread = (pts[-1] - pts[0]) * time_base
    return ((len(pts) - 1) / spread if spread else (named or [Fraction(25)])[0]), len(pts) > 1


def _stream_facts(stream: Any) -> dict[str, Any]:
    context = getattr(stream, "codec_context", None)
    return {
        "index": stream.index, "type": stream.type, "codec": context.codec.canonical_name if context else None,
        "language": stream.language, "start_pts": stream.start_time,
        "time_base": str(stream.time_base) if stream.time_base else None,
    }  # fmt: skip


def _timecode(container: InputContainer) -> str | None:
    """Return the start timecode of the container or of the first stream that has one."""
    for metadata in (container.metadata, *(stream.metadata for stream in container.streams)):
        if metadata.get("timecode"):
            return metadata["timecode"]
    return None


def _timecode_rate(timecode: str | None, video: VideoFacts) -> Fraction | None:
    """Return the frames a second that a timecode counts: the rate itself, or of a variable one the nearest that is one."""
    if timecode is None:
        return None
    nominal = nominal_rate(video.rate)
    try:
        drop_frame = Timecode.parse(timecode, nominal).drop_frame
    except ValueError:
        return None
    if not video.variable_rate:
        return video.rate
    return Fraction(nominal * 1000, 1001) if drop_frame else Fraction(nominal)
