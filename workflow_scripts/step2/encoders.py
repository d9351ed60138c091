"""The H.264 encoders, and which of them work on this machine: found out by encoding one second.

What was found is kept in `DATA_DIR/encoders.json` for as long as ffmpeg and the machine's devices stay the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.stepkit.files import write_json

SCHEMA = "derush.encoders/1"
SOFTWARE = "libx264"
HARDWARE = ("h264_nvenc", "h264_qsv", "h264_vaapi", "h264_videotoolbox")
"""In the order in which they are tried: what is fastest where it works comes first."""
GROUP = 50
"""Frames from one keyframe to the next at most, two seconds: a player finds any frame at once."""
_PATIENCE = 30
"""Seconds that a driver gets to encode one second."""
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Coding:
    """How an encoder is called: options before the inputs, names of filters behind the picture's, output options."""

    before: Mapping[str, Any]
    filters: tuple[tuple[str, tuple[Any, ...]], ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """An encoder that works here, and why others that were tried before it do not.

    `note` says so to a person where the one that was asked for does not work.
    """

    name: str
    refused: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def coding(encoder: str, preset: str, crf: int) -> Coding:
    """Return how an encoder makes a picture of the quality that x264 gives at this `crf`, as near as its own scale comes.

    `preset` is x264's; the others are left at their middle one. What is said of hardware follows ffmpeg's documentation:
    only x264 was measured.
    """
    options: dict[str, Any] = {"c:v": encoder, "g": GROUP}
    if encoder == "h264_vaapi":
        upload = (("format", ("nv12",)), ("hwupload", ()))
        return Coding({"vaapi_device": _render_node()}, upload, {**options, "rc_mode": "CQP", "qp": crf})
    own: dict[str, dict[str, Any]] = {
        SOFTWARE: {"preset": preset, "crf": crf, "pix_fmt": "yuv420p"},
        "h264_nvenc": {"preset": "p4", "rc": "vbr", "cq": crf, "b:v": 0, "pix_fmt": "yuv420p"},
        "h264_qsv": {"preset": "veryfast", "global_quality": crf, "pix_fmt": "nv12"},
        # From 1 to 100, and 100 is best.
        "h264_videotoolbox": {"q:v": max(1, 100 - 2 * crf), "pix_fmt": "yuv420p"},
    }
    return Coding({}, (), {**options, **own[encoder]})


def choose(binary: Path, wanted: str, data_dir: Path) -> Choice:
    """Return the encoder to use: the one that is wanted, with `auto` the first that works; x264 when it does not."""
    if wanted == SOFTWARE:
        return Choice(SOFTWARE)
    refused: dict[str, str] = {}
    for name in HARDWARE if wanted == "auto" else (wanted,):
        reason = _why_not_here(binary, name, data_dir)
        if not reason:
            return Choice(name, refused)
        refused[name] = reason
    note = "" if wanted == "auto" else f"{wanted} does not work here ({refused[wanted]}); {SOFTWARE} is used."
    return Choice(SOFTWARE, refused, note)


def why_not(binary: Path, encoder: str) -> str:
    """Encode one second; returns why that cannot be done, or nothing when it can."""
    how = coding(encoder, "veryfast", 20)
    filters = ",".join("=".join((name, *map(str, arguments))) for name, arguments in how.filters) or "null"
    command = [
        str(binary), "-nostdin", "-hide_banner", "-v", "error", *_flags(how.before),
        "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=1", "-vf", filters, *_flags(how.options),
        "-f", "null", "-",
    ]  # fmt: skip
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:_LONGEST_REASON]
    if ended.returncode == 0:
        return ""
    said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = said[0].rpartition("] ")[2] if said else f"ffmpeg ended with code {ended.returncode}"
    return reason[:_LONGEST_REASON]


def _flags(options: Mapping[str, Any]) -> list[str]:
    return [part for name, value in options.items() for part in (f"-{name}", str(value))]


def _render_node() -> str:
    """Return the first GPU that Linux gives programs without a screen."""
    return str(next(iter(sorted(Path("/dev/dri").glob("renderD*"))), "/dev/dri/renderD128"))


def _why_not_here(binary: Path, encoder: str, data_dir: Path) -> str:
    """Return why an encoder does not work on this machine, found out once; where that cannot be kept, once more."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / ".encoders.lock").open("w")
    except OSError:
        return why_not(binary, encoder)
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one finds out, the others read
        path = data_dir / "encoders.json"
        machines = _kept(path)
        found = machines.setdefault(_machine(binary), {})
        if encoder not in found:
            found[encoder] = why_not(binary, encoder)
            with suppress(OSError):
                write_json(path, {"schema": SCHEMA, "machines": machines})
        return found[encoder]


def _kept(path: Path) -> dict[str, dict[str, str]]:
    """Return what was found out, by machine; a file that is absent or damaged is as good as none."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        machines = known["machines"] if known["schema"] == SCHEMA else {}
        return {
            machine: {name: str(why) for name, why in found.items() if name in HARDWARE}
            for machine, found in machines.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _machine(binary: Path) -> str:
    """Return a digest of what decides which encoders work: the host, its GPUs' devices and driver, and ffmpeg."""
    status = binary.stat()
    devices = sorted(str(path) for glob in ("dri/renderD*", "nvidia[0-9]*") for path in Path("/dev").glob(glob))
    driver = Path("/proc/driver/nvidia/version")
    parts = [
        platform.node(), platform.platform(), str(binary.resolve()), str(status.st_size), str(status.st_mtime_ns),
        *devices, driver.read_text() if driver.is_file() else "",
    ]  # fmt: skip
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
