"""The workers of a run: started as they are needed, kept for the next item, given up when something else wants the room."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from services.environments import HOME_ENVIRONMENT, Environment
from services.options import Options
from services.stages import Stage
from services.worker import Message, Worker, resolved, start_command, start_worker

MOST_DEATHS = 5
"""Workers of one step that may die within DEATHS_WINDOW, none of them having ended an item: then the step is given up
instead of being started for ever."""
DEATHS_WINDOW = 60.0
_LEAST_MEMORY = 1.5e9
"""Bytes that must be available for a further worker beside those that are there: a model takes up to 1 GB."""


@dataclass(frozen=True)
class Means:
    """What the workers of a run are started with. `listen` is told what they say, from threads of its own."""

    run_id: str
    environments: Mapping[str, Environment]
    options: Options
    logs_dir: Path
    listen: Callable[[Message], None]


class Crew:
    """The workers, by the stage they work for. Used from the run's own thread."""

    def __init__(self, means: Means, gpu_stages: frozenset[str], gpus: int) -> None:
        self._means = means
        self._gpu_stages = gpu_stages
        self._gpus = gpus
        self._all: dict[str, list[Worker]] = defaultdict(list)
        self._idle: dict[str, list[Worker]] = defaultdict(list)
        self._deaths: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_DEATHS))

    def __iter__(self) -> Iterator[Worker]:
        return (worker for workers in self._all.values() for worker in workers)

    def __contains__(self, worker: Worker) -> bool:
        return worker in self._all[worker.stage.id]

    def identities(self) -> list[dict[str, Any]]:
        """Return who they are, as the store keeps it."""
        return [{**worker.identity, "stage": worker.stage.id} for worker in self]

    def idle(self, stage_id: str) -> Worker | None:
        """Take an idle worker of a stage, if there is one."""
        waiting = self._idle[stage_id]
        return waiting.pop() if waiting else None

    def count(self, stage_id: str) -> int:
        """Return how many workers a stage has, idle or not."""
        return len(self._all[stage_id])

    def rest(self, worker: Worker) -> None:
        """Note that a worker waits for its next item."""
        self._idle[worker.stage.id].append(worker)

    def may_start(self, stage: Stage) -> bool:
        """Tell whether there is room for one more worker; where there is not, idle ones begin to leave.

        An idle worker keeps its model on the GPU, so there are never more of them than GPUs. In main memory they may
        wait as long as there is enough of it.
        """
        if stage.id in self._gpu_stages and self._count_on_gpu() >= self._gpus:
            self._let_go(self._gpu_stages)
            return False
        if self._all[stage.id] and psutil.virtual_memory().available < _LEAST_MEMORY:
            self._let_go(frozenset(self._idle))
            return False
        return True

    def _count_on_gpu(self) -> int:
        return sum(len(self._all[stage_id]) for stage_id in self._gpu_stages)

    def _let_go(self, stage_ids: frozenset[str]) -> None:
        """Let one idle worker leave: the one that has waited longest among these stages' first ones."""
        for stage_id in stage_ids:
            if self._idle[stage_id]:
                self._idle[stage_id].pop(0).finish()
                return

    def start(self, stage: Stage) -> Worker:
        """Start a worker of a step."""
        means, environment = self._means, self._means.environments[stage.environment]
        return self._join(
            start_worker(stage, environment, means.options.arguments(stage.label), means.run_id, means.listen)
        )

    def command_line(self, stage: Stage, projects: Sequence[str]) -> list[str] | None:
        """Return a plan's command as it is started; None when it is about projects, and there are none."""
        known = self._means.environments
        return resolved(stage.command, known[stage.environment], known[HOME_ENVIRONMENT], projects)

    def start_command(self, stage: Stage, command: Sequence[str]) -> Worker:
        """Start a plan's command. Raises OSError when it cannot be started."""
        means, environment = self._means, self._means.environments[stage.environment]
        log_path = means.logs_dir / "commands" / f"{means.run_id}_{stage.id}.log"
        return self._join(start_command(stage, environment, command, means.run_id, means.listen, log_path))

    def _join(self, worker: Worker) -> Worker:
        self._all[worker.stage.id].append(worker)
        return worker

    def left(self, worker: Worker) -> None:
        """Note that a worker is gone."""
        self._all[worker.stage.id].remove(worker)
        if worker in self._idle[worker.stage.id]:
            self._idle[worker.stage.id].remove(worker)

    def has_ended_one(self, stage_id: str) -> None:
        """Note that a worker of a stage came to the end of an item: the deaths before it were those items' own fault."""
        self._deaths[stage_id].clear()

    def dies_too_often(self, stage_id: str) -> bool:
        """Note a death; returns whether a stage's workers have died too often within a minute."""
        deaths = self._deaths[stage_id]
        deaths.append(time.monotonic())
        return len(deaths) == MOST_DEATHS and deaths[-1] - deaths[0] <= DEATHS_WINDOW

    def finish(self, stage_id: str) -> None:
        """Tell a stage's workers that no more items come: each ends after the one at hand."""
        for worker in self._all[stage_id]:
            if worker.stage.spec:
                worker.finish()

    def kill(self) -> None:
        """End all at once. Safe to call from a signal handler."""
        for worker in list(self):
            worker.kill()

    def stop(self) -> None:
        """End what is left: together, so that several workers do not add up their waits."""
        workers = list(self)
        with ThreadPoolExecutor(max_workers=max(1, len(workers))) as pool:
            list(pool.map(Worker.stop, workers))
