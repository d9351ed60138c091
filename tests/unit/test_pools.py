"""How many cores an item is told to use."""

from __future__ import annotations

import os

import pytest

from services.pools import share_of_cores


@pytest.mark.parametrize(
    ("size", "waiting", "workers", "share"),
    [
        (10, 230, 2, 4),  # as many come after it as take its time: both workers are busy until it ends
        (10, 10, 2, 4),
        (10, 9, 2, None),  # it ends last and alone
        (10, 0, 2, None),
        (10, 230, 1, None),  # nothing works beside it
        (10, 25, 8, 2),  # there are workers for eight, and work for three
        (10, 10_000, 64, 1),  # more workers than cores
        (0, 0, 8, None),  # sizes that say nothing
        (0, 5, 2, 4),
    ],
)
def test_an_item_gets_its_part_of_the_cores_while_others_work_beside_it(
    monkeypatch: pytest.MonkeyPatch, size: int, waiting: int, workers: int, share: int | None
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert share_of_cores(size, waiting, workers) == share
