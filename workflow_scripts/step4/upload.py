"""A sound as it is sent to a service: compressed, in as few files as its limit allows, cut where nobody speaks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from workflow_scripts.step4.chain import LinkFailed
from workflow_scripts.step4.sound import RATE, Sound
from workflow_scripts.step4.splitting import HOP_MS, SHORTEST_PART, cuts, levels
from workflow_scripts.stepkit import media

MEDIA_TYPE = "audio/ogg"
BITRATES = (48_000, 32_000, 24_000)
"""Of Opus, the best first. Speech of 8 kHz bandwidth is transparent from 32 kbit/s on, and 24 is what calls over the
internet have; below that it is better to cut."""
_OVERHEAD = 1.02  # what Ogg adds and a constrained encoder overshoots: 1 % at most, measured on speech, noise and tones
_HEADERS = 1000  # bytes: the two header packets of Opus in Ogg, and the last page


@dataclass(frozen=True)
class Part:
    """A stretch of a sound in a file of its own, from `start_ms` of the whole on."""

    path: Path
    start_ms: int
    samples: int

    @property
    def milliseconds(self) -> int:
        """Its length."""
        return round(self.samples * 1000 / RATE)


def prepare(ffmpeg: Path, sound: Sound, folder: Path, limit_mb: float) -> list[Part]:
    """Write a sound to `folder` as Opus in Ogg, 16 kHz mono, in files of at most `limit_mb` million bytes.

    One file if it fits with any of BITRATES; else as few as the lowest allows. The parts follow each other without a
    gap and without an overlap, to the sample. Raises LinkFailed.
    """
    limit = limit_mb * 1e6
    fitting = (rate for rate in BITRATES if _bytes(sound.samples, rate) <= limit)
    bitrate = next(fitting, BITRATES[-1])
    starts = [0]
    if _bytes(sound.samples, bitrate) > limit:
        longest = int((limit - _HEADERS) * 8 / (bitrate * _OVERHEAD) * 1000 / HOP_MS)
        if longest < SHORTEST_PART:
            raise LinkFailed(
                f"not even {SHORTEST_PART * HOP_MS // 1000} s of sound fit in LEMONFOX_MAX_UPLOAD_MB={limit_mb:g}: raise it"
            )
        heard = levels(sound.blocks(ffmpeg))
        starts += [hop * HOP_MS * RATE // 1000 for hop in cuts(heard, longest)]
    return list(_written(ffmpeg, sound, folder, bitrate, starts, limit))


def _bytes(samples: int, bitrate: int) -> float:
    return samples / RATE * bitrate / 8 * _OVERHEAD + _HEADERS


def _written(ffmpeg: Path, sound: Sound, folder: Path, bitrate: int, starts: list[int], limit: float) -> Iterator[Part]:
    for number, (start, end) in enumerate(pairwise([*starts, sound.samples])):
        part = Part(folder / f"part{number:03d}.ogg", start * 1000 // RATE, end - start)
        _compress(ffmpeg, sound, part, bitrate)
        if part.path.stat().st_size > limit:
            raise LinkFailed(f"a compressed part has {part.path.stat().st_size} bytes, more than {limit:.0f}")
        yield part


def _compress(ffmpeg: Path, sound: Sound, part: Part, bitrate: int) -> None:
    # Parts begin at whole milliseconds and their length is a whole number of 1/16000 s, so `trim` loses nothing.
    first = part.start_ms * RATE // 1000
    trim = f"atrim=start_sample={first}:end_sample={first + part.samples},asetpts=N/SR/TB"
    command = [
        str(ffmpeg), "-nostdin", "-v", "error", "-y", "-i", media.input_url(sound.path), "-af", trim,
        "-c:a", "libopus", "-b:a", str(bitrate), "-vbr", "constrained", "-frame_duration", "60",
        # Exact: the same sound is the same file, by which a kept answer is known.
        "-map_metadata", "-1", "-flags:a", "+bitexact", "-fflags", "+bitexact", media.input_url(part.path),
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise LinkFailed(f"{ffmpeg.name} cannot compress the sound with Opus: {said}")
