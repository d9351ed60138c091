"""One run: workers started as they are needed, fed as items become ready, followed, and ended for certain.

This first supervisor keeps what it knows in memory; what is done is known by the steps' own records, so that a run that
was cut short is simply run again.
"""

from __future__ import annotations

import os
import queue
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.contract import Exit
from services.environments import Environment
from services.flow import Flow, Outcome, Task
from services.worker import Ended, Logged, Message, Worker, WorkItem

_MOST_DEATHS = 5
"""Workers of one step that may die in a run: after that the step is given up instead of being started for ever."""
_TICK = 0.2


class Listener(Protocol):
    """Whoever watches a run. Called from the run's own thread."""

    def task_started(self, task: Task) -> None:
        """A task is being worked on."""

    def task_progress(self, task: Task, done: float, total: float, unit: str, message: str) -> None:
        """A task is this far."""

    def task_ended(self, task: Task) -> None:
        """A task has its outcome."""

    def tasks_changed(self, flow: Flow) -> None:
        """There are more tasks than before."""

    def log_line(self, step_id: str, line: str) -> None:
        """A worker wrote a line to its log."""

    def warning(self, step_id: str, item: str | None, code: str, message: str) -> None:
        """A worker warned of something."""


@dataclass(frozen=True)
class Options:
    """How a run is done."""

    force: bool = False
    dry_run: bool = False
    fail_fast: bool = False
    device: str = "auto"
    engine: str | None = None

    def arguments(self, step_id: str) -> list[str]:
        """Return the options as a step's script takes them."""
        # Which engine tracks on a GPU has settings of its own: asking the others for it must not refuse STEP5.
        chosen = ["--device", "auto" if step_id == "STEP5" and self.device == "cuda" else self.device]
        chosen += ["--force"] if self.force else []
        chosen += ["--dry-run"] if self.dry_run else []
        chosen += ["--tracking-engine", self.engine] if self.engine and step_id == "STEP5" else []
        return chosen


@dataclass
class Result:
    """What a run came to."""

    tasks: list[Task]
    artefacts: list[Mapping[str, Any]] = field(default_factory=list)
    warnings: list[Mapping[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    exit_code: int = Exit.OK


class Supervisor:
    """Carries out the tasks of a flow, as many at a time as there are cores, one worker a step."""

    def __init__(
        self,
        flow: Flow,
        environments: Mapping[str, Environment],
        options: Options,
        listener: Listener,
    ) -> None:
        self._flow = flow
        self._environments = environments
        self._options = options
        self._listener = listener
        self._slots = max(2, os.cpu_count() or 1)
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._workers: dict[str, Worker] = {}
        self._at_work: dict[str, Task] = {}
        self._last_word: dict[str, float] = {}
        self._reasons: dict[str, Mapping[str, str]] = {}
        self._deaths: Counter[str] = Counter()
        self._given_up: dict[str, Mapping[str, str]] = {}
        self._interrupts = 0
        self._refused: int | None = None
        self.result = Result([])

    def interrupt(self) -> None:
        """Ask the run to stop; a second time, at once. Safe to call from a signal handler."""
        self._interrupts += 1
        if self._interrupts > 1:
            for worker in list(self._workers.values()):
                worker.kill()

    def run(self) -> Result:
        """Carry the flow out to its end, or until it is interrupted. Leaves no process behind, whatever happens."""
        started = time.monotonic()
        try:
            self._listener.tasks_changed(self._flow)
            while not self._flow.is_over() and not self._interrupts:
                self._dispatch()
                self._take_messages()
                self._stop_silent_workers()
            if not self._interrupts:
                self._let_workers_finish()
        finally:
            self._stop_workers()
        self.result.tasks = list(self._flow.tasks.values())
        self.result.seconds = time.monotonic() - started
        self.result.exit_code = self._exit_code()
        return self.result

    def _exit_code(self) -> int:
        if self._interrupts:
            return Exit.INTERRUPTED
        if self._refused is not None:
            return self._refused
        failed = any(task.outcome is not None and task.outcome.status == "failed" for task in self.result.tasks)
        return Exit.SOME_FAILED if failed else Exit.OK

    def _dispatch(self) -> None:
        """Give ready tasks to workers that are free, as far as there are slots."""
        waiting: list[Task] = []
        while len(self._at_work) < self._slots and (task := self._flow.next_ready()):
            step_id = task.step.id
            if step_id in self._given_up:
                self._end(task, Outcome("failed", error=self._given_up[step_id]))
            elif step_id in self._at_work:
                waiting.append(task)
            else:
                self._give(task)
        for task in waiting:
            self._flow.put_back(task)
        for step_id, worker in self._workers.items():
            if not self._flow.may_get_more(step_id):
                worker.finish()

    def _give(self, task: Task) -> None:
        step_id = task.step.id
        if step_id not in self._workers:
            environment = self._environments[task.step.environment]
            arguments = self._options.arguments(step_id)
            self._workers[step_id] = Worker(task.step, environment, arguments, self._messages.put)
        self._at_work[step_id] = task
        self._last_word[step_id] = time.monotonic()
        self._workers[step_id].give(task.item)

    def _take_messages(self) -> None:
        """Wait a moment for a message, then take all there are."""
        try:
            message = self._messages.get(timeout=_TICK)
            while True:
                self._take(message)
                message = self._messages.get_nowait()
        except queue.Empty:
            return

    def _take(self, message: Message) -> None:
        step_id = message.worker.spec.id
        if isinstance(message, Logged):
            self._listener.log_line(step_id, message.line)
        elif isinstance(message, Ended):
            self._worker_ended(message)
        elif self._workers.get(step_id) is message.worker:
            self._last_word[step_id] = time.monotonic()
            self._take_event(step_id, message.event)

    def _take_event(self, step_id: str, event: Mapping[str, Any]) -> None:
        kind, task = event["event"], self._at_work.get(step_id)
        if kind == "error":
            self._reasons[step_id] = {name: str(event.get(name)) for name in ("code", "message", "remedy")}
        elif kind == "warning":
            self.result.warnings.append({"step": step_id, **event})
            self._listener.warning(step_id, event.get("item"), str(event.get("code")), str(event.get("message")))
        elif kind == "artefact":
            self.result.artefacts.append({"step": step_id, **event})
        elif task is not None and event.get("item") == task.item.path:
            self._take_task_event(task, event)

    def _take_task_event(self, task: Task, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "item_started":
            self._listener.task_started(task)
        elif kind == "progress":
            self._listener.task_progress(task, event["done"], event["total"], event["unit"], event["message"])
        elif kind == "discovered":
            self._flow.discovered(task, WorkItem(event["kind"], event["path"], event["project"]))
            self._listener.tasks_changed(self._flow)
        elif kind == "item_done":
            del self._at_work[task.step.id]
            self._end(task, self._outcome_of(event))

    def _outcome_of(self, event: Mapping[str, Any]) -> Outcome:
        would_run = self._options.dry_run and event["status"] == "skipped"
        status = "would_run" if would_run else event["status"]
        return Outcome(status, event["seconds"], event["message"], event["error"], event["metrics"])

    def _end(self, task: Task, outcome: Outcome) -> None:
        skipped = self._flow.end(task, outcome)
        for ended in (task, *skipped):
            self._listener.task_ended(ended)
        if outcome.status == "failed" and self._options.fail_fast:
            self._skip_the_rest()

    def _skip_the_rest(self) -> None:
        """After a failure with --fail-fast: what is at work is finished, nothing new is begun."""
        for task in self._flow.open_tasks():
            if not task.is_started and task.outcome is None:
                self._end(task, Outcome("skipped", message="stopped at the first failure"))

    def _worker_ended(self, message: Ended) -> None:
        """Take note of a worker's end; the item it had at hand, if any, failed with it."""
        step_id = message.worker.spec.id
        if self._workers.get(step_id) is not message.worker:
            return
        del self._workers[step_id]
        reason = self._reasons.pop(step_id, None) or _death(message)
        if message.returncode in (Exit.PREREQUISITE, Exit.USAGE):
            self._refused = message.returncode
            self._given_up[step_id] = reason
        elif message.returncode not in (Exit.OK, Exit.SOME_FAILED):
            self._deaths[step_id] += 1
            if self._deaths[step_id] >= _MOST_DEATHS:
                self._given_up[step_id] = reason
        if task := self._at_work.pop(step_id, None):
            self._end(task, Outcome("failed", error=reason))

    def _stop_silent_workers(self) -> None:
        """Stop a worker that said nothing about its item for longer than its step allows."""
        for step_id in list(self._at_work):
            limit = self._at_work[step_id].step.stall_after
            if time.monotonic() - self._last_word[step_id] > limit:
                self._reasons[step_id] = {
                    "code": "stalled",
                    "message": f"{step_id} said nothing for {limit:.0f} s and was stopped.",
                    "remedy": "Check that the file plays; run again to try it once more.",
                }
                self._workers[step_id].stop()
                self._last_word[step_id] = time.monotonic()

    def _let_workers_finish(self) -> None:
        """Close the workers' input and take what they still say, for a bounded time."""
        for worker in self._workers.values():
            worker.finish()
        deadline = time.monotonic() + 10
        while self._workers and time.monotonic() < deadline and not self._interrupts:
            self._take_messages()

    def _stop_workers(self) -> None:
        """End what is left: together, so that several workers do not add up their waits."""
        workers = list(self._workers.values())
        with ThreadPoolExecutor(max_workers=max(1, len(workers))) as pool:
            list(pool.map(Worker.stop, workers))


def _death(message: Ended) -> dict[str, str]:
    code = message.returncode
    how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
    last = message.worker.log_tail[-1] if message.worker.log_tail else "it wrote nothing"
    return {
        "code": "worker_died",
        "message": f"The worker of {message.worker.spec.id} {how} (last words: {last}).",
        "remedy": "Run again: only this item is done anew. If it dies again, set the file aside and look at the log.",
    }


def chosen_steps(text: str | None, known: Sequence[str]) -> list[str]:
    """Read a choice of steps such as `1-3,6` or `STEP5`; None means all. Raises ValueError that says what is accepted."""
    if text is None:
        return list(known)
    chosen: set[int] = set()
    for part in text.upper().replace("STEP", "").split(","):
        matched = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if matched is None:
            raise ValueError(f"--steps {text}: give numbers and ranges from 1 to {len(known)}, such as 1-3,6")
        numbers = range(int(matched[1]), int(matched[2] or matched[1]) + 1)
        if not numbers or numbers[0] < 1 or numbers[-1] > len(known):
            raise ValueError(f"--steps {text}: the steps go from 1 to {len(known)}, a range from low to high")
        chosen |= set(numbers)
    return [known[number - 1] for number in sorted(chosen)]
