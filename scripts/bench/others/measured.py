"""What the three have in common: the same graph from the same options, timed from its start to its end.

Nothing that a tool does once is timed: neither importing itself nor starting its server.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory


@dataclass(frozen=True)
class Graph:
    """`videos` chains of `steps` tasks each; `program` is what a task runs, empty for a function that does nothing."""

    videos: int
    steps: int
    workers: int
    program: list[str]
    scratch: Path

    def act(self) -> None:
        """Do what one task does."""
        if self.program:
            subprocess.run(self.program, check=True)


CarryOut = Callable[[Graph], bool]
"""Carries a graph out and returns whether every task was done."""


def measure(carry_out: CarryOut) -> int:
    """Carry out the graph that the command line asks for; the last line printed says how many seconds it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("program", nargs="*", help="what a step runs; without it, a step is a function")
    given = parser.parse_args()
    _seconds(carry_out, 1, 1, given.workers, given.program)  # whatever a tool starts is started
    print(json.dumps({"seconds": _seconds(carry_out, given.videos, given.steps, given.workers, given.program)}))
    return 0


def _seconds(carry_out: CarryOut, videos: int, steps: int, workers: int, program: list[str]) -> float:
    with TemporaryDirectory() as scratch:
        graph = Graph(videos, steps, workers, program, Path(scratch))
        started = time.perf_counter()
        if not carry_out(graph):
            raise SystemExit("the graph was not carried out")
        return time.perf_counter() - started
