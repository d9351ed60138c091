"""Reading ahead changes when values are made, nothing else."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from threading import Event, active_count, current_thread

import imageio_ffmpeg
import pytest

from workflow_scripts.step3.ahead import ReadAhead
from workflow_scripts.step3.asking import Decoder
from workflow_scripts.step3.footage import Footage


def numbers(upto, closed=None, error=None):
    try:
        yield from range(upto)
        if error:
            raise error
    finally:
        if closed:
            closed.set()


def test_everything_comes_in_order():
    with closing(ReadAhead(numbers(1000), 3)) as values:
        assert list(values) == list(range(1000))


def test_an_error_comes_behind_the_values_before_it():
    with closing(ReadAhead(numbers(5, error=ValueError("torn")), 100)) as values:
        seen = []
        with pytest.raises(ValueError, match="torn"):
            seen.extend(values)
        assert seen == [0, 1, 2, 3, 4]


def test_who_leaves_early_closes_the_stream_and_ends_the_thread():
    before, closed = active_count(), Event()
    with closing(ReadAhead(numbers(10**9, closed), 4)) as values:
        assert next(iter(values)) == 0
    assert closed.is_set()
    assert active_count() == before


def test_no_more_waits_than_was_allowed_and_it_is_made_beside_the_reader():
    made, filled, others = [], Event(), set()

    def watched():
        for value in range(1000):
            others.add(current_thread())
            made.append(value)
            if value == 8:
                filled.set()
            yield value

    with closing(ReadAhead(watched(), 8)) as values:
        assert filled.wait(10), "eight wait, the ninth stands in the door"
        assert made == list(range(9))
        assert next(iter(values)) == 0
    assert others and current_thread() not in others


def test_what_was_begun_is_taken_and_anything_else_is_begun_anew(draw, tmp_path):
    """Decoding ahead changes no frame, whatever is asked for and however the file changed since."""
    binary = Path(imageio_ffmpeg.get_ffmpeg_exe())
    first, second = (Footage(binary, draw(tmp_path / f"{frames}.mp4", frames), frames) for frames in (30, 40))

    def frames_of(decoding):
        with closing(decoding.frames):
            return list(decoding.frames)

    expected = [list(footage.decoded(48, 27, "bicubic")) for footage in (first, second)]
    before = active_count()
    with closing(Decoder()) as decoder:
        assert frames_of(decoder.take(first)) == expected[0]
        decoder.begin(second)
        begun = decoder._next
        assert decoder.take(second) is begun and frames_of(begun) == expected[1]
        decoder.begin(second)
        assert frames_of(decoder.take(first)) == expected[0]
        decoder.begin(second)
        os.utime(second.path, ns=(1, 1))
        assert decoder._next is not None and not decoder._next.is_of(second)
        assert frames_of(decoder.take(second)) == expected[1]
        decoder.begin(first)
    assert active_count() == before
