"""One delivered video to its verified proxy, in a private folder: nothing has taken its place yet when this ends."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from workflow_scripts.step2.commands import DECODED_LIST, encode_command, remux_command
from workflow_scripts.step2.damage import losses
from workflow_scripts.step2.encoders import SOFTWARE, Choice, coding
from workflow_scripts.step2.ffmpeg_run import OnFrame, decoded_stamps, filters_of, run_ffmpeg
from workflow_scripts.step2.mp4_layout import is_fast_start_mp4
from workflow_scripts.step2.plan import Plan, cautions, encoding_plan, is_hdr, sound_end, untouched_plan
from workflow_scripts.step2.probe import Probe, replace_it
from workflow_scripts.step2.verify import WantedSound, verify
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.files import sha256_of
from workflow_scripts.stepkit.frame_map import FrameMap

_PROXY = "proxy.mp4"


@dataclass(frozen=True)
class Way:
    """How proxies are to be made. `encoder` is asked only when something has to be encoded.

    `threads` are those of decoder and encoder; None leaves their number to ffmpeg. `full_proof`: a proxy is decoded whole
    before it counts.
    """

    binary: Path
    preset: str
    crf: int
    speed_up_film: bool
    encoder: Callable[[], Choice]
    threads: int | None = None
    full_proof: bool = False


@dataclass(frozen=True)
class Made:
    """A proxy that was verified; `encoder` is None where nothing was encoded."""

    path: Path
    sha256: str
    has_audio: bool
    encoder: str | None


@dataclass(frozen=True)
class Converted:
    """A verified proxy in the private folder, and all that is known of it.

    `warnings` are about the original and stay with it; `notes` are about this machine.
    """

    plan: Plan
    made: Made
    frame_map: FrameMap
    warnings: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


OnFrames = Callable[[int, int, str], None]
"""Called with the frames done, the frames in all, and how fast."""


def convert(source: Path, sha256: str, seen: Probe, folder: Path, way: Way, on_frames: OnFrames) -> Converted:
    """Make the proxy of `source`, whose sha256 and facts are known, in `folder`.

    Raises ItemError when nothing of the source can be used, or the result is not what it has to be.
    """
    plan = untouched_plan(seen, is_fast_start_mp4=is_fast_start_mp4(source))
    if plan is None:
        return _encoded(source, seen, folder, way, on_frames)
    try:
        return _untouched(source, sha256, seen, plan, folder, way, on_frames)
    except ItemError as error:  # it only looks like a proxy: what can be decoded of it is encoded
        (folder / _PROXY).unlink(missing_ok=True)
        converted = _encoded(source, seen, folder, way, on_frames)
        return replace(
            converted,
            warnings=[
                ("cannot_stay", f"It was encoded, though it looks like a proxy: {error.message}"),
                *converted.warnings,
            ],
        )


def _untouched(
    source: Path, sha256: str, seen: Probe, plan: Plan, folder: Path, way: Way, on_frames: OnFrames
) -> Converted:
    """Leave the streams as they are: a second name for the file, or another container."""
    target = folder / _PROXY
    if plan.method == "linked":
        _link(source, target)
    else:
        run_ffmpeg(remux_command(way.binary, source, target, seen), folder, _counting(plan, on_frames))
    wanted = _wanted_sound(seen, plan, margin=Fraction(0))  # the same packets end at the same time
    verify(target, plan, wanted, _proving(way, plan, on_frames))
    made = Made(target, sha256 if plan.method == "linked" else sha256_of(target), seen.audio is not None, None)
    return Converted(plan, made, _frame_map(seen, plan, seen.pts))


def _encoded(source: Path, seen: Probe, folder: Path, way: Way, on_frames: OnFrames) -> Converted:
    """Encode, by the chosen encoder; where that fails on this video, by x264."""
    filters = filters_of(way.binary) if way.speed_up_film or is_hdr(seen.video) else frozenset()
    plan = encoding_plan(seen, speed_up_film=way.speed_up_film, filters=filters)
    choice = way.encoder()
    chosen, notes = choice.name, [("encoder_not_here", choice.note)] if choice.note else []
    while True:
        try:
            decoded, lost = _encode(source, seen, plan, chosen, folder, way, on_frames)
            break
        except ItemError as error:
            if chosen == SOFTWARE:
                raise
            notes.append(("encoder_failed", f"{chosen} failed on this video, {SOFTWARE} is used: {error.message}"))
            chosen = SOFTWARE
    target = folder / _PROXY
    made = Made(target, sha256_of(target), seen.audio is not None, chosen)
    warnings = [*seen.warnings, *lost, *cautions(seen, plan)]
    return Converted(plan, made, _frame_map(seen, plan, decoded), warnings, notes)


def _encode(
    source: Path, seen: Probe, plan: Plan, encoder: str, folder: Path, way: Way, on_frames: OnFrames
) -> tuple[list[int], list[tuple[str, str]]]:
    """Encode and verify; returns the PTS of the original's frames that were decoded, and what is lost."""
    target = folder / _PROXY
    how = coding(encoder, way.preset, way.crf)
    command = encode_command(way.binary, source, target, seen, plan, how, way.threads)
    said = run_ffmpeg(command, folder, _counting(plan, on_frames))
    decoded = decoded_stamps(folder / DECODED_LIST)
    if not decoded:
        raise ItemError("damaged_source", f"Not one frame of {source.name} can be decoded.", replace_it(source))
    if not seen.has_pts:  # they are counted from the first one
        decoded = [stamp - decoded[0] + seen.pts[0] for stamp in decoded]
    lost = losses(way.binary, source, seen, decoded, said)
    margin = None if seen.audio is None or seen.warnings or lost else seen.audio.packet
    verify(target, plan, _wanted_sound(seen, plan, margin), _proving(way, plan, on_frames))
    return decoded, lost


def _counting(plan: Plan, on_frames: OnFrames) -> OnFrame:
    return lambda done, pace: on_frames(done, plan.frames, pace)


def _proving(way: Way, plan: Plan, on_frames: OnFrames) -> Callable[[int], None] | None:
    """Return what tells of a proof that decodes all of a proxy; None where the short one is wanted."""
    return (lambda _done: on_frames(plan.frames, plan.frames, "checking")) if way.full_proof else None


def _wanted_sound(seen: Probe, plan: Plan, margin: Fraction | None) -> WantedSound | None:
    end = sound_end(seen, plan)
    return None if end is None else WantedSound(end, margin)


def _frame_map(seen: Probe, plan: Plan, pts: list[int]) -> FrameMap:
    return FrameMap(seen.video.time_base, seen.pts[0], pts, plan.frames, plan.rate)


def _link(source: Path, target: Path) -> None:
    """Give the original a second name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(source, target)
