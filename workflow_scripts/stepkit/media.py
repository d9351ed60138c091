"""ffmpeg for every step: where it is, and frames and sound out of it as streams."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import IO

from config.settings import Settings
from workflow_scripts.stepkit.errors import ItemError, PrerequisiteMissing
from workflow_scripts.stepkit.timebase import PROXY_RATE

_PIXEL_BYTES = {"rgb24": 3, "bgr24": 3, "gray": 1}
_AUDIO_BLOCK = 1 << 16
_LIST_BLOCK = 1 << 16
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


@dataclass(frozen=True)
class Entry:
    """A frame from which a video can be decoded without what comes before.

    `pts` is its time in the stream's own units, `seconds` is where ffmpeg is to seek to reach it.
    """

    pts: int
    seconds: float


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video's first video stream as its container lists them: how many, and where one may enter (by frame)."""

    frames: int
    entries: dict[int, Entry]


_SEEK_BACK = Fraction(3, 23)
"""Seconds that ffmpeg seeks back of what it is told, where frames are stored in another order than they are shown."""
_LEAST_GROUP = 25
"""Frames that must follow until the next entry for the seek to be told that much later: else it could land on that one."""


def index_frames(binary: Path, path: Path) -> FrameIndex:
    """Read where the frames of a video are, without decoding them.

    Only H.264 has entries: there ffmpeg's seek was seen to be exact to the frame, with open groups of pictures as well.
    Raises ItemError("decode_failed") when ffmpeg cannot read it to its end.
    """
    options = ["-map", "0:v:0", "-c", "copy", "-copyts", "-f", "framecrc"]
    listed = b"".join(_decoded(binary, path, options, _LIST_BLOCK, ("-copyts",))).decode("ascii", "replace")
    facts = dict(line[1:].split(" 0: ", 1) for line in listed.splitlines() if line.startswith("#") and " 0: " in line)
    packets = sorted(_packet(line) for line in listed.splitlines() if line and not line.startswith("#"))
    if facts.get("codec_id") != "h264":
        return FrameIndex(len(packets), {})
    keys = [number for number, (_pts, is_key) in enumerate(packets) if is_key]
    unit = Fraction(facts["tb"])
    entries = {}
    for key, following in zip(keys, [*keys[1:], len(packets)], strict=True):
        pts = packets[key][0]
        later = _SEEK_BACK + Fraction(1, 1000) if following - key >= _LEAST_GROUP else Fraction(0)
        entries[key] = Entry(pts, float(pts * unit + later))
    return FrameIndex(len(packets), entries)


def _packet(line: str) -> tuple[int, bool]:
    """Read the presentation time and whether it is a key frame: `stream, dts, pts, duration, size, hash[, F=flags]`."""
    values = [value.strip() for value in line.split(",")]
    return int(values[2]), not any(value.startswith("F=0x0") for value in values[6:])


def decode_frames(
    binary: Path, path: Path, width: int, height: int, pixel_format: str, *, scaler: str = "bilinear",
    entry: Entry | None = None, until: Entry | None = None, begins: Fraction | None = None, threads: int = 0,
    on_damage: Callable[[str], object] | None = None,
) -> Generator[bytes, None, None]:  # fmt: skip
    """Yield each frame of a video's first video stream, scaled to `width` x `height`, as raw bytes, row by row.

    `pixel_format` is rgb24, bgr24 or gray. Frames come as they are stored: none is dropped or repeated. With `entry`, those
    from that frame on, with `until`, those before that one. `threads` of the decoder: 0 leaves it to ffmpeg. `on_damage`
    gets the end of what ffmpeg complained of while it went on. With `begins`, the time in seconds of a damaged proxy's first
    frame, each frame comes at the place its time gives it, however many are damaged: one that cannot be decoded is the one
    before once more, and those lost at the end are left out.
    Raises ItemError("decode_failed") when ffmpeg reports an error or stops within a frame. Close it to end ffmpeg early.
    """
    size = width * height * _PIXEL_BYTES[pixel_format]
    before: tuple[str, ...] = ("-threads", str(threads)) if threads else ()
    limits = []
    if entry is not None:
        # Wherever it lands before the entry, what is shown earlier is left out by its time.
        before += ("-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{entry.seconds:.6f}")
        limits.append(f"gte(pts,{entry.pts})")
    if until is not None:
        limits.append(f"lt(pts,{until.pts})")
    before += ("-copyts",) if limits else ()
    chosen = f"select='{'*'.join(limits)}'," if limits else ""
    if begins is not None:
        before += ("-copyts", "-max_error_rate", "1")
        chosen = f"fps={PROXY_RATE}:start_time={float(begins):.6f}:round=near,"
    options = [
        "-map", "0:v:0", "-an", "-sn", "-dn", "-fps_mode", "passthrough", "-vf", f"{chosen}scale={width}:{height}",
        "-sws_flags", scaler, "-pix_fmt", pixel_format, "-f", "rawvideo",
    ]  # fmt: skip
    for block in _decoded(binary, path, options, size, before, on_damage):
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


def _decoded(
    binary: Path, path: Path, options: Sequence[str], block_size: int, before: Sequence[str] = (),
    on_damage: Callable[[str], object] | None = None,
) -> Generator[bytes, None, None]:  # fmt: skip
    """Run ffmpeg and yield its output in blocks of `block_size` bytes, the last one perhaps shorter.

    `options` are the output's, `before` the input's.
    """
    command = [str(binary), "-nostdin", "-v", "error", *before, "-i", input_url(path), *options, "pipe:1"]
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
            went_well = process.wait() in (0, -signal.SIGKILL)  # killed here: nobody wants the rest
            if on_damage is not None and went_well and (complained := _tail(complaints)):
                on_damage(complained)


def _tail(stream: IO[bytes]) -> str:
    """Return the end of what a temporary file holds."""
    stream.seek(0, os.SEEK_END)
    stream.seek(max(0, stream.tell() - _STDERR_TAIL))
    return stream.read().decode("utf-8", "replace").strip()
