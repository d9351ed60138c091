"""One delivered video to its verified proxy, in a private folder: nothing has taken its place yet when this ends."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.step2.commands import DECODED_LIST, encode_command, remux_command
from workflow_scripts.step2.facts import Made
from workflow_scripts.step2.ffmpeg_run import decoded_stamps, run_ffmpeg
from workflow_scripts.step2.frame_map import FrameMap, missing_from
from workflow_scripts.step2.mp4_layout import is_fast_start_mp4
from workflow_scripts.step2.plan import Plan, cautions, plan_for
from workflow_scripts.step2.probe import Probe, probe
from workflow_scripts.step2.verify import verify
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.files import sha256_of


@dataclass(frozen=True)
class Encoder:
    """What makes proxies: the ffmpeg to use and the settings of x264."""

    binary: Path
    preset: str
    crf: int


@dataclass(frozen=True)
class Converted:
    """A verified proxy in the private folder, and all that is known of it."""

    probe: Probe
    plan: Plan
    made: Made
    frame_map: FrameMap
    warnings: list[tuple[str, str]]


def convert(
    source: Path, sha256: str, folder: Path, encoder: Encoder, on_frame: Callable[[int, int], None]
) -> Converted:
    """Make the proxy of `source` in `folder`. `on_frame` gets frames done and frames in all.

    Raises ItemError when nothing of the source can be used, or the result is not what it has to be.
    """
    seen = probe(source)
    plan = plan_for(seen, is_fast_start_mp4=is_fast_start_mp4(source))
    target = folder / "proxy.mp4"
    pts = _make(source, target, seen, plan, encoder, lambda done: on_frame(done, plan.frames))
    has_audio = verify(target, plan)
    made = Made(target, sha256 if plan.method == "linked" else sha256_of(target), has_audio)
    frame_map = FrameMap(seen.video.time_base, seen.pts[0], pts, plan.frames)
    warnings = [*seen.warnings, *_losses(seen.pts, pts), *(cautions(seen) if plan.method == "encoded" else [])]
    return Converted(seen, plan, made, frame_map, warnings)


def _make(
    source: Path, target: Path, seen: Probe, plan: Plan, encoder: Encoder, on_frame: Callable[[int], None]
) -> list[int]:
    """Make the proxy by the planned method; returns the PTS of the original's frames that it could show."""
    if plan.method == "linked":
        _link(source, target)
        return seen.pts
    if plan.method == "remuxed":
        run_ffmpeg(remux_command(encoder.binary, source, target, seen), target.parent, on_frame)
        return seen.pts
    command = encode_command(encoder.binary, source, target, seen, plan, encoder.preset, encoder.crf)
    run_ffmpeg(command, target.parent, on_frame)
    decoded = decoded_stamps(target.parent / DECODED_LIST)
    if not decoded:
        raise ItemError("damaged_source", f"Not one frame of {source.name} can be decoded.", "Copy the file again.")
    return decoded


def _link(source: Path, target: Path) -> None:
    """Give the original a second name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(source, target)


def _losses(expected: list[int], decoded: list[int]) -> list[tuple[str, str]]:
    """Say how many frames the file holds that could not be decoded: their neighbours stand in for them."""
    lost = missing_from(expected, decoded)
    if lost == 0:
        return []
    return [
        (
            "damaged_source",
            f"{lost} of {len(expected)} frames cannot be decoded; the frame before each is shown instead.",
        )
    ]
