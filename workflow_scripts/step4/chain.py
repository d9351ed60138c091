"""Who is asked, in which order, and what became of each: nothing falls back in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workflow_scripts.step4.records import Speech


class LinkFailed(Exception):
    """An engine could not do it; the text says why, in words fit for a person and free of secrets."""


@dataclass(frozen=True)
class Attempt:
    """What became of one engine: `used`, `failed` or `skipped`; the last two with a reason."""

    engine: str
    outcome: str
    reason: str | None = None


@dataclass(frozen=True)
class Link:
    """One engine of the chain: `analyse` returns its answer or raises LinkFailed; `skip` says why not to try it."""

    engine: str
    analyse: Callable[[], Speech]
    skip: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What the chain came to; `speech` and `engine` are None when every link failed."""

    speech: Speech | None
    engine: str | None
    attempts: tuple[Attempt, ...]

    def failures(self) -> list[Attempt]:
        """Return the engines that were tried and failed."""
        return [attempt for attempt in self.attempts if attempt.outcome == "failed"]


def first_that_works(links: Sequence[Link]) -> Outcome:
    """Try each link in order, and stop at the first that answers."""
    attempts: list[Attempt] = []
    for link in links:
        if link.skip is not None:
            attempts.append(Attempt(link.engine, "skipped", link.skip))
            continue
        try:
            speech = link.analyse()
        except LinkFailed as failure:
            attempts.append(Attempt(link.engine, "failed", str(failure)))
        else:
            return Outcome(speech, link.engine, (*attempts, Attempt(link.engine, "used")))
    return Outcome(None, None, tuple(attempts))
