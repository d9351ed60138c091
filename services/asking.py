"""What the steps would do, as their own scripts say: all of them at once, without anything being done."""

from __future__ import annotations

import queue
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from config.contract import Exit
from config.settings import Settings
from services import reasons
from services.environments import Environment, environments, require_built
from services.errors import ServiceError
from services.flow import Flow, Outcome, Task
from services.items import found_item
from services.options import Options
from services.stages import Stage
from services.worker import Ended, Message, Said, Worker, start_worker

_ASKER = "preview"
"""Stands where a run's id does: no run is called so, and nothing that is done for runs touches these workers."""
_TICK = 0.1
_LAST_SECONDS = 5.0
"""How long it is waited for the ends of workers that had to be killed."""


@dataclass
class Answers:
    """What the scripts said.

    `outcomes`: of a task that was asked about, up_to_date, skipped (it would be done) or failed (it could not). `refused`:
    why a stage cannot work at all. `is_complete` is False when the time was over before all had answered.
    """

    outcomes: dict[Task, Outcome] = field(default_factory=dict)
    refused: dict[str, ServiceError] = field(default_factory=dict)
    is_complete: bool = True


class Asking:
    """A dry-run worker of each step, started at once: while inputs are looked for, they load and check what they need."""

    def __init__(self, stages: Iterable[Stage], settings: Settings, options: Options) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._logs = tempfile.TemporaryDirectory(prefix="derush-preview-")
        self._answers = Answers()
        self._workers: dict[str, Worker] = {}
        self._waiting: dict[str, deque[Task]] = {}
        self._at_hand: dict[str, Task] = {}
        self._open: set[Task] = set()
        self._begun: set[str] = set()
        self._finished: set[str] = set()
        known = environments(settings)
        for stage in stages:
            if stage.spec:
                self._start(stage, known[stage.spec.environment], options.arguments(stage.spec.id))

    def _start(self, stage: Stage, environment: Environment, arguments: Sequence[str]) -> None:
        way = [*arguments, "--dry-run", "--log-dir", self._logs.name]
        try:
            require_built(environment)
            worker = start_worker(stage, environment, way, _ASKER, self._messages.put)
        except ServiceError as missing:
            self._answers.refused[stage.id] = missing
        except OSError as error:
            message = f"{stage.label} cannot be started ({error.strerror})."
            self._answers.refused[stage.id] = ServiceError("cannot_start", message, "Free memory, and look again.")
        else:
            self._workers[stage.id], self._waiting[stage.id] = worker, deque()

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = set(self._workers.values())
        for worker in left:
            worker.kill()
        deadline = time.monotonic() + _LAST_SECONDS
        while left and time.monotonic() < deadline:
            with suppress(queue.Empty):
                message = self._messages.get(timeout=_TICK)
                left -= {message.worker} if isinstance(message, Ended) else set()
        self._logs.cleanup()

    def ask(self, flow: Flow, seconds: float) -> Answers:
        """Ask about every task of a flow, and about those that are found by it, for at most so many seconds.

        What comes after something that is not done is not asked about: that will change it.
        """
        deadline = time.monotonic() + seconds
        self._hand_out(flow)
        while self._workers and time.monotonic() < deadline:
            if not self._at_hand and not any(self._waiting.values()):
                self._let_go()
            self._take(flow)
        self._answers.is_complete = not self._workers
        return self._answers

    def _hand_out(self, flow: Flow) -> None:
        """Line up the tasks that are new; those of an item that is still being asked about wait for what is said of it."""
        at_hand = set(self._at_hand.values())
        new = [task for task in flow.added if task.brought_by not in at_hand]
        flow.added[:] = [task for task in flow.added if task.brought_by in at_hand]
        for task in new:
            if task.stage.id in self._waiting:
                self._waiting[task.stage.id].append(task)
        for stage_id in self._workers:
            self._next(stage_id)

    def _next(self, stage_id: str) -> None:
        """Give a worker that has nothing at hand its next task, but for those of which the answer would mean nothing."""
        waiting = self._waiting[stage_id]
        while waiting and stage_id not in self._at_hand:
            task = waiting.popleft()
            if any(earlier in self._open for earlier in task.after):
                self._open.add(task)
            else:
                self._at_hand[stage_id] = task
                self._workers[stage_id].give(task.item, force=task.force)

    def _let_go(self) -> None:
        """Tell every worker that nothing more comes: it ends once it has checked that it could work."""
        for stage_id, worker in self._workers.items():
            if stage_id not in self._finished:
                self._finished.add(stage_id)
                worker.finish()

    def _take(self, flow: Flow) -> None:
        """Take one message, if one comes in a moment."""
        try:
            message = self._messages.get(timeout=_TICK)
        except queue.Empty:
            return
        stage_id = message.worker.stage.id
        if isinstance(message, Ended):
            self._ended(message)
        elif isinstance(message, Said):
            self._said(stage_id, message.event, flow)

    def _said(self, stage_id: str, event: Mapping[str, Any], flow: Flow) -> None:
        task = self._at_hand.get(stage_id)
        if event["event"] == "hello":
            self._begun.add(stage_id)
        elif event["event"] == "error":
            told = [str(event.get(name)) for name in ("code", "message", "remedy")]
            self._answers.refused[stage_id] = ServiceError(told[0], told[1], told[2])
        elif task is None or event.get("item") != task.item.path:
            return
        elif event["event"] == "discovered":
            flow.discovered(task, found_item(event["kind"], event["path"], event["project"]))
        elif event["event"] == "item_done":
            del self._at_hand[stage_id]
            outcome = Outcome(event["status"], 0.0, event["message"], event["error"], event["metrics"])
            self._answers.outcomes[task] = outcome
            if outcome.status == "skipped":
                self._open.add(task)
            if task.item.kind == "archive" and outcome.is_good:
                flow.end(task, outcome)  # it may bring what its project has already
            self._hand_out(flow)

    def _ended(self, message: Ended) -> None:
        """Take note of a worker's end; when that is not how one ends that was told to, its stage cannot work."""
        stage_id, code = message.worker.stage.id, message.returncode
        del self._workers[stage_id]
        self._waiting[stage_id].clear()
        self._at_hand.pop(stage_id, None)
        known = self._answers.refused.get(stage_id)
        if known:
            known.exit_code = code
        elif code in (Exit.USAGE, Exit.PREREQUISITE):
            said = " ".join(list(message.worker.log_tail)[-3:])
            step_id = message.worker.stage.label
            remedy = f"See `derush step {step_id} --help`."
            self._answers.refused[stage_id] = ServiceError(f"{step_id.lower()}_cannot_work", said, remedy, code)
        elif code not in (Exit.OK, Exit.SOME_FAILED) or not {stage_id} <= self._begun & self._finished:
            death = reasons.death(message)
            self._answers.refused[stage_id] = ServiceError(death["code"], death["message"], death["remedy"], Exit.BUG)
