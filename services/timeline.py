"""When a run's tasks were at work, as bars: those of a step side by side as its workers had them, or each on a row of its own.

A picture has a width: bars that would be less than a point apart and all alike become one, so that thousands stay a picture.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.history import Part
from services.stages import Stage

POINTS = 1000
"""How many points a picture is wide: bars are bundled so that none is told that nobody can see."""
MOST_ROWS = 200
"""Rows of a step whose tasks are shown one by one."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400)
_MOST_TICKS = 12
_WORST = ("failed", "interrupted", "cancelled", "running", "accepted", "succeeded")


@dataclass(frozen=True)
class Bar:
    """Some tasks, one as a rule, at work from `start` to `end` (seconds since the run began), as far as they are in view.

    `x` and `width` are shares of the picture's width. `part` is the task where there is one, `status` the worst of all.
    """

    start: float
    end: float
    x: float
    width: float
    status: str
    count: int
    part: Part | None


@dataclass(frozen=True)
class Lane:
    """A row of the picture: a worker's tasks one after the other, or the attempts at one task."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class StepLanes:
    """A step in the picture. `start`, `end` and `busy` (the tasks' seconds added up) are of all its tasks, seen or not."""

    stage: Stage
    lanes: tuple[Lane, ...]
    start: float
    end: float
    busy: float
    tasks: int
    is_open: bool
    left_out: int


@dataclass(frozen=True)
class Timeline:
    """A picture of a run from `start` to `end`, of `length`: seconds since it began. `ticks` are (x, seconds)."""

    start: float
    end: float
    length: float
    steps: tuple[StepLanes, ...]
    ticks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Span:
    part: Part
    start: float
    end: float


def timeline(
    parts: Iterable[Part],
    stages: Mapping[str, Stage],
    began: str,
    now: str,
    *,
    view: tuple[float, float] | None = None,
    opened: str | None = None,
) -> Timeline:
    """Make the picture of what was at work between `began` and `now` (ISO 8601); `view` is the part of it, in seconds.

    The tasks of the stage `opened` are shown one by one, the first MOST_ROWS of those in view.
    """
    zero = _seconds(began)
    spans = [
        _Span(part, max(0.0, _seconds(part.started_at) - zero), max(0.0, _seconds(part.ended_at or now) - zero))
        for part in parts
        if part.started_at and (part.ended_at or part.status in {"running", "interrupted"})
    ]
    length = max([1.0, *(span.end for span in spans)])
    start, end = _within(view, length)
    by_stage: dict[str, list[_Span]] = {stage_id: [] for stage_id in stages}
    for span in spans:
        if span.part.stage in by_stage:
            by_stage[span.part.stage].append(span)
    steps = tuple(
        _step(stage, by_stage[stage.id], (start, end), is_open=stage.id == opened)
        for stage in stages.values()
        if by_stage[stage.id]
    )
    return Timeline(start, end, length, steps, _ticks(start, end))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _within(view: tuple[float, float] | None, length: float) -> tuple[float, float]:
    """Return the part of a length that is to be seen: at least a second of it, whatever was asked for."""
    low, high = view or (0.0, length)
    start = min(max(0.0, low), max(0.0, length - 1.0))
    return start, max(min(high, length), start + 1.0)


def _step(stage: Stage, spans: Sequence[_Span], view: tuple[float, float], *, is_open: bool) -> StepLanes:
    seen = [span for span in spans if span.end >= view[0] and span.start <= view[1]]
    rows = _tasks(seen) if is_open else [("", lane) for lane in _packed(seen)]
    return StepLanes(
        stage=stage,
        lanes=tuple(Lane(name, tuple(_bars(lane, view))) for name, lane in rows[:MOST_ROWS]),
        start=min(span.start for span in spans),
        end=max(span.end for span in spans),
        busy=sum(span.end - span.start for span in spans),
        tasks=len({span.part.subject for span in spans}),
        is_open=is_open,
        left_out=max(0, len(rows) - MOST_ROWS),
    )


def _tasks(spans: Iterable[_Span]) -> list[tuple[str, list[_Span]]]:
    """Return a row for each task, with its attempts."""
    rows: dict[str, list[_Span]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        rows.setdefault(span.part.subject, []).append(span)
    return list(rows.items())


def _packed(spans: Iterable[_Span]) -> list[list[_Span]]:
    """Put spans into as few lanes as they need: each into the one that has been free the longest."""
    lanes: list[list[_Span]] = []
    free: list[tuple[float, int]] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if free and free[0][0] <= span.start:
            _, number = heapq.heappop(free)
        else:
            number = len(lanes)
            lanes.append([])
        lanes[number].append(span)
        heapq.heappush(free, (span.end, number))
    return lanes


def _bars(lane: Iterable[_Span], view: tuple[float, float]) -> list[Bar]:
    """Return the bars of a lane, those bundled that stand too close to be told apart."""
    point = (view[1] - view[0]) / POINTS
    bundles: list[list[_Span]] = []
    for span in lane:
        last = bundles[-1] if bundles else None
        if last and span.end - last[0].start < 3 * point and span.start - last[-1].end < point:
            last.append(span)
        else:
            bundles.append([span])
    return [_bar(bundle, view, point) for bundle in bundles]


def _bar(bundle: Sequence[_Span], view: tuple[float, float], point: float) -> Bar:
    start, end = bundle[0].start, max(span.end for span in bundle)
    low, high = max(start, view[0]), min(end, view[1])
    statuses = {span.part.status for span in bundle}
    return Bar(
        start=start,
        end=end,
        x=(low - view[0]) / (view[1] - view[0]),
        width=max(high - low, point) / (view[1] - view[0]),
        status=next((status for status in _WORST if status in statuses), "succeeded"),
        count=len(bundle),
        part=bundle[0].part if len(bundle) == 1 else None,
    )


def _ticks(start: float, end: float) -> tuple[tuple[float, float], ...]:
    """Return where the marks of time stand, at round numbers of seconds."""
    length = end - start
    step = next((each for each in _STEPS if length / each <= _MOST_TICKS), 86_400 * (1 + length // (86_400 * 12)))
    first = int(-(-start // step))
    found = []
    while (at := first * step) <= end:
        found.append(((at - start) / length, float(at)))
        first += 1
    return tuple(found)
