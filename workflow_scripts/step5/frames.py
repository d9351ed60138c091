"""Decoded frames on their way to an engine: counted, one ahead, as arrays."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from workflow_scripts.step5.detections import Frame
from workflow_scripts.stepkit import ItemError


def exactly(frames: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass frames on. Raises ItemError as soon as they are more than STEP2 recorded, or end before."""
    count = 0
    for count, frame in enumerate(frames, 1):
        if count > total:
            break
        yield frame
    if count != total:
        found = "more" if count > total else str(count)
        raise ItemError(
            "frame_count", f"The video has {found} frames, and STEP2 recorded {total}.",
            "Run STEP2 on it again with --force.",
        )  # fmt: skip


def one_ahead(frames: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Pass frames on, reading the next one in a thread meanwhile: decoding overlaps with inference."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = pool.submit(next, frames, None)
            yield frame


def as_pictures(frames: Iterable[bytes], width: int, height: int) -> Iterator[Frame]:
    """Give each frame's bytes (bgr24, row by row) the shape (height, width, 3); nothing is copied."""
    for frame in frames:
        yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
