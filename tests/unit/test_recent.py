"""Values that are good for a moment: made once for all who ask, and again when they are too old for one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from services.recent import Recent

FOR_EVER = 3600.0


def test_a_value_is_made_again_when_it_is_too_old_for_who_asks() -> None:
    made = count()
    recent = Recent[str, int](FOR_EVER)
    assert [recent.get("a", lambda: next(made)) for _ in range(3)] == [0, 0, 0]
    assert recent.get("b", lambda: next(made)) == 1
    assert recent.get("a", lambda: next(made), 0.0) == 2
    assert recent.get("a", lambda: next(made)) == 2
    never_kept = Recent[str, int](0.0)
    assert [never_kept.get("a", lambda: next(made)) for _ in range(2)] == [3, 4]
    assert [never_kept.get("a", lambda: next(made), FOR_EVER) for _ in range(2)] == [4, 4]


def test_those_who_ask_at_the_same_time_wait_for_one_that_makes_it() -> None:
    recent = Recent[str, int](FOR_EVER)
    made: list[int] = []
    all_ask = threading.Barrier(8)

    def ask(number: int) -> int:
        all_ask.wait(10)
        return recent.get("a", lambda: made.append(number) or number)  # type: ignore[func-returns-value]

    with ThreadPoolExecutor(8) as pool:
        given = set(pool.map(ask, range(8)))
    assert len(made) == 1 and given == set(made)
