"""One run: workers started as they are needed, fed as items become ready, followed, and ended for certain."""

from __future__ import annotations

import queue
import random
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.contract import Exit
from config.scratch import sweep
from config.settings import Settings
from services import reasons
from services.book import Book
from services.claims import Claims
from services.crew import Means
from services.dispatch import Dispatch, Work
from services.environments import environments
from services.executions import Store
from services.flow import Flow, Outcome, Task
from services.items import found_item
from services.listening import Listener, Result
from services.options import Options
from services.pools import pools_of
from services.requested import Requested
from services.room import Room
from services.worker import Ended, Logged, Message, Worker

_TICK = 0.2
_LOOK_SECONDS = 0.5
"""How often the store is asked for requests, and disks and claims are looked at again."""
_LAST_WORDS_SECONDS = 10.0
_MOST_KILLS = 2
"""Workers that an item may take with it: then it is set aside, whatever its step's retries."""
_STOPPING = frozenset({"paused", "disk_full"})
"""Reasons to wait that keep every task from beginning; a project that another run works on keeps only its own."""
_DEADLY = frozenset({"worker_died", "stalled", "timeout"})


class Supervisor:
    """Carries out the tasks of a flow, as far as the pools allow."""

    def __init__(
        self,
        flow: Flow,
        options: Options,
        settings: Settings,
        store: Store,
        book: Book,
        claims: Claims,
        listener: Listener,
    ) -> None:
        self._flow = flow
        self._options = options
        self._book = book
        self._listener = listener
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        means = Means(book.run.id, environments(settings), options, settings.logs_dir, self._messages.put)
        self._dispatch = Dispatch(means, flow, settings, claims, pools_of(settings), self)
        self._crew = self._dispatch.crew
        self._requested = Requested(store, book, flow, self)
        self._room = Room(settings)
        self._work_dir = settings.projects_dir
        self._last_words: dict[Worker, Mapping[str, str]] = {}
        self._kills: Counter[Task] = Counter()
        self._full: Counter[Task] = Counter()
        self._later: list[tuple[float, Task]] = []
        self._holds: dict[str, str] = {}
        self._next_look = 0.0
        self._interrupts = 0
        self.result = Result(book.run.id)

    def interrupt(self) -> None:
        """Ask the run to stop; a second time, at once. Safe to call from a signal handler."""
        self._interrupts += 1
        if self._interrupts > 1:
            self._crew.kill()

    def run(self) -> Result:
        """Carry the flow out to its end, or until it is interrupted. Leaves no process behind, whatever happens.

        Raises ServiceError when the store cannot be written any more.
        """
        started = time.monotonic()
        try:
            self._flow.start()
            self._tasks_changed()
            self._listener.tasks_changed(self._flow)  # in a run taken up again nothing is new
            self._look()
            while self._goes_on():
                if not self._holds.keys() & _STOPPING:
                    self._dispatch.give_out()
                self._dispatch.let_go()
                self._take_messages()
                self._dispatch.watch()
                self._look_now_and_then()
                self._write()
            self._let_workers_finish()
        finally:
            self._crew.stop()
            self._sweep()
        self._hear_the_last()
        self._settle(time.monotonic() - started)
        return self.result

    def _goes_on(self) -> bool:
        """Tell whether there is more to do, or to write when there is room; before saying no, look what a person asked."""
        if self._flow.is_over() and not self._interrupts:
            self._look()
        is_over = self._flow.is_over() and not self._book.full
        return not (is_over or self._interrupts)

    def _settle(self, seconds: float) -> None:
        """Record how the run ended."""
        result = self.result
        result.tasks = list(self._flow.tasks.values())
        result.seconds = seconds
        result.status, result.exit_code = self._verdict()
        self._book.step_counts(self._flow)
        if result.status == "interrupted":
            self._book.interrupted()
        ends = (task.outcome.status if task.outcome else "interrupted" for task in result.tasks if task.stage.spec)
        error = next(iter(self._dispatch.given_up.values()), None) if result.status == "failed" else None
        self._book.finish(result.status, seconds, error, {"counts": Counter(ends), "exit_code": int(result.exit_code)})

    def _verdict(self) -> tuple[str, int]:
        if self._interrupts:
            return "interrupted", Exit.INTERRUPTED
        failed = any(task.outcome is not None and task.outcome.status == "failed" for task in self.result.tasks)
        if self._dispatch.refused is not None:
            return "failed", self._dispatch.refused
        if self._requested.is_cancelled:
            return "cancelled", Exit.SOME_FAILED
        return ("failed", Exit.SOME_FAILED) if failed else ("succeeded", Exit.OK)

    # What workers say

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
        worker = message.worker
        if isinstance(message, Logged):
            self._listener.log_line(worker.stage.label, message.line)
        elif isinstance(message, Ended):
            self._worker_ended(message)
        elif worker in self._crew:
            self._take_event(worker, message.event)

    def _take_event(self, worker: Worker, event: Mapping[str, Any]) -> None:
        kind, work = event["event"], self._dispatch.at_work.get(worker)
        if kind == "error":
            self._last_words[worker] = {name: str(event.get(name)) for name in ("code", "message", "remedy")}
        elif kind == "hello":
            worker.log_path = Path(event["log"])
        elif kind == "warning":
            self._take_warning(worker, work, event)
        elif work is not None and event.get("item") == work.task.item.path:
            work.last_word = time.monotonic()
            self._take_task_event(worker, work.task, event)

    def _take_warning(self, worker: Worker, work: Work | None, event: Mapping[str, Any]) -> None:
        label, item, facts = worker.stage.label, event.get("item"), {**event, "step": worker.stage.label}
        if not self.result.is_new_warning(facts):
            return
        about = work.task if work and item == work.task.item.path else None
        self._book.warning(about, {key: facts.get(key) for key in ("step", "item", "code", "message")})
        self._listener.warning(label, item, str(event.get("message")))

    def _take_task_event(self, worker: Worker, task: Task, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "item_started":
            self.begun(task, worker)
        elif kind == "progress":
            facts = (task, event["done"], event["total"], event["unit"], event["message"])
            self._book.progress(*facts)
            self._listener.task_progress(*facts)
        elif kind == "artefact":
            artefact = {name: event[name] for name in ("kind", "path", "bytes", "sha256")}
            self._book.artefact(task, artefact)
            self.result.artefacts.append({"step": task.stage.label, **event})
        elif kind == "discovered":
            self._flow.discovered(task, found_item(event["kind"], event["path"], event["project"]))
            self._tasks_changed()
        elif kind == "item_done":
            self._dispatch.leave(worker)
            self._crew.rest(worker)
            self._crew.has_ended_one(task.stage.id)
            outcome = Outcome(event["status"], event["seconds"], event["message"], event["error"], event["metrics"])
            self._end_or_retry(task, outcome)

    def worker_started(self, worker: Worker) -> None:
        """Record at once who works for the run."""
        self._book.workers(self._crew.identities(), "worker_started", {"pid": worker.pid, "stage": worker.stage.id})

    def begun(self, task: Task, worker: Worker) -> None:
        """Note that a task is being worked on."""
        self._book.started(task, str(worker.log_path) if worker.log_path else None)
        self._listener.task_started(task)

    def _worker_ended(self, message: Ended) -> None:
        """Take note of a worker's end; the item it had at hand, if any, failed with it."""
        worker, stage = message.worker, message.worker.stage
        if worker not in self._crew:
            return
        self._crew.left(worker)
        work = self._dispatch.leave(worker) if worker in self._dispatch.at_work else None
        facts = {"pid": worker.pid, "stage": stage.id, "returncode": message.returncode}
        self._book.workers(self._crew.identities(), "worker_ended", facts)
        if self._interrupts:
            return  # what it had at hand did not fail: it goes on when the run is resumed
        if work and work.is_cancelled:
            self.ended(work.task, Outcome("cancelled", message="cancelled by a person"))
        elif stage.spec is None and work:
            self._command_ended(work, message)
        else:
            self._step_worker_ended(message, work)

    def _step_worker_ended(self, message: Ended, work: Work | None) -> None:
        worker, stage = message.worker, message.worker.stage
        error = (work.reason if work else None) or self._last_words.pop(worker, None) or reasons.death(message)
        if message.returncode in (Exit.PREREQUISITE, Exit.USAGE):
            self._dispatch.refused = message.returncode
            self._dispatch.given_up[stage.id] = error
        elif message.returncode not in (Exit.OK, Exit.SOME_FAILED) and self._crew.dies_too_often(stage.id):
            self._dispatch.given_up[stage.id] = reasons.given_up(stage, error)
        if work:
            self._end_or_retry(work.task, Outcome("failed", time.monotonic() - work.given_at, error=error))

    def _command_ended(self, work: Work, message: Ended) -> None:
        seconds = time.monotonic() - work.given_at
        if message.returncode == 0:
            last = message.worker.log_tail[-1] if message.worker.log_tail else ""
            self.ended(work.task, Outcome("done", seconds, last))
        else:
            self._end_or_retry(work.task, Outcome("failed", seconds, error=reasons.command_failed(message)))

    # Ends and further attempts

    def _end_or_retry(self, task: Task, outcome: Outcome) -> None:
        """End a task, unless its failure is one that passes: then it is tried again after a while."""
        code = outcome.error["code"] if outcome.error else None
        if code == "disk_full" and self._waits_for_room(task):
            return
        self._kills[task] += code in _DEADLY
        policy = task.stage.retry
        may_pass = (
            code in policy.codes and task.stage.id not in self._dispatch.given_up and self._kills[task] < _MOST_KILLS
        )
        if may_pass and task.attempt < policy.max_attempts:
            self._try_again_later(task, outcome)
        else:
            self.ended(task, outcome)

    def _try_again_later(self, task: Task, outcome: Outcome) -> None:
        """Record a failed attempt, and plan the next: after a wait that doubles each time, and is never quite the same."""
        self._book.ended(task, outcome)
        task.attempt += 1
        delay = task.stage.retry.backoff * 2 ** (task.attempt - 2) * random.uniform(0.5, 1.5)
        self._book.again([task], code=outcome.error and outcome.error["code"], delay=round(delay, 3))
        self._later.append((time.monotonic() + delay, task))
        name = Path(task.item.path).name
        self._listener.note(f"{task.stage.label} {name} failed, it is tried again in {delay:.1f} s")

    def ended(self, task: Task, outcome: Outcome) -> None:
        """End a task, and those that cannot be done because of that."""
        self._book.ended(task, outcome)
        for ended in (task, *self._flow.end(task, outcome)):
            if ended is not task:
                assert ended.outcome is not None
                self._book.ended(ended, ended.outcome)
            self._listener.task_ended(ended)
        self._tasks_changed()
        if outcome.status == "failed" and self._options.fail_fast:
            self._skip_the_rest()

    def _skip_the_rest(self) -> None:
        """After a failure with --fail-fast: what is at work is finished, nothing new is begun."""
        for task in self._flow.open_tasks():
            if not task.is_running and task.outcome is None:
                self.ended(task, reasons.stopped())

    def _waits_for_room(self, task: Task) -> bool:
        """After a full disk: hold the run until there is room again. False when there seems to be room and it fails on."""
        self._full[task] += 1
        lack = self._room.lack()
        if lack is None and self._full[task] > 2:
            return False
        self._book.put_back(task)
        self._flow.put_back(task)
        if lack:
            self.waits("disk_full", lack)
        return True

    # Looking after everything

    def _look_now_and_then(self) -> None:
        now = time.monotonic()
        due = [entry for entry in self._later if entry[0] <= now]
        for entry in due:
            self._later.remove(entry)
            self._flow.put_back(entry[1])
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._look()

    def _look(self) -> None:
        """Look for requests, for room on the disks, for projects that other runs have given up."""
        self._requested.take()
        if "disk_full" in self._holds:
            self.waits("disk_full", self._lack_of_room())
        self._dispatch.take_up_busy()
        self._book.step_counts(self._flow)

    def _write(self) -> None:
        self._book.tick()
        if self._book.full and "disk_full" not in self._holds:
            self.waits("disk_full", self._lack_of_room())

    def _lack_of_room(self) -> str | None:
        return self._room.lack() or self._book.full

    def waits(self, code: str, message: str | None) -> None:
        """Note a reason to wait, or that it is over."""
        before = dict(self._holds)
        if message:
            self._holds[code] = message
        else:
            self._holds.pop(code, None)
        if self._holds and self._holds != before:
            first = next(iter(self._holds.items()))
            self._book.held(*first)
            self._listener.note(first[1])
        elif before and not self._holds:
            self._book.held(None)
            self._listener.note("The run goes on.")

    def _let_workers_finish(self) -> None:
        """Close the workers' input and take what they still say, for a bounded time."""
        for stage_id in self._flow.stages:
            self._crew.finish(stage_id)
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while list(self._crew) and time.monotonic() < deadline and not self._interrupts:
            self._take_messages()

    def _hear_the_last(self) -> None:
        """Take what workers said before they were ended: an item that was done just then is done."""
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while list(self._crew) and time.monotonic() < deadline:
            self._take_messages()

    def _sweep(self) -> None:
        """Remove what workers that were killed left unfinished, where no later work did."""
        for root in (self._work_dir, *map(Path, self._flow.projects())):
            sweep(root)

    def forget(self, task: Task) -> None:
        """Forget what is known of a task's earlier attempts, and its planned next one."""
        self._later = [entry for entry in self._later if entry[1] is not task]
        self._dispatch.given_up.pop(task.stage.id, None)
        self._kills.pop(task, None)

    def cancel(self, task: Task) -> None:
        """End a task that a person does not want done any more; its worker too, if it is at work."""
        at_work = next((entry for entry in self._dispatch.at_work.items() if entry[1].task is task), None)
        if at_work:
            worker, work = at_work
            work.is_cancelled, work.reason = True, work.reason or {}
            worker.stop_soon()
        elif task.outcome is None:
            self.forget(task)
            self.ended(task, Outcome("cancelled", message="cancelled by a person"))

    def changed(self, text: str) -> None:
        """Say what a person's request came to."""
        self._listener.note(text)
        self._listener.tasks_changed(self._flow)

    def _tasks_changed(self) -> None:
        if self._flow.added:
            self._book.added(self._flow.added)
            self._flow.added.clear()
            self._listener.tasks_changed(self._flow)
