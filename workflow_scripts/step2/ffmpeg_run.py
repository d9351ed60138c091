"""Running ffmpeg: its progress followed, its complaints drained, never left behind."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from workflow_scripts.stepkit.errors import ItemError

_TAIL = 2000
_LONGEST = 200
_CORRUPT = b"corrupt decoded frame"
"""What every ffmpeg since 4 says once for each frame that came out of its decoder with damage; nothing else tells it."""
_ERROR = b"[error]"


@dataclass(frozen=True)
class Complaints:
    """What ffmpeg complained of although it went on: how many damaged frames, how many errors of any kind, and the first."""

    corrupt_frames: int = 0
    errors: int = 0
    first: str = ""


OnFrame = Callable[[int, str], None]
"""Called with the number of frames written so far, and how fast: `143 fps`."""


def run_ffmpeg(command: Sequence[str], folder: Path, on_frame: OnFrame) -> Complaints:
    """Run a command with `-v level+warning -progress pipe:1` in `folder`; returns what it complained of.

    `on_frame` is called only when there are more frames than before: ffmpeg goes on reporting when it is stuck.
    Raises ItemError with the end of what ffmpeg said when it fails. Whatever ends this call ends ffmpeg.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
        )
        assert process.stdout is not None
        try:
            _follow(process.stdout, on_frame)
            code = process.wait()
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        if code != 0:
            said = _end_of(complaints)
            raise ItemError("encode_failed", f"ffmpeg ended with code {code}: {said}", "See the log; check that the original plays.")  # fmt: skip
        return _counted(complaints)


def _counted(complaints: IO[bytes]) -> Complaints:
    complaints.seek(0)
    corrupt = errors = 0
    first = ""
    for line in complaints:
        corrupt += _CORRUPT in line
        if _ERROR in line:
            errors += 1
            first = first or line.partition(_ERROR)[2].decode("utf-8", "replace").strip()[:_LONGEST]
    return Complaints(corrupt, errors, first)


def _follow(report: Iterable[str], on_frame: OnFrame) -> None:
    """Read what `-progress` writes: blocks of lines `key=value`, `frame` and `fps` among them, until the end."""
    frames, known = 0, 0
    for line in report:
        key, _equals, value = (part.strip() for part in line.partition("="))
        if key == "frame" and value.isdecimal():
            known = int(value)
        elif key == "fps" and known > frames:
            frames = known
            on_frame(frames, f"{float(value):.0f} fps")


def _end_of(stream: IO[bytes]) -> str:
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
    return stream.read().decode("utf-8", "replace").strip()


@lru_cache(maxsize=8)
def filters_of(binary: Path) -> frozenset[str]:
    """Return the names of the filters that an ffmpeg has."""
    listed = subprocess.run([str(binary), "-hide_banner", "-filters"], capture_output=True, text=True, timeout=60)
    return frozenset(words[1] for words in map(str.split, listed.stdout.splitlines()) if len(words) > 2)


def decoded_stamps(listing: Path) -> list[int]:
    """Read the time stamps that ffmpeg's `metadata=print` wrote: lines `frame:0    pts:1001    pts_time:0.033`."""
    stamps = []
    with listing.open(encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if len(words) > 1 and words[0].startswith("frame:") and words[1].startswith("pts:"):
                stamps.append(int(words[1][4:]))
    return sorted(stamps)
