"""ffmpeg for every step: where it is, and frames and sound out of it as streams."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

from config.settings import Settings
from workflow_scripts.stepkit.errors import ItemError, PrerequisiteMissing

_PIXEL_BYTES = {"rgb24": 3, "bgr24": 3, "gray": 1}
_AUDIO_BLOCK = 1 << 16
_STDERR_TAIL = 2000


def ffmpeg_binary(settings: Settings) -> Path:
    """Return the ffmpeg to use: FFMPEG_BINARY, else the system's, else the one packaged in this environment.

    Raises PrerequisiteMissing when there is none, or the one that was named does not start.
    """
    return _working_ffmpeg(settings.ffmpeg_binary)


@lru_cache(maxsize=4)
def _working_ffmpeg(named: str | None) -> Path:
    found = shutil.which(named) if named else shutil.which("ffmpeg") or _packaged_ffmpeg()
    if found and _starts(found):
        return Path(found)
    raise PrerequisiteMissing(
        "ffmpeg_missing", f"No working ffmpeg ({named or 'none on the PATH, none in this environment'}).",
        "Set FFMPEG_BINARY to an ffmpeg that starts, or rebuild the environment with `derush envs rebuild`.",
    )  # fmt: skip


def _packaged_ffmpeg() -> str | None:
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _starts(binary: str) -> bool:
    try:
        return subprocess.run([binary, "-version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def input_url(path: Path) -> str:
    """Return a path as ffmpeg takes it literally, whatever characters it begins with or holds."""
    return f"file:{os.path.abspath(path)}"


def decode_frames(
    binary: Path, path: Path, width: int, height: int, pixel_format: str, *, scaler: str = "bilinear"
) -> Generator[bytes, None, None]:
    """Yield each frame of a video's first video stream, scaled to `width` x `height`, as raw bytes, row by row.

    `pixel_format` is rgb24, bgr24 or gray. Frames come as they are stored: none is dropped or repeated.
    Raises ItemError("decode_failed") when ffmpeg reports an error or stops within a frame. Close it to end ffmpeg early.
    """
    size = width * height * _PIXEL_BYTES[pixel_format]
    options = [
        "-map", "0:v:0", "-an", "-sn", "-dn", "-fps_mode", "passthrough", "-vf", f"scale={width}:{height}",
        "-sws_flags", scaler, "-pix_fmt", pixel_format, "-f", "rawvideo",
    ]  # fmt: skip
    for block in _decoded(binary, path, options, size):
        if len(block) != size:
            raise ItemError("decode_failed", f"{path.name} ends within a frame.", _REMEDY)
        yield block


def decode_audio(binary: Path, path: Path, rate: int) -> Generator[bytes, None, None]:
    """Yield the first audio stream as mono float32 (little endian) at `rate` Hz, in blocks.

    Raises ItemError("decode_failed") when ffmpeg reports an error.
    """
    options = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-ac", "1", "-ar", str(rate), "-f", "f32le"]
    yield from _decoded(binary, path, options, _AUDIO_BLOCK)


_REMEDY = "Check that the file plays; run STEP2 on it again with --force."


def _decoded(binary: Path, path: Path, options: Sequence[str], block_size: int) -> Generator[bytes, None, None]:
    """Run ffmpeg and yield its output in blocks of `block_size` bytes, the last one perhaps shorter."""
    command = [str(binary), "-nostdin", "-v", "error", "-i", input_url(path), *options, "pipe:1"]
    # A file takes what ffmpeg complains of: it can never fill up and stop the pipe of frames.
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        assert process.stdout is not None
        try:
            while block := process.stdout.read(block_size):
                yield block
            if process.wait() != 0:
                raise ItemError("decode_failed", f"{path.name} cannot be decoded: {_tail(complaints)}", _REMEDY)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _tail(stream: IO[bytes]) -> str:
    """Return the end of what a temporary file holds."""
    stream.seek(0, os.SEEK_END)
    stream.seek(max(0, stream.tell() - _STDERR_TAIL))
    return stream.read().decode("utf-8", "replace").strip()
