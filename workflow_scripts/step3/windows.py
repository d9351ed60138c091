"""The windows TransNetV2 looks at, cut out of a stream of frames in constant memory.

As in the original (https://github.com/soCzech/TransNetV2, `inference/transnetv2.py`): windows of 100 frames every 50,
of which the middle 50 count; the first frame stands 25 times before the video, the last one at least 25 times after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 48, 27
STRIDE, CONTEXT = 50, 25
SCALER = "bicubic"
"""How ffmpeg scales to this size. It is ffmpeg's default, which the network's package relies on: others move the curves."""

Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Middles = Callable[[Pixels], Probabilities]
"""Takes windows (uint8, shape (n, 100, 27, 48, 3)), gives the two probabilities of their middle frames, (n, 50, 2)."""


def windows(frames: Iterable[bytes]) -> Iterator[Pixels]:
    """Yield uint8 windows of shape (100, 27, 48, 3), one for every 50 frames begun; none for no frames.

    `frames` are rgb24 images of 48x27, as bytes. The middle 50 frames of window k are the video's frames 50k to 50k+49;
    in the last window what lies beyond the video's end is its last frame again.
    """
    blocks = _blocks(_padded(frames))
    earlier = next(blocks, None)
    for later in blocks:
        assert earlier is not None
        yield np.concatenate([earlier, later])
        earlier = later


def batches(windows_in: Iterable[Pixels], size: int) -> Iterator[Pixels]:
    """Yield the windows stacked, shape (up to `size`, 100, 27, 48, 3)."""
    stream = iter(windows_in)
    while batch := list(islice(stream, size)):
        yield np.stack(batch)


def _padded(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Repeat the first and the last frame, so that the count becomes a multiple of the stride, one block more than the video's."""
    count, frame = 0, b""
    for count, frame in enumerate(frames, 1):
        yield from repeat(frame, CONTEXT + 1 if count == 1 else 1)
    if count:
        yield from repeat(frame, CONTEXT + -count % STRIDE)


def _blocks(frames: Iterator[bytes]) -> Iterator[Pixels]:
    while block := b"".join(islice(frames, STRIDE)):
        yield np.frombuffer(block, np.uint8).reshape(STRIDE, HEIGHT, WIDTH, 3)
