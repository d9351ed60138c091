"""A video's sound, brought once into the one form that every engine of this step takes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workflow_scripts.stepkit import ItemError, media

Waveform = npt.NDArray[np.float32]
RATE = 16_000
SHORTEST_SAMPLES = RATE // 10
"""A tenth of a second: in less nobody says anything, services refuse it, and networks have nothing to look at."""
_TOTAL_SAMPLES = slice(21, 26)  # of a FLAC file: the last 36 bits of 5 bytes of STREAMINFO (RFC 9639, 8.2)


@dataclass(frozen=True)
class Sound:
    """A FLAC file, 16 kHz mono, whose first sample is at the first frame of the video."""

    path: Path
    samples: int

    @property
    def milliseconds(self) -> int:
        """Its length."""
        return round(self.samples * 1000 / RATE)

    def blocks(self, ffmpeg: Path) -> Iterator[Waveform]:
        """Decode it, a block of (samples,), from -1 to 1, at a time: the whole takes 230 MB for an hour."""
        for block in media.decode_audio(ffmpeg, self.path, RATE):
            yield np.frombuffer(block, dtype="<f4")

    def waveform(self, ffmpeg: Path) -> Waveform:
        """Decode the whole of it at once."""
        whole, done = np.zeros(self.samples, dtype=np.float32), 0  # not joined out of its blocks: that takes it twice
        for block in self.blocks(ffmpeg):
            whole[done : done + len(block)] = block[: self.samples - done]
            done += len(block)
        return whole


def cut(blocks: Iterable[Waveform], spans: Sequence[tuple[int, int]]) -> Iterator[Waveform]:
    """Yield the sound of each span of samples [start, end), padded with silence behind the end of the sound.

    Spans are in the order of their starts and may overlap. Only what is still needed of the sound is kept.
    """
    source = iter(blocks)
    held, start = np.zeros(0, dtype=np.float32), 0  # what was read and may still be needed, and its first sample
    for first, end in spans:
        while start + len(held) <= first and (block := next(source, None)) is not None:
            start += len(held)
            held = block
        pieces, last = [held], start + len(held)
        while last < end and (block := next(source, None)) is not None:
            pieces.append(block)
            last += len(block)
        held = np.concatenate(pieces)[max(0, first - start) :]
        start = min(max(start, first), last)
        yield np.pad(held[: end - first], (0, max(0, end - first - len(held))))


def extract_sound(ffmpeg: Path, video: Path, target: Path) -> Sound:
    """Write the first audio stream of a video to `target`, a path that ends in .flac.

    Silence fills what is missing before it begins and between its packets, so that times are those of the video.
    Raises ItemError("decode_failed").
    """
    command = [
        str(ffmpeg), "-nostdin", "-v", "error", "-y", "-i", media.input_url(video), "-map", "0:a:0", "-vn", "-sn", "-dn",
        "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(RATE), "-c:a", "flac", media.input_url(target),
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:]
        remedy = "Check that the file plays; run STEP2 on it again with --force."
        raise ItemError("decode_failed", f"The sound of {video.name} cannot be decoded: {said}", remedy)
    return Sound(target, _samples(target))


def _samples(flac: Path) -> int:
    with flac.open("rb") as file:
        field = file.read(_TOTAL_SAMPLES.stop)[_TOTAL_SAMPLES]
    return int.from_bytes(field, "big") & ((1 << 36) - 1)
