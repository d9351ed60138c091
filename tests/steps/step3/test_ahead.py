"""Reading ahead changes when values are made, nothing else."""

from __future__ import annotations

from threading import Event, active_count, current_thread

import pytest

from workflow_scripts.step3.ahead import read_ahead


def numbers(upto, closed=None, error=None):
    try:
        yield from range(upto)
        if error:
            raise error
    finally:
        if closed:
            closed.set()


def test_everything_comes_in_order():
    with read_ahead(numbers(1000), 3) as values:
        assert list(values) == list(range(1000))


def test_an_error_comes_behind_the_values_before_it():
    with read_ahead(numbers(5, error=ValueError("torn")), 100) as values:
        seen = []
        with pytest.raises(ValueError, match="torn"):
            seen.extend(values)
        assert seen == [0, 1, 2, 3, 4]


def test_who_leaves_early_closes_the_stream_and_ends_the_thread():
    before, closed = active_count(), Event()
    with read_ahead(numbers(10**9, closed), 4) as values:
        assert next(values) == 0
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

    with read_ahead(watched(), 8) as values:
        assert filled.wait(10), "eight wait, the ninth stands in the door"
        assert made == list(range(9))
        assert next(values) == 0
    assert others and current_thread() not in others
