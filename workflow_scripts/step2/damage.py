"""What of an original could not be decoded, counted: nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av

from workflow_scripts.step2.commands import count_command
from workflow_scripts.step2.ffmpeg_run import Complaints, run_ffmpeg
from workflow_scripts.step2.probe import Probe
from workflow_scripts.step2.stamps import missing_from
from workflow_scripts.stepkit.media import input_url


def losses(binary: Path, source: Path, probe: Probe, decoded: Sequence[int], said: Complaints) -> list[tuple[str, str]]:
    """Say what of an original is not in its proxy: by the time stamps of what was decoded, and by what ffmpeg said.

    Where it complained the original is decoded once more, because decoders that work on several frames at a time tell
    of some damaged frames only.
    """
    frames, missing = len(probe.pts), missing_from(probe.pts, decoded)
    counted = _said(missing, f"{missing} of {frames} frames cannot be decoded; the frame before each is shown instead.")
    if said.corrupt_frames or said.errors:
        counting = run_ffmpeg(count_command(binary, source, probe), source.parent, lambda _done, _pace: None)
        damaged, mute = counting.corrupt_frames, _undecodable_sound(source, probe)
        counted += _said(damaged, f"{damaged} of {frames} frames are damaged; what could be decoded of them is shown.")
        counted += _said(mute, f"{mute} packets of the sound cannot be decoded; there is silence instead.")
    if counted or probe.warnings:
        return counted
    # What none of these counts may be harmless, or mended by the decoder: it is said as ffmpeg says it.
    return _said(said.errors, f"ffmpeg complained {said.errors} times, the first time of: {said.first}")


def _said(count: int, sentence: str) -> list[tuple[str, str]]:
    return [("damaged_source", sentence)] if count else []


def _undecodable_sound(source: Path, probe: Probe) -> int:
    """Return how many packets of the sound give an error."""
    errors = 0
    with av.open(input_url(source), metadata_errors="replace") as container:
        tracks = [container.streams[index] for index in (probe.audio.tracks if probe.audio else ())]
        packets = container.demux(tracks) if tracks else iter(())
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return errors
                packet.decode()
            except av.FFmpegError:
                errors += 1
