"""Who is asked, in which order, and what became of each: nothing falls back in silence, nothing known is thrown away.

Every link gets what the links before it found out and returns that with more: a transcript that Lemonfox gave stays
when a diarizer fails after it, and turns stay when a transcriber does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workflow_scripts.step4.records import Speech


class LinkFailed(Exception):
    """An engine could not do it; the text says why, in words fit for a person and free of secrets."""


@dataclass(frozen=True)
class Attempt:
    """What became of one engine: `used`, `failed` or `skipped`; the last two with a reason, the first with what it gave.

    `gave` names some of: turns, speakers, transcript.
    """

    engine: str
    outcome: str
    reason: str | None = None
    gave: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """One engine of the chain.

    `adds` gets what is known so far (None: nothing) and returns it with more, or raises LinkFailed. `is_due` tells
    whether what is known leaves something for it to do. `skip` says why it is not tried though it is due.
    """

    engine: str
    adds: Callable[[Speech | None], Speech]
    is_due: Callable[[Speech | None], bool]
    skip: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What the chain came to; `speech` is None when no link answered. `attempts` are those that were due, in order."""

    speech: Speech | None
    attempts: tuple[Attempt, ...]

    @property
    def engine(self) -> str | None:
        """The engine that told when somebody speaks; None when none did."""
        return self._giver("turns")

    @property
    def transcript_engine(self) -> str | None:
        """The engine that told what is said; None when none did."""
        return self._giver("transcript")

    def _giver(self, what: str) -> str | None:
        return next((attempt.engine for attempt in self.attempts if what in attempt.gave), None)

    def failures(self) -> list[Attempt]:
        """Return the engines that were tried and failed."""
        return [attempt for attempt in self.attempts if attempt.outcome == "failed"]


def ask_in_turn(links: Sequence[Link]) -> Outcome:
    """Ask every link that is due, in order."""
    known: Speech | None = None
    attempts: list[Attempt] = []
    for link in links:
        if not link.is_due(known):
            continue
        if link.skip is not None:
            attempts.append(Attempt(link.engine, "skipped", link.skip))
            continue
        try:
            more = link.adds(known)
        except LinkFailed as failure:
            attempts.append(Attempt(link.engine, "failed", str(failure)))
        else:
            attempts.append(Attempt(link.engine, "used", gave=tuple(_gained(known, more))))
            known = more
    return Outcome(known, tuple(attempts))


def _gained(before: Speech | None, after: Speech) -> Iterator[str]:
    if before is None:
        yield "turns"
    if after.has_speakers and not (before and before.has_speakers):
        yield "speakers"
    if after.text is not None and not (before and before.text is not None):
        yield "transcript"
