"""How far a run is, and how long it will still take: arithmetic on what its tasks amount to.

A task weighs what one of its step takes on average. Work that is not there yet is expected: every archive and original
that is still to be worked on will bring something to the steps after it. Done is what was asked for and has ended well:
what failed, was skipped or cancelled is not, nor is what it would have brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from services.history import Figures
from services.stages import Stage, closure
from services.statuses import ACTIVE, SETTLED

GOOD = frozenset({"succeeded", "accepted"})
"""The statuses of work that is done, or taken as done by a person."""
_MOST_UNFINISHED = 0.99
COMMAND_SECONDS = 1.0
"""What a check or another command weighs: they are short beside the steps."""
_LEAST_SECONDS = 0.001
_SUPPOSED = 10.0
"""Seconds: as if a run had gone for that long, at one second of work in a second, before it began."""
_BRINGERS = {"original": ("archive",), "video": ("original", "archive"), "project": ("archive",)}
"""Which items bring others of a kind; where a plan has several of them, the first one does."""
_WORKED = frozenset({"done", "failed"})


@dataclass(frozen=True)
class Tally:
    """The tasks of a stage, each by its last attempt.

    `parts` is how much of those at work is done, from 0 to 1, added up; `brought` how many another task brought;
    `expected` how many are still to come, `lost` how many never will: what would have brought them did not end well.
    `measured` tasks were really done and took `measured_seconds`; `spent` is what the stage has cost so far: work that was
    up to date cost nothing.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    parts: float = 0.0
    brought: int = 0
    further: int = 0
    expected: int = 0
    lost: int = 0
    measured: int = 0
    measured_seconds: float = 0.0
    spent: float = 0.0
    seconds: float = 0.0

    @property
    def over(self) -> int:
        """How many have ended, well or not."""
        return sum(count for status, count in self.counts.items() if status in SETTLED)

    @property
    def total(self) -> int:
        """How many there are, or will be."""
        return sum(self.counts.values()) + self.expected

    @property
    def done(self) -> float:
        """How many are done, in parts of tasks."""
        return sum(self.counts.get(status, 0) for status in GOOD) + self.parts

    @property
    def progress(self) -> float:
        """How much of what came to the stage, or will, is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def left(self) -> float:
        """How many tasks are left, in parts of tasks."""
        return max(0.0, self.total - self.over - self.parts)


def tally(figures: Iterable[Figures]) -> Tally:
    """Add up the figures of one stage."""
    made, counts = Tally(), Counter[str]()
    for part in figures:
        counts[part.status] += part.count
        is_measured = part.outcome == "done"
        made = replace(
            made,
            parts=made.parts + (part.parts if part.status == "running" else 0.0),
            brought=made.brought + part.brought,
            further=made.further + part.further,
            measured=made.measured + part.count * is_measured,
            measured_seconds=made.measured_seconds + part.seconds * is_measured,
            spent=made.spent + part.seconds * (part.outcome in _WORKED),
            seconds=made.seconds + part.seconds,
        )
    return replace(made, counts=dict(counts))


def with_expected(tallies: Mapping[str, Tally], stages: Mapping[str, Stage]) -> dict[str, Tally]:
    """Add to each stage the tasks that earlier stages will still bring: one for each item that has brought none yet.

    A failed item brings nothing. How many originals an archive holds is only known when it is extracted: until then it
    stands for one.
    """
    found = dict(tallies)
    for stage in stages.values():
        if bringer := _bringer(stage, stages):
            before, own = found[bringer], found[stage.id]
            waiting = before.total - before.over
            without = sum(before.counts.get(status, 0) for status in SETTLED - {"succeeded"})
            expected = max(0, min(waiting, before.total - without - own.brought))
            failed = before.lost + sum(before.counts.get(status, 0) for status in SETTLED - GOOD)
            lost = max(0, min(failed, before.lost + before.total - own.brought - expected))
            found[stage.id] = replace(own, expected=expected, lost=lost)
    return found


def _bringer(stage: Stage, stages: Mapping[str, Stage]) -> str | None:
    before = closure(stage.id, stages)
    for kind in _BRINGERS.get(stage.item_kind, ()):
        for other in stages.values():
            if other.id in before and other.item_kind == kind:
                return other.id
    return None


def weights(
    tallies: Mapping[str, Tally], steps: Mapping[str, str | None], known: Mapping[str, float]
) -> dict[str, float]:
    """Return how many seconds a task of each stage takes: by this run, else as `known` of its step.

    `steps` gives each stage's step, None for a command.
    """
    found: dict[str, float] = {}
    for stage_id, step in steps.items():
        own = tallies[stage_id]
        mean = own.measured_seconds / own.measured if own.measured else known[step] if step else COMMAND_SECONDS
        found[stage_id] = max(mean, _LEAST_SECONDS)
    return found


def progress(tallies: Mapping[str, Tally], seconds: Mapping[str, float]) -> float:
    """Return how much of all the work that was asked for is done, from 0 to 1; `seconds` are the weights."""
    whole = sum(seconds[stage_id] * (own.total + own.lost) for stage_id, own in tallies.items())
    done = sum(seconds[stage_id] * own.done for stage_id, own in tallies.items())
    return min(1.0, done / whole) if whole else 0.0


def as_told(share: float, status: str) -> float:
    """Return how much of a run of this status is told to be done, when so much of its work is.

    All of it when it came to a good end, whatever a person left out of it; never all when it came to another one: then
    at most 0.99, for 0.999 may be shown rounded.
    """
    if status in GOOD:
        return 1.0
    return share if status in ACTIVE else min(share, _MOST_UNFINISHED)


def remaining_seconds(tallies: Mapping[str, Tally], seconds: Mapping[str, float], elapsed: float) -> float | None:
    """Return how long the rest takes at the speed so far: seconds of work done in a second; None while that is unknown.

    At first little is done and much was spent on starting, so the speed is one second in a second to begin with, and
    gives way to what is measured: after `_SUPPOSED` seconds each counts half.
    """
    left = sum(seconds[stage_id] * own.left for stage_id, own in tallies.items())
    spent = sum(own.spent + seconds[stage_id] * own.parts for stage_id, own in tallies.items())
    if not left:
        return 0.0
    return left * (elapsed + _SUPPOSED) / (spent + _SUPPOSED) if spent > 0 and elapsed > 0 else None
