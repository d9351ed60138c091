"""Decoded frames on their way to an engine: counted, some ahead, as arrays."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from workflow_scripts.step5.detections import Frame
from workflow_scripts.stepkit import ItemError

Thing = TypeVar("Thing")
_REMEDY = "Run STEP2 on it again with --force."


def miscounted(found: str, recorded: int) -> ItemError:
    """Make the error for a video that has not as many frames as STEP2 recorded."""
    return ItemError("frame_count", f"The video has {found} frames, and STEP2 recorded {recorded}.", _REMEDY)


def exactly(frames: Iterable[bytes], first: int, end: int, total: int) -> Iterator[bytes]:
    """Pass on frames `first` to `end` (0-based, half-open) of a video that is to have `total`; what follows is not read.

    Raises ItemError when there are fewer, or more after the video's last.
    """
    coming = iter(frames)
    count = first
    for frame in islice(coming, end - first):
        count += 1
        yield frame
    if count < end:
        raise ItemError("frame_count", f"Of frames {first + 1} to {end} only {count - first} can be decoded.", _REMEDY)
    if end == total and next(coming, None) is not None:
        raise miscounted("more", total)


def batches(things: Iterator[Thing], size: int) -> Iterator[list[Thing]]:
    """Give things in lists of `size`, the last one perhaps shorter."""
    while batch := list(islice(things, size)):
        yield batch


def one_ahead(things: Iterator[Thing]) -> Generator[Thing, None, None]:
    """Pass things on, taking the next one in a thread meanwhile: decoding overlaps with inference."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, things, None)
        while (thing := coming.result()) is not None:
            coming = pool.submit(next, things, None)
            yield thing


def as_picture(frame: bytes, width: int, height: int) -> Frame:
    """Give a frame's bytes (bgr24, row by row) the shape (height, width, 3); nothing is copied."""
    return np.frombuffer(frame, np.uint8).reshape(height, width, 3)
