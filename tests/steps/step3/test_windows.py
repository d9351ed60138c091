"""Streaming gives the very windows that the whole video, padded at once, has."""

from __future__ import annotations

import tracemalloc
from contextlib import closing

import numpy as np
import pytest

from workflow_scripts.step3.ahead import ReadAhead
from workflow_scripts.step3.windows import batches, windows


def video(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(0, 256, (frames, 27, 48, 3), dtype=np.uint8)


def padded_at_once(frames: np.ndarray) -> np.ndarray:
    """The original's windows, written down from its description: every 50 frames 100, the middle 50 count."""
    count = -(-len(frames) // 50)
    indices = np.arange(100)[None, :] + 50 * np.arange(count)[:, None] - 25
    return frames[np.clip(indices, 0, len(frames) - 1)]


@pytest.mark.parametrize("frames", [1, 2, 49, 50, 51, 99, 100, 101, 149, 150, 151, 230])
@pytest.mark.parametrize("size", [1, 3])
def test_windows_equal_those_of_the_whole_video(frames, size):
    whole = video(frames)
    made = list(batches(windows(frame.tobytes() for frame in whole), size))
    assert [len(batch) for batch in made[:-1]] == [size] * (len(made) - 1)
    np.testing.assert_array_equal(np.concatenate(made), padded_at_once(whole))


def test_no_frames_give_no_window():
    assert list(windows(iter([]))) == []


def test_no_more_is_read_than_a_window_needs():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield bytes(3888)

    stream = windows(endless())
    for wanted in (75, 125, 175):
        next(stream)
        assert read <= wanted + 1


def peak_of(frames: int) -> int:
    """Bytes that are held at most while a video of so many frames is read ahead and cut into windows."""
    tracemalloc.start()
    try:
        with closing(ReadAhead((bytes(3888) for _ in range(frames)), 500)) as stream:
            for _ in batches(windows(stream), 2):
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_video_takes_no_more_memory_than_a_short_one():
    assert peak_of(20_000) < 1.2 * peak_of(2_000)
