"""Clips that carry their own frame number in the picture: sixteen bars, one a bit, white for 1.

And in the sound a tone that is switched on and off at known times.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

from workflow_scripts.stepkit.media import decode_audio

WIDTH, HEIGHT, BITS = 128, 64, 16


def ffmpeg(*arguments: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True, timeout=60)


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> av.VideoFrame:
    bars = np.array([235 if number >> bit & 1 else 16 for bit in range(BITS)], dtype=np.uint8)
    row = np.repeat(bars, width // BITS + 1)[:width] if width % BITS else np.repeat(bars, width // BITS)
    luma = np.tile(row, (height, 1))
    return av.VideoFrame.from_ndarray(np.repeat(luma[:, :, None], 3, 2), format="rgb24")


def number_in(frame: av.VideoFrame, below: int = 0) -> int:
    """Read the number in the middle row of a frame, or in one `below` it."""
    row = frame.to_ndarray(format="gray")[frame.height // 2 + below].astype(int)
    centres = [(2 * bit + 1) * frame.width // (2 * BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, centre in enumerate(centres) if row[centre] > 125)


def numbers_in(path: Path, below: int = 0) -> list[int]:
    with av.open(str(path)) as container:
        return [number_in(frame, below) for frame in container.decode(video=0)]


def times_at(rate: Fraction, count: int, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + n / rate for n in range(count)]


def write_clip(
    path: Path,
    times: Sequence[Fraction],
    time_base: Fraction,
    *,
    tone: Sequence[Fraction] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    audio_codec: str = "aac",
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a frame at each time.

    `tone` is the start of the sound track, the times at which a tone in it is switched (on, off, on…), and the end of the
    track, all in seconds.
    """
    with av.open(str(path), "w", options=container_options or {}) as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = width, height, pixel_format
        video.codec_context.time_base = time_base
        video.options = options or {}
        sound = container.add_stream(audio_codec, rate=48000, layout="mono") if tone else None
        for number, time in enumerate(times):
            frame = picture(number, width, height)
            frame.pts, frame.time_base = floor(time / time_base + Fraction(1, 2)), time_base
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None and tone is not None:
            for frame in _sound(tone[0], tone[1:-1], tone[-1]):
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


def wave_of(start: Fraction, switches: Sequence[Fraction], end: Fraction) -> np.ndarray:
    clock = np.arange(round(start * 48000), round(end * 48000)) / 48000
    is_on = np.searchsorted([float(switch) for switch in switches], clock, side="right") % 2 == 1
    return np.where(is_on, 0.6 * np.sin(2 * np.pi * 1000 * clock), 0).astype(np.float32)


def switches_in(path: Path) -> list[float]:
    """When the tone in a file's sound is switched, in seconds after the beginning of the sound."""
    binary = Path(imageio_ffmpeg.get_ffmpeg_exe())
    wave = np.frombuffer(b"".join(decode_audio(binary, path, 48000)), np.float32)
    step = 48  # a millisecond, a period of the tone
    loud = np.abs(wave[: len(wave) // step * step]).reshape(-1, step).max(axis=1) > 0.2
    edges: list[float] = []
    for at in np.flatnonzero(np.diff(loud.astype(int))):
        time = float(at + 1) / 1000
        if edges and time - edges[-1] < 0.02:  # a tone that was stretched may waver where it is switched
            edges.pop()
        else:
            edges.append(time)
    return edges


def _sound(start: Fraction, switches: Sequence[Fraction], end: Fraction) -> list[av.AudioFrame]:
    wave = wave_of(start, switches, end)
    frames = []
    for first in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), round(start * 48000) + first
        frames.append(frame)
    return frames
