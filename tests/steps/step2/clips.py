"""Clips that carry their own frame number in the picture: sixteen bars, one a bit, white for 1."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, BITS = 128, 64, 16


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> av.VideoFrame:
    bars = np.array([235 if number >> bit & 1 else 16 for bit in range(BITS)], dtype=np.uint8)
    row = np.repeat(bars, width // BITS + 1)[:width] if width % BITS else np.repeat(bars, width // BITS)
    luma = np.tile(row, (height, 1))
    return av.VideoFrame.from_ndarray(np.repeat(luma[:, :, None], 3, 2), format="rgb24")


def number_in(frame: av.VideoFrame) -> int:
    row = frame.to_ndarray(format="gray")[frame.height // 2].astype(int)
    centres = [(2 * bit + 1) * frame.width // (2 * BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, centre in enumerate(centres) if row[centre] > 125)


def numbers_in(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [number_in(frame) for frame in container.decode(video=0)]


def times_at(rate: Fraction, count: int, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + n / rate for n in range(count)]


def write_clip(
    path: Path,
    times: Sequence[Fraction],
    time_base: Fraction,
    *,
    tone: tuple[Fraction, Fraction, Fraction] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    audio_codec: str = "aac",
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a frame at each time; `tone` is (start of the sound track, onset of a tone in it, end), in seconds."""
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
            for frame in _sound(*tone):
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return path


def _sound(start: Fraction, onset: Fraction, end: Fraction) -> list[av.AudioFrame]:
    clock = np.arange(round(start * 48000), round(end * 48000)) / 48000
    wave = np.where(clock >= float(onset), 0.6 * np.sin(2 * np.pi * 1000 * clock), 0).astype(np.float32)
    frames = []
    for first in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), round(start * 48000) + first
        frames.append(frame)
    return frames
