"""What a delivered video is, found by PyAV: its streams by their headers, its time stamps by demuxing, one frame decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from workflow_scripts.step2.frame_map import has_step, to_runs
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.media import input_url

_PROGRESSIVE = (0, 1)
"""AVFieldOrder: unknown and progressive; every other value is an order of fields."""
_COMMON_RATES = tuple(
    Fraction(number, under) for number in (24, 25, 30, 48, 50, 60, 120) for under in (1, Fraction(1001, 1000))
)
"""Tried where a container names none: time stamps in milliseconds fit many rates, and these are what cameras record."""
_SHORT = Fraction(1, 2)
"""Seconds that a matroska may lack: its duration is that of its longest stream, subtitles included."""
_RANGES = {1: "limited", 2: "full"}
_MAGIC = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"), (0, b"\x06\x0e\x2b\x34"))
"""How mp4/mov, matroska/webm, avi and mxf begin: a file that does but cannot be opened is damaged, any other is no video."""
_AGAIN = "Copy the file from the camera or its archive again."


@dataclass(frozen=True)
class VideoFacts:
    """The video stream. `rotation` is in degrees, anticlockwise, as the display matrix has it."""

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
    interlaced: bool
    color: dict[str, Any]

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 and white 255; ffmpeg's `yuvj` formats say so by their name."""
        return self.color["range"] == "full" or self.pixel_format.startswith("yuvj")


@dataclass(frozen=True)
class AudioFacts:
    """The first audio stream; times in seconds, `start` on the file's own clock."""

    index: int
    codec: str
    rate: int
    channels: int
    start: Fraction
    duration: Fraction


@dataclass(frozen=True)
class Probe:
    """All that is known of a delivered video before it is decoded."""

    container: str
    duration: Fraction
    start_timecode: str | None
    video: VideoFacts
    audio: AudioFacts | None
    streams: list[dict[str, Any]]
    pts: list[int]
    """Of every frame that is to be shown, ascending, in units of the video's time base."""
    end_pts: int
    starts_with_keyframe: bool
    frames_promised: int
    """Frames the container's header speaks of; 0 when it does not."""
    warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def start(self) -> Fraction:
        """The time of the first frame on the file's own clock, in seconds."""
        return self.pts[0] * self.video.time_base

    @property
    def drop_frame(self) -> bool | None:
        """Whether the start timecode is drop-frame (SMPTE ST 12: a `;` before the frames); None without a timecode."""
        return ";" in self.start_timecode if self.start_timecode else None


@dataclass
class _Scan:
    """What the packets say, stream by stream."""

    pts: list[int] = field(default_factory=list)
    last_pts: int | None = None
    last_duration: int = 0
    has_all_pts: bool = True
    starts_with_keyframe: bool = True
    packets: int = 0
    audio_start: Fraction | None = None
    audio_end: Fraction = Fraction(0)
    broken: str | None = None


def probe(path: Path) -> Probe:
    """Look at a delivered video. Raises ItemError by name when it is no video, or none of it can be used."""
    if path.stat().st_size == 0:
        raise ItemError("empty_file", f"{path.name} is empty.", _AGAIN)
    with _opened(path) as container:
        stream = _video_stream(path, container)
        sound = next(iter(container.streams.audio), None)
        scan = _scan(container, stream, sound)
    if not scan.pts:
        raise ItemError("no_frames", f"{path.name} has a video stream without a single frame.", _AGAIN)
    with _opened(path) as container:
        return _facts(path, container, scan)


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
            "damaged_source", f"{path.name} is cut off or damaged: it cannot be opened ({error.strerror}).", _AGAIN
        )
    return ItemError("not_a_video", f"{path.name} is no video, whatever its name says.", "Take it out of the delivery, or replace it.")  # fmt: skip


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the first video stream that is no cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ItemError("no_video_stream", f"{path.name} has no picture, only {_kinds(container)}.", "Deliver sound with its picture, or take the file out.")  # fmt: skip


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _scan(container: InputContainer, video: VideoStream, sound: AudioStream | None) -> _Scan:
    """Read every packet's times, decoding nothing; damage ends the scan where it is."""
    scan = _Scan()
    try:
        for packet in container.demux([stream for stream in (video, sound) if stream is not None]):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or packet.size == 0:
                continue
            if packet.stream_index == video.index:
                _scan_video(scan, stamp, packet)
            elif sound is not None:
                _scan_audio(scan, stamp, packet, sound.codec_context.sample_rate)
    except av.FFmpegError as error:
        scan.broken = str(error)
    scan.pts.sort()
    return scan


def _scan_video(scan: _Scan, stamp: int, packet: Any) -> None:
    if scan.packets == 0:
        scan.starts_with_keyframe = bool(packet.is_keyframe)
    scan.packets += 1
    scan.has_all_pts = scan.has_all_pts and packet.pts is not None
    if packet.is_discard:  # before the start of an edit list: decoded, never shown
        return
    if scan.last_pts is None or stamp > scan.last_pts:
        scan.last_pts, scan.last_duration = stamp, packet.duration or 0
    scan.pts.append(stamp)


def _scan_audio(scan: _Scan, stamp: int, packet: Any, rate: int) -> None:
    """Note where the sound begins: after the samples an encoder puts before it, which a decoder is told to skip."""
    skipped = 0
    if packet.has_sidedata("skip_samples"):
        # AV_PKT_DATA_SKIP_SAMPLES: the first four bytes count the samples to skip from the start, little endian.
        (skipped,) = struct.unpack_from("<I", bytes(packet.get_sidedata("skip_samples")))
    if scan.audio_start is None:
        scan.audio_start = stamp * packet.time_base + Fraction(skipped, rate or 1)
    scan.audio_end = max(scan.audio_end, (stamp + (packet.duration or 0)) * packet.time_base)


def _facts(path: Path, container: InputContainer, scan: _Scan) -> Probe:
    stream = _video_stream(path, container)
    sound = next(iter(container.streams.audio), None)
    streams = [_stream_facts(each) for each in container.streams]
    timecode = _timecode(container)
    promised, container_name = stream.frames, container.format.name
    first = _first_frame(path, container, stream)
    if not scan.has_all_pts and first.pts is not None:
        # Without PTS (avi) the packets carry decoding times; the first frame tells how far those are off.
        scan.pts = [stamp + first.pts - scan.pts[0] for stamp in scan.pts]
    video = _video_facts(stream, first, scan)
    # At a constant rate the last frame stays as long as the others, whatever a container rounds its duration to.
    step = (
        scan.last_duration if video.variable_rate and scan.last_duration else round(1 / (video.rate * video.time_base))
    )
    end = scan.pts[-1] + max(1, step)
    warnings = [("damaged_source", f"Reading stops early: {scan.broken}")] if scan.broken else []
    if promised > scan.packets:
        warnings.append(("damaged_source", f"The file promises {promised} frames and holds {scan.packets}."))
    elif missing := _missing_end(container, max(end * video.time_base, scan.audio_end)):
        warnings.append(missing)
    return Probe(
        container_name, (end - scan.pts[0]) * video.time_base, timecode, video, _audio_facts(sound, scan), streams,
        scan.pts, end, scan.starts_with_keyframe, promised, warnings,
    )  # fmt: skip


def _missing_end(container: InputContainer, end: Fraction) -> tuple[str, str] | None:
    """Return a warning when a matroska, which counts no frames, ends before the duration that its header has."""
    if "matroska" not in container.format.name or container.duration is None:
        return None
    promised = Fraction(container.duration, av.time_base)
    if promised - end < _SHORT:
        return None
    return "damaged_source", f"The file promises {float(promised):.1f} s and ends after {float(end):.1f} s."


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    """Decode until a first frame comes. Raises ItemError when none does."""
    packets = container.demux(stream)
    while True:
        try:
            for frame in next(packets).decode():
                return frame
        except StopIteration:
            raise ItemError("damaged_source", f"Not one frame of {path.name} can be decoded.", _AGAIN) from None
        except av.FFmpegError:
            continue  # this packet is damaged; a later one may not be


def _video_facts(stream: VideoStream, frame: VideoFrame, scan: _Scan) -> VideoFacts:
    context, time_base = stream.codec_context, stream.time_base or Fraction(1, 1000)
    rate, variable = _rate(stream, scan.pts, time_base)
    return VideoFacts(
        stream.index, context.name, frame.width, frame.height, rate, stream.average_rate, variable, time_base,
        frame.rotation, stream.sample_aspect_ratio or Fraction(1), frame.format.name,
        frame.interlaced_frame or context.field_order not in _PROGRESSIVE,
        {
            "range": _RANGES.get(context.color_range), "primaries": context.color_primaries,
            "transfer": context.color_trc, "matrix": context.colorspace,
        },
    )  # fmt: skip


def _rate(stream: VideoStream, pts: list[int], time_base: Fraction) -> tuple[Fraction, bool]:
    """Return the exact rate, and whether it varies: then the rate is the average."""
    named = [rate for rate in (stream.guessed_rate, stream.base_rate, stream.average_rate) if rate]
    for rate in (*named, *_COMMON_RATES):
        if has_step(pts, 1 / (rate * time_base)):
            return rate, False
    runs = to_runs(pts)
    if len(runs) == 1 and runs[0][2] > 0:
        return 1 / (Fraction(runs[0][2], runs[0][3]) * time_base), False
    spread = (pts[-1] - pts[0]) * time_base
    return ((len(pts) - 1) / spread if spread else (named or [Fraction(25)])[0]), len(pts) > 1


def _audio_facts(stream: AudioStream | None, scan: _Scan) -> AudioFacts | None:
    """Describe the sound; a stream without a packet, or of a codec that is not known, is none."""
    if stream is None or scan.audio_start is None or stream.codec_context is None:
        return None
    context = stream.codec_context
    return AudioFacts(
        stream.index, context.name, context.sample_rate, context.layout.nb_channels,
        scan.audio_start, scan.audio_end - scan.audio_start,
    )  # fmt: skip


def _stream_facts(stream: Any) -> dict[str, Any]:
    context = getattr(stream, "codec_context", None)
    return {
        "index": stream.index, "type": stream.type, "codec": context.name if context else None,
        "language": stream.language, "start_pts": stream.start_time,
        "time_base": str(stream.time_base) if stream.time_base else None,
    }  # fmt: skip


def _timecode(container: InputContainer) -> str | None:
    """Return the start timecode of the container or of the first stream that has one."""
    for metadata in (container.metadata, *(stream.metadata for stream in container.streams)):
        if metadata.get("timecode"):
            return metadata["timecode"]
    return None
