"""Giving ready tasks to workers, as far as the pools allow, and looking after those that are at work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from config.contract import Exit
from config.settings import Settings
from services import reasons
from services.claims import Claims
from services.crew import Crew, Means
from services.flow import Flow, Outcome, Task
from services.pools import COMMAND_TAKES, Amounts, Pools, share_of_cores, takes
from services.stages import Stage
from services.worker import Worker

_WORTH_A_WORKER = 20.0
"""Seconds of work that must wait for each worker of a step before one more is started."""
_LONG_ITEM = 5.0
"""Seconds after which an item keeps others waiting: then one more worker is started for those."""
_NAP_SECONDS = 1.0
"""From this long between two looks at the workers on, this process slept (Ctrl-Z, a waking machine), and not they."""


@dataclass
class Work:
    """What a worker is at."""

    task: Task
    amounts: Amounts
    given_at: float
    last_word: float
    reason: Mapping[str, str] | None = None
    """Why its worker is being ended, once it is."""
    is_cancelled: bool = False


class Progress(Protocol):
    """Whoever keeps account of what is begun and ended."""

    def worker_started(self, worker: Worker) -> None:
        """A worker is there; it has no task yet."""

    def begun(self, task: Task, worker: Worker) -> None:
        """A task is being worked on."""

    def ended(self, task: Task, outcome: Outcome) -> None:
        """A task was ended without a worker."""

    def waits(self, code: str, message: str | None) -> None:
        """Something has to wait, or does not any more."""


class Dispatch:
    """The tasks at work. Used from the run's own thread."""

    def __init__(
        self, means: Means, flow: Flow, settings: Settings, claims: Claims, pools: Pools, progress: Progress
    ) -> None:
        self.at_work: dict[Worker, Work] = {}
        self.given_up: dict[str, Mapping[str, str]] = {}
        self.refused: int | None = None
        self._flow = flow
        self._options = means.options
        self._claims = claims
        self._pools = pools
        self._progress = progress
        gpus = pools.sizes["gpu"]
        self._amounts = {
            stage.id: takes(stage.spec, settings, means.options.device, gpus) if stage.spec else COMMAND_TAKES
            for stage in flow.stages.values()
        }
        on_gpu = frozenset(stage_id for stage_id, amounts in self._amounts.items() if "gpu" in amounts)
        self.crew = Crew(means, on_gpu, gpus)
        self._in_order = sorted(reversed(flow.stages.values()), key=lambda stage: stage.is_check)
        self._took = dict.fromkeys(flow.stages, (0, 0.0))
        self._busy: list[Task] = []
        self._watched_at = time.monotonic()

    def give_out(self) -> None:
        """Give ready tasks to workers as far as the pools allow: later stages first, so that what was begun is finished.

        Checks come last: they keep nobody waiting.

        A second worker of a stage is started only when no other stage can use the room.
        """
        for with_further_workers in (False, True):
            for stage in self._in_order:
                while self._give_one(stage, with_further_workers):
                    pass

    def let_go(self) -> None:
        """Let the workers leave that will get nothing more."""
        for stage_id in self._flow.stages:
            if not self._flow.may_get_more(stage_id):
                self.crew.finish(stage_id)

    def _give_one(self, stage: Stage, further: bool) -> bool:
        """Begin one task of a stage, if there is one that may; returns whether to look for another."""
        if not self._flow.ready_count(stage.id):
            return False
        if stage.id in self.given_up:
            return self._refuse_one(stage)
        if not self._pools.has_room(self._amounts[stage.id]):
            return False
        worker = self.crew.idle(stage.id)
        if worker is None and stage.spec and not self._gets_worker(stage, further):
            return False
        task = self._flow.next_ready(stage.id)
        if task is None or not self._is_ours(task):
            if worker:
                self.crew.rest(worker)
            return task is not None
        if stage.spec is None:
            self._begin_command(task)
        else:
            self._give(task, worker or self._started(self.crew.start(stage)))
        return True

    def _gets_worker(self, stage: Stage, further: bool) -> bool:
        """Tell whether a worker of a stage may be started: its first one, or one more where enough work waits for that.

        A worker loads its model, and a step uses several cores by itself: one more pays only in a longer queue.
        """
        workers = self.crew.count(stage.id)
        if workers and not (further and self._is_worth_a_worker(stage, workers)):
            return False
        return self.crew.may_start(stage)

    def _is_worth_a_worker(self, stage: Stage, workers: int) -> bool:
        """Tell whether what waits for each worker of a stage is much, or all of them are at something long."""
        ended, seconds = self._took[stage.id]
        mean = seconds / ended if ended else stage.spec.cost if stage.spec else 0.0
        if self._flow.ready_count(stage.id) * mean >= _WORTH_A_WORKER * workers:
            return True
        now = time.monotonic()
        begun = [work.given_at for work in self.at_work.values() if work.task.stage.id == stage.id]
        return len(begun) == workers and all(now - given_at > _LONG_ITEM for given_at in begun)

    def _refuse_one(self, stage: Stage) -> bool:
        task = self._flow.next_ready(stage.id)
        if task:
            self._progress.ended(task, Outcome("failed", error=self.given_up[stage.id]))
        return task is not None

    def _is_ours(self, task: Task) -> bool:
        """Claim what a task is about; a task whose project another run works on waits, or is refused by choice."""
        subject = _subject(task)
        if task.stage.spec is None or self._claims.take(subject):
            return True
        error = reasons.busy(subject, self._claims.holder(subject))
        if self._options.if_busy == "refuse":
            self.refused = Exit.PREREQUISITE
            self._progress.ended(task, Outcome("failed", error=error))
        else:
            self._busy.append(task)
            self._progress.waits("project_busy", error["message"])
        return False

    def _give(self, task: Task, worker: Worker) -> None:
        stage_id, now = task.stage.id, time.monotonic()
        amounts = self._amounts[stage_id]
        self._pools.take(amounts)
        self.at_work[worker] = Work(task, amounts, now, now)
        cores = share_of_cores(task.item.size, self._flow.waiting_bytes(stage_id), self.crew.count(stage_id))
        worker.give(task.item, force=task.force, cores=cores, accepted=task.accepted)

    def _started(self, worker: Worker) -> Worker:
        self._progress.worker_started(worker)
        return worker

    def _begin_command(self, task: Task) -> None:
        command = self.crew.command_line(task.stage, self._flow.projects())
        if command is None:
            self._progress.ended(task, Outcome("skipped", message="the run worked on no project"))
            return
        try:
            worker = self.crew.start_command(task.stage, command)
        except OSError as error:
            self._progress.ended(task, Outcome("failed", error=reasons.cannot_start(command, error)))
            return
        self._started(worker)
        now = time.monotonic()
        self._pools.take(COMMAND_TAKES)
        self.at_work[worker] = Work(task, COMMAND_TAKES, now, now)
        self._progress.begun(task, worker)

    def take_up_busy(self) -> None:
        """Look whether projects that other runs worked on are free by now."""
        for task in self._busy:
            if self._claims.take(_subject(task)):
                self._flow.put_back(task)
        self._busy = [task for task in self._busy if task.is_running]
        if not self._busy:
            self._progress.waits("project_busy", None)

    def leave(self, worker: Worker) -> Work:
        """Take a worker's task from it, and give back what it took."""
        work = self.at_work.pop(worker)
        self._pools.give_back(work.amounts)
        ended, seconds = self._took[work.task.stage.id]
        self._took[work.task.stage.id] = (ended + 1, seconds + time.monotonic() - work.given_at)
        return work

    def watch(self) -> None:
        """Stop a worker that said nothing about its item, or worked on it, for longer than its step allows."""
        now = time.monotonic()
        unheard = now - self._watched_at
        self._watched_at = now
        for worker, work in self.at_work.items():
            if unheard > _NAP_SECONDS:
                work.last_word = min(now, work.last_word + unheard)
            spec = worker.stage.spec
            if spec is None or work.reason:
                continue
            if now - work.last_word > spec.stall_after:
                self._stop_worker(
                    worker, work, "stalled", f"{spec.id} said nothing for {spec.stall_after:.0f} s and was stopped."
                )
            elif now - work.given_at > spec.timeout:
                self._stop_worker(
                    worker, work, "timeout", f"{spec.id} took longer than {spec.timeout:.0f} s and was stopped."
                )

    def _stop_worker(self, worker: Worker, work: Work, code: str, message: str) -> None:
        remedy = "Check that the file plays; `derush retry` tries it once more."
        work.reason = {"code": code, "message": message, "remedy": remedy}
        worker.stop_soon()


def _subject(task: Task) -> str:
    return task.project or task.item.path
