"""What the packets of a file say, stream by stream: read to the end, with one frame decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

OnRead = Callable[[int], None]
"""Called with the bytes read so far."""

_TELL_EVERY = 500
"""Packets between two calls of OnRead: about ten seconds of film."""
_NOTHING = Fraction(0)


@dataclass
class _Track:
    """From when to when a track has sound; `end` and `longest` (packet) are in units of its time base."""

    time_base: Fraction
    start: Fraction
    end: int
    longest: int
    padding: Fraction = _NOTHING


@dataclass
class SoundSpan:
    """From when to when there is sound, in seconds on the file's own clock; seen packet by packet.

    What a decoder is told to skip at either end does not count.
    """

    tracks: dict[int, _Track] = field(default_factory=dict)
    """By their stream's index, those that have a packet."""

    def see(self, packet: Packet[Any], rate: int) -> None:
        """Count in one packet of sound; `rate` is its samples a second."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.is_discard or not packet.size:
            return
        duration = packet.duration or 0
        skipped, padding = _skipped(packet)
        track = self.tracks.get(packet.stream_index)
        if track is None:
            time_base = packet.time_base
            track = _Track(time_base, stamp * time_base + Fraction(skipped, rate), stamp, 0)
            self.tracks[packet.stream_index] = track
        if stamp + duration >= track.end:
            track.end, track.padding = stamp + duration, Fraction(padding, rate) if padding else _NOTHING
        track.longest = max(track.longest, duration)

    @property
    def start(self) -> Fraction | None:
        """When the first track begins; None without sound."""
        return min((track.start for track in self.tracks.values()), default=None)

    @property
    def end(self) -> Fraction:
        """When the last track ends."""
        ends = (track.end * track.time_base - track.padding for track in self.tracks.values())
        return max(ends, default=Fraction(0))

    @property
    def packet(self) -> Fraction:
        """The longest duration of a packet: how exactly the end is known."""
        return max((track.longest * track.time_base for track in self.tracks.values()), default=Fraction(0))


def _skipped(packet: Packet[Any]) -> tuple[int, int]:
    """Return the samples to skip from a packet's start and end (AV_PKT_DATA_SKIP_SAMPLES: two little endian numbers)."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    start, end = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")))
    return start, end


@dataclass
class Scan:
    """What was seen of the picture, in units of its time base, and of the sound."""

    pts: list[int] = field(default_factory=list)
    """Of every frame that is to be shown, ascending."""
    last_pts: int | None = None
    last_duration: int = 0
    starts_with_keyframe: bool = True
    packets: int = 0
    first_frame: VideoFrame | None = None
    sound: SoundSpan = field(default_factory=SoundSpan)
    broken: str | None = None


def scan(
    container: InputContainer, video: VideoStream, sounds: Sequence[AudioStream], on_read: OnRead, *, has_pts: bool
) -> Scan:
    """Read every packet's times, and decode until a first frame comes. Damage ends the reading where it is.

    `has_pts` is false for a container that only has an order of frames: then what the library makes of it is not used.
    Every track of sound has to have a sample rate.
    """
    seen = Scan()
    rates = {stream.index: stream.codec_context.sample_rate for stream in sounds}
    try:
        for count, packet in enumerate(container.demux([video, *sounds])):
            if packet.stream_index == video.index:
                _see_picture(seen, packet, packet.pts if has_pts and packet.pts is not None else packet.dts)
            else:
                seen.sound.see(packet, rates[packet.stream_index])
            if count % _TELL_EVERY == 0 and packet.pos:
                on_read(packet.pos)
    except av.FFmpegError as error:
        seen.broken = str(error)
    seen.pts.sort()
    return seen


def _see_picture(seen: Scan, packet: Packet[Any], stamp: int | None) -> None:
    if stamp is not None and packet.size:
        if seen.packets == 0:
            seen.starts_with_keyframe = bool(packet.is_keyframe)
        seen.packets += 1
        if not packet.is_discard:  # what lies before the start of an edit list is decoded, never shown
            if seen.last_pts is None or stamp > seen.last_pts:
                seen.last_pts, seen.last_duration = stamp, packet.duration or 0
            seen.pts.append(stamp)
    if seen.first_frame is None:
        seen.first_frame = _decoded(packet)


def _decoded(packet: Packet[Any]) -> VideoFrame | None:
    """Return the first frame that a packet gives; a damaged one gives none, and a later one may."""
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return None
    return frames[0] if frames and isinstance(frames[0], VideoFrame) else None
