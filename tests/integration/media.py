"""Small real videos, made by ffmpeg at test time."""

from __future__ import annotations

import subprocess
from pathlib import Path

from config.settings import read_settings
from workflow_scripts.stepkit.media import ffmpeg_binary

BINARY = str(ffmpeg_binary(read_settings({})))


def make_clip(path: Path, *, seconds: float = 1.0, audio: bool = True, video: bool = True, rate: str = "25") -> Path:
    """Write a clip with a test picture and a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [BINARY, "-nostdin", "-v", "error", "-y"]
    if video:
        command += ["-f", "lavfi", "-i", f"testsrc=size=160x120:rate={rate}:duration={seconds}"]
    if audio:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    command += ["-pix_fmt", "yuv420p"] if video else []
    subprocess.run([*command, "-c:a", "aac", f"file:{path}"], check=True)
    return path


def one_frame(path: Path) -> Path:
    """Write a video of a single frame."""
    source = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25"]
    options = ["-frames:v", "1", "-pix_fmt", "yuv420p"]
    subprocess.run([BINARY, "-nostdin", "-v", "error", "-y", *source, *options, f"file:{path}"], check=True)
    return path
