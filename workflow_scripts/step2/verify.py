"""The proof that a proxy is what it has to be, before it takes its place.

Every packet is read: frames are counted, their times compared, and their bytes have to be built as H.264 is. Decoded are
keyframes from beginning to end, what is built on the last one, and the end of the sound. Decoding every frame
costs an eighth of the encoding, and many times what it takes to leave a file as it is (docs/performance.md): it is done
where that is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from workflow_scripts.step2.encoders import GROUP
from workflow_scripts.step2.h264 import is_well_formed
from workflow_scripts.step2.plan import Colour, Plan
from workflow_scripts.step2.scan import SoundSpan
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.media import input_url
from workflow_scripts.stepkit.timebase import PROXY_RATE

_KEYFRAMES = 5
"""Keyframes that are decoded, evenly spread."""
_SOUND_TAIL = 10
"""Packets of sound that are decoded, the last ones."""
_STRICT = {"err_detect": "crccheck+bitstream+buffer", "skip_loop_filter": "all"}
"""Every mistake marks its frame; and nobody looks at these pictures, so their edges need not be smoothed."""
_TELL_EVERY = 250
"""Frames between two calls of OnDecoded."""
OnDecoded = Callable[[int], None]
"""Called with the frames that were decoded so far."""
_HALF_A_FRAME = 1 / (2 * PROXY_RATE)
_LIMITED = (0, 1)
"""AVColorRange: not said, which is limited, and limited."""


@dataclass(frozen=True)
class WantedSound:
    """When a proxy's sound has to end, in seconds, give or take `margin`; None: its original is damaged, nobody knows."""

    end: Fraction
    margin: Fraction | None


@dataclass
class _Seen:
    """What was read of a proxy; `tail` is its last keyframe and what follows, as far as that is decoded."""

    stamps: list[int] = field(default_factory=list)
    tail: list[Packet[Any]] = field(default_factory=list)
    sound: SoundSpan = field(default_factory=SoundSpan)
    sound_tail: deque[Packet[Any]] = field(default_factory=lambda: deque(maxlen=_SOUND_TAIL))


def verify(proxy: Path, plan: Plan, wanted: WantedSound | None, on_decoded: OnDecoded | None = None) -> None:
    """Check a proxy's codec, size, colour, frame count, constant pace, sound, and that it decodes.

    With `on_decoded` every frame and all of the sound is decoded; it is told how many frames were, now and then.
    Raises ItemError that says what is wrong.
    """
    with av.open(input_url(proxy)) as container:
        video, audio = container.streams.video[0], next(iter(container.streams.audio), None)
        _check_picture(video, plan)
        try:
            seen = _read(container, video, audio)
            _check_times(seen.stamps, video.time_base or Fraction(1), plan)
            _decode_tail(video, seen.tail)
            for packet in seen.sound_tail:
                packet.decode()
            if on_decoded is not None:
                _decode_all(proxy, plan.frames, on_decoded)
        except av.FFmpegError as error:
            raise _wrong(f"it cannot be decoded ({error})") from error
    _check_sound(seen.sound, wanted)


def _check_picture(video: VideoStream, plan: Plan) -> None:
    context = video.codec_context
    found = (context.name, context.pix_fmt, context.width, context.height)
    wanted = ("h264", "yuv420p", plan.width, plan.height)
    if found != wanted:
        raise _wrong(f"it is {found}, not {wanted}")
    colour = Colour(context.color_primaries, context.color_trc, context.colorspace)
    if colour != plan.colour or context.color_range not in _LIMITED:
        raise _wrong(f"its colour is {colour} in range {context.color_range}, not {plan.colour} in limited range")


def _read(container: InputContainer, video: VideoStream, audio: AudioStream | None) -> _Seen:
    """Read every packet to the end, and decode keyframes by the way; the last one is left to what is built on it."""
    seen = _Seen()
    every = max(1, video.frames // _KEYFRAMES)
    due, is_due = 0, False
    video.thread_type = "SLICE"  # each keyframe is decoded by itself: there is nothing to run ahead of
    video.codec_context.options = _STRICT
    for packet in container.demux([stream for stream in (video, audio) if stream is not None]):
        if packet.size and packet.stream_index == video.index and packet.pts is not None:
            _check_bytes(packet)
            if packet.is_keyframe:
                if is_due:
                    _decode_alone(video, seen.tail[0])
                seen.tail.clear()
                is_due = len(seen.stamps) >= due
                due = len(seen.stamps) + every if is_due else due
            if len(seen.tail) < GROUP:
                seen.tail.append(packet)
            if not packet.is_discard:
                seen.stamps.append(packet.pts)
        elif packet.size and audio is not None:
            seen.sound.see(packet, audio.codec_context.sample_rate)
            seen.sound_tail.append(packet)
    return seen


def _check_bytes(packet: Packet[Any]) -> None:
    if not is_well_formed(bytes(packet)):
        raise _damaged_at(packet)


def _decode_alone(video: VideoStream, keyframe: Packet[Any]) -> None:
    context = video.codec_context
    frames = [*context.decode(keyframe), *context.decode(None)]
    context.flush_buffers()
    if len(frames) != 1 or frames[0].is_corrupt:
        raise _damaged_at(keyframe)


def _decode_tail(video: VideoStream, tail: list[Packet[Any]]) -> None:
    """Decode the last keyframe and what is built on it, one frame from another: both ends have to come out whole."""
    context = video.codec_context
    context.skip_frame = "NONREF"  # what no other frame needs
    frames = [frame for packet in (*tail, None) for frame in context.decode(packet)]
    whole = {frame.pts for frame in frames if not frame.is_corrupt}
    if tail and tail[0].pts not in whole:
        raise _damaged_at(tail[0])
    if max((packet.pts or 0 for packet in tail), default=None) not in whole:
        raise _wrong("its last frame cannot be decoded")


def _decode_all(proxy: Path, frames: int, on_decoded: OnDecoded) -> None:
    count = 0
    with av.open(input_url(proxy)) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        video.codec_context.options = _STRICT
        for packet in container.demux([video, *container.streams.audio]):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    count += 1
                    if frame.is_corrupt:
                        raise _wrong(f"its frame at {frame.time or 0:.2f} s is damaged")
                    if count % _TELL_EVERY == 0:
                        on_decoded(count)
    if count != frames:
        raise _wrong(f"{count} of its frames can be decoded, not {frames}")


def _check_times(stamps: list[int], time_base: Fraction, plan: Plan) -> None:
    stamps = sorted(stamps)
    if len(stamps) != plan.frames:
        raise _wrong(f"it has {len(stamps)} frames, not {plan.frames}")
    step = 1 / (PROXY_RATE * time_base)
    if any(pts - stamps[0] != n * step for n, pts in enumerate(stamps)):
        raise _wrong("its frames are not 1/25 s apart")


def _check_sound(found: SoundSpan, wanted: WantedSound | None) -> None:
    if wanted is None:
        return
    if found.start is None:
        raise _wrong("it has no sound")
    if found.start > _HALF_A_FRAME:
        raise _wrong(f"its sound begins at {float(found.start):.3f} s")
    if wanted.margin is not None and abs(found.end - wanted.end) > _HALF_A_FRAME + wanted.margin:
        raise _wrong(f"its sound ends at {float(found.end):.3f} s, not {float(wanted.end):.3f} s")


def _damaged_at(packet: Packet[Any]) -> ItemError:
    return _wrong(f"its frame at {float((packet.pts or 0) * packet.time_base):.2f} s is damaged")


def _wrong(what: str) -> ItemError:
    return ItemError("proxy_wrong", f"As a proxy it is refused: {what}.", "Please report it with the log; the original is untouched.")  # fmt: skip
