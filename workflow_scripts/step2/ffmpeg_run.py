"""Running ffmpeg: its progress followed, its complaints drained, never left behind."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from workflow_scripts.stepkit.errors import ItemError

_TAIL = 2000


def run_ffmpeg(command: Sequence[str], folder: Path, on_frame: Callable[[int], None]) -> None:
    """Run a command with `-progress pipe:1` in `folder`; `on_frame` gets the number of frames written so far.

    Raises ItemError with the end of what ffmpeg said when it fails. Whatever ends this call ends ffmpeg.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                key, _equals, value = line.partition("=")
                if key == "frame" and value.strip().isdecimal():
                    on_frame(int(value))
            code = process.wait()
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        if code != 0:
            said = _end_of(complaints)
            raise ItemError("encode_failed", f"ffmpeg ended with code {code}: {said}", "See the log; check that the original plays.")  # fmt: skip


def _end_of(stream: IO[bytes]) -> str:
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
    return stream.read().decode("utf-8", "replace").strip()


def decoded_stamps(listing: Path) -> list[int]:
    """Read the time stamps that ffmpeg's `metadata=print` wrote: lines `frame:0    pts:1001    pts_time:0.033`."""
    stamps = []
    with listing.open(encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if len(words) > 1 and words[0].startswith("frame:") and words[1].startswith("pts:"):
                stamps.append(int(words[1][4:]))
    return sorted(stamps)
