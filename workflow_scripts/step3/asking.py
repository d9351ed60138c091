"""Both curves of a video: its frames decoded, the network asked, damage found out and told."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.step3.ahead import ReadAhead
from workflow_scripts.step3.footage import Damage, Footage
from workflow_scripts.step3.scene_files import Seen, Thousandths, permille
from workflow_scripts.step3.windows import HEIGHT, SCALER, WIDTH
from workflow_scripts.stepkit import ItemError, Task

if TYPE_CHECKING:
    from workflow_scripts.step3.network import Network

_AHEAD = 1000
"""Frames of a video that may wait decoded, 4 MB."""


class Decoding:
    """A video that is decoded as its frames are stored, ahead of who reads them; `complaints` are ffmpeg's, at their end."""

    def __init__(self, footage: Footage) -> None:
        self.complaints: list[str] = []
        self._of = _state_of(footage)
        self.frames = ReadAhead(footage.decoded(WIDTH, HEIGHT, SCALER, self.complaints.append), _AHEAD)

    def is_of(self, footage: Footage) -> bool:
        """Tell whether it is this footage's, and the file has not changed since."""
        return self._of == _state_of(footage)


def _state_of(footage: Footage) -> tuple[Footage, int, int]:
    status = footage.path.stat()
    return footage, status.st_size, status.st_mtime_ns


class Decoder:
    """Begins to decode the video that comes next while the network is at work on this one."""

    def __init__(self) -> None:
        self._next: Decoding | None = None

    def take(self, footage: Footage) -> Decoding:
        """Return the decoding of a video: what was begun of it, else a new one. The caller closes its frames."""
        begun = self._next
        if begun is not None and begun.is_of(footage):
            self._next = None
            return begun
        self.close()
        return Decoding(footage)

    def begin(self, footage: Footage) -> None:
        """Begin with the video that comes next."""
        self.close()
        self._next = Decoding(footage)

    def close(self) -> None:
        """Let go of what was begun."""
        if self._next is not None:
            self._next.frames.close()
            self._next = None


def see(network: Network, footage: Footage, decoding: Decoding, task: Task) -> Seen:
    """Ask the network about a video, and return both curves, a value for each frame.

    Where frames cannot be decoded, it is done again with every frame in its place. Raises ItemError when none can be, and
    when the video has other frames than STEP2 counted without being damaged.
    """
    total = footage.frames
    try:
        curves = _curves(network, decoding.frames, total, task)
    except ItemError as failure:
        damage = _survey(footage, task) if decoding.complaints or failure.code == "decode_failed" else None
        if damage is None or not damage.lost:
            raise
    else:
        if not decoding.complaints:
            return Seen(curves)
        damage = _survey(footage, task)
        if damage is None or not damage.stretches:
            task.warning(
                "damaged_frames", f"Every frame can be decoded, but ffmpeg complained: {decoding.complaints[-1]}"
            )
            return Seen(curves)
    task.warning("damaged_frames", damage.sentence(total))
    if damage.lost:
        placed = ReadAhead(footage.placed(WIDTH, HEIGHT, SCALER), _AHEAD)
        curves = _curves(network, placed, total, task)
    return Seen(curves, damage.stretches)


def _survey(footage: Footage, task: Task) -> Damage | None:
    return footage.survey(partial(task.progress, footage.frames - 1, footage.frames, "frames", "looking for damage"))


def _curves(network: Network, frames: ReadAhead[bytes], total: int, task: Task) -> dict[str, Thousandths]:
    """Return both curves, a value for each of the `total` frames, under the names that the JSON file gives them."""
    singles, manies, done = [], [], 0
    with closing(frames):
        for single, many in network.curves(frames):
            singles.append(permille(single))
            manies.append(permille(many))
            done = min(done + len(single), total)
            task.progress(min(done, total - 1), total, "frames")  # the files are still to come
    return {"single_frame": np.concatenate(singles)[:total], "many_hot": np.concatenate(manies)[:total]}
