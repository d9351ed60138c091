"""One run: workers started as they are needed, fed as items become ready, followed, and ended for certain."""

from __future__ import annotations

import queue
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from config.contract import Exit
from config.settings import Settings
from services.book import Book
from services.claims import Claims
from services.crew import DEATHS_WINDOW, MOST_DEATHS, Crew
from services.environments import HOME_ENVIRONMENT, Environment
from services.errors import ServiceError
from services.executions import Store
from services.flow import STOPPED_AT_FAILURE, Flow, Outcome, Task
from services.items import found_item
from services.options import Options
from services.pools import COMMAND_TAKES, Amounts, Pools, takes
from services.room import Room
from services.stages import Stage
from services.steering import Target, can_be_retried, chosen, first_of, target_from
from services.worker import Ended, Logged, Message, Worker, resolved, start_command

_TICK = 0.2
_LOOK_SECONDS = 0.5
"""How often the store is asked for requests, and disks and claims are looked at again."""
_LAST_WORDS_SECONDS = 10.0
_NAP_SECONDS = 1.0
"""From this long between two looks at the workers on, this process slept (Ctrl-Z, a waking machine), and not they."""
_MOST_KILLS = 2
"""Workers that an item may take with it: then it is set aside, whatever its step's retries."""
_STOPPING = frozenset({"paused", "disk_full"})
"""Reasons to wait that keep every task from beginning; a project that another run works on keeps only its own."""
_DEADLY = frozenset({"worker_died", "stalled", "timeout"})


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

    def log_line(self, label: str, line: str) -> None:
        """A worker wrote a line to its log."""

    def warning(self, label: str, item: str | None, code: str, message: str) -> None:
        """A worker warned of something."""

    def note(self, text: str) -> None:
        """Something about the run itself: it waits, it goes on, it tries again."""


@dataclass
class Result:
    """What a run came to."""

    run_id: str
    tasks: list[Task] = field(default_factory=list)
    artefacts: list[Mapping[str, Any]] = field(default_factory=list)
    warnings: list[Mapping[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    status: str = "succeeded"
    exit_code: int = Exit.OK


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


class Supervisor:
    """Carries out the tasks of a flow, as far as the pools allow."""

    def __init__(
        self,
        flow: Flow,
        environments: Mapping[str, Environment],
        options: Options,
        settings: Settings,
        store: Store,
        book: Book,
        claims: Claims,
        pools: Pools,
        listener: Listener,
    ) -> None:
        self._flow = flow
        self._environments = environments
        self._options = options
        self._settings = settings
        self._store = store
        self._book = book
        self._claims = claims
        self._pools = pools
        self._listener = listener
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        gpus = pools.sizes["gpu"]
        self._amounts = {
            stage.id: takes(stage.spec, settings, options.device, gpus) if stage.spec else COMMAND_TAKES
            for stage in flow.stages.values()
        }
        on_gpu = frozenset(stage_id for stage_id, amounts in self._amounts.items() if "gpu" in amounts)
        self._crew = Crew(book.run.id, environments, self._arguments, self._messages.put, on_gpu, gpus)
        self._in_order = sorted(reversed(flow.stages.values()), key=lambda stage: stage.is_check)
        self._room = Room(settings)
        self._at_work: dict[Worker, Work] = {}
        self._last_words: dict[Worker, Mapping[str, str]] = {}
        self._given_up: dict[str, Mapping[str, str]] = {}
        self._kills: Counter[Task] = Counter()
        self._full: Counter[Task] = Counter()
        self._later: list[tuple[float, Task]] = []
        self._busy: list[Task] = []
        self._holds: dict[str, str] = {}
        self._next_look = 0.0
        self._watched_at = time.monotonic()
        self._interrupts = 0
        self._is_cancelled = False
        self._refused: int | None = None
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
            self._look()
            while self._goes_on():
                self._dispatch()
                self._take_messages()
                self._watch_workers()
                self._look_now_and_then()
                self._write()
            self._let_workers_finish()
        finally:
            self._crew.stop()
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
        counts = Counter(task.outcome.status for task in result.tasks if task.outcome and task.stage.spec)
        error = next(iter(self._given_up.values()), None) if result.status == "failed" else None
        self._book.finish(result.status, seconds, error, {"counts": counts, "exit_code": int(result.exit_code)})

    def _verdict(self) -> tuple[str, int]:
        if self._interrupts:
            return "interrupted", Exit.INTERRUPTED
        failed = any(task.outcome is not None and task.outcome.status == "failed" for task in self.result.tasks)
        if self._refused is not None:
            return "failed", self._refused
        if self._is_cancelled:
            return "cancelled", Exit.SOME_FAILED
        return ("failed", Exit.SOME_FAILED) if failed else ("succeeded", Exit.OK)

    # Giving work out

    def _dispatch(self) -> None:
        """Give ready tasks to workers as far as the pools allow: later stages first, so that what was begun is finished.

        Checks come last: they keep nobody waiting.

        A second worker of a stage is started only when no other stage can use the room.
        """
        if not self._holds.keys() & _STOPPING:
            for with_further_workers in (False, True):
                for stage in self._in_order:
                    while self._give_one(stage, with_further_workers):
                        pass
        for stage_id in self._flow.stages:
            if not self._flow.may_get_more(stage_id):
                self._crew.finish(stage_id)

    def _give_one(self, stage: Stage, further: bool) -> bool:
        """Begin one task of a stage, if there is one that may; returns whether to look for another."""
        if not self._flow.has_ready(stage.id):
            return False
        if stage.id in self._given_up:
            return self._refuse_one(stage)
        if not self._pools.has_room(self._amounts[stage.id]):
            return False
        worker = self._crew.idle(stage.id)
        if (
            worker is None
            and stage.spec
            and ((self._crew.has(stage.id) and not further) or not self._crew.may_start(stage))
        ):
            return False
        task = self._flow.next_ready(stage.id)
        if task is None or not self._is_ours(task):
            if worker:
                self._crew.rest(worker)
            return task is not None
        if stage.spec is None:
            self._begin_command(task)
        else:
            self._give(task, worker or self._started(self._crew.start(stage)))
        return True

    def _refuse_one(self, stage: Stage) -> bool:
        task = self._flow.next_ready(stage.id)
        if task:
            self._end(task, Outcome("failed", error=self._given_up[stage.id]))
        return task is not None

    def _is_ours(self, task: Task) -> bool:
        """Claim what a task is about; a task whose project another run works on waits, or is refused by choice."""
        subject = _subject(task)
        if task.stage.spec is None or self._options.dry_run or self._claims.take(subject):
            return True
        error = _busy(subject, self._claims.holder(subject))
        if self._options.if_busy == "refuse":
            self._refused = Exit.PREREQUISITE
            self._end(task, Outcome("failed", error=error))
        else:
            self._busy.append(task)
            self._hold("project_busy", error["message"])
        return False

    def _give(self, task: Task, worker: Worker) -> None:
        amounts, now = self._amounts[task.stage.id], time.monotonic()
        self._pools.take(amounts)
        self._at_work[worker] = Work(task, amounts, now, now)
        worker.give(task.item, force=task.force)

    def _started(self, worker: Worker) -> Worker:
        self._book.workers(self._crew.identities(), "worker_started", {"pid": worker.pid, "stage": worker.stage.id})
        return worker

    def _begin_command(self, task: Task) -> None:
        if self._options.dry_run:
            self._end(task, Outcome("would_run", message=" ".join(task.stage.command)))
            return
        environment = self._environments[task.stage.environment]
        command = resolved(task.stage.command, environment, self._environments[HOME_ENVIRONMENT], self._flow.projects())
        if command is None:
            self._end(task, Outcome("skipped", message="the run worked on no project"))
            return
        log_path = self._settings.logs_dir / "commands" / f"{self._book.run.id}_{task.stage.id}.log"
        try:
            worker = start_command(task.stage, environment, command, self._book.run.id, self._messages.put, log_path)
        except OSError as error:
            self._end(task, Outcome("failed", error=_cannot_start(command, error)))
            return
        self._started(self._crew.join(worker))
        now = time.monotonic()
        self._pools.take(COMMAND_TAKES)
        self._at_work[worker] = Work(task, COMMAND_TAKES, now, now)
        self._begun(task, worker)

    def _arguments(self, stage: Stage) -> list[str]:
        return self._options.arguments(stage.label)

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
        kind, work = event["event"], self._at_work.get(worker)
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
        self.result.warnings.append(facts)
        about = work.task if work and item == work.task.item.path else None
        self._book.warning(about, {key: facts.get(key) for key in ("step", "item", "code", "message")})
        self._listener.warning(label, item, str(event.get("code")), str(event.get("message")))

    def _take_task_event(self, worker: Worker, task: Task, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "item_started":
            self._begun(task, worker)
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
            self._leave(worker)
            self._crew.rest(worker)
            self._end_or_retry(task, self._outcome_of(event))

    def _begun(self, task: Task, worker: Worker) -> None:
        self._book.started(task, str(worker.log_path) if worker.log_path else None)
        self._listener.task_started(task)

    def _leave(self, worker: Worker) -> Work:
        work = self._at_work.pop(worker)
        self._pools.give_back(work.amounts)
        return work

    def _outcome_of(self, event: Mapping[str, Any]) -> Outcome:
        would_run = self._options.dry_run and event["status"] == "skipped"
        status = "would_run" if would_run else event["status"]
        return Outcome(status, event["seconds"], event["message"], event["error"], event["metrics"])

    def _worker_ended(self, message: Ended) -> None:
        """Take note of a worker's end; the item it had at hand, if any, failed with it."""
        worker, stage = message.worker, message.worker.stage
        if worker not in self._crew:
            return
        self._crew.left(worker)
        work = self._leave(worker) if worker in self._at_work else None
        facts = {"pid": worker.pid, "stage": stage.id, "returncode": message.returncode}
        self._book.workers(self._crew.identities(), "worker_ended", facts)
        if self._interrupts:
            return  # what it had at hand did not fail: it goes on when the run is resumed
        if work and work.is_cancelled:
            self._end(work.task, Outcome("cancelled", message="cancelled by a person"))
        elif stage.spec is None and work:
            self._command_ended(work, message)
        else:
            self._step_worker_ended(message, work)

    def _step_worker_ended(self, message: Ended, work: Work | None) -> None:
        worker, stage = message.worker, message.worker.stage
        error = (work.reason if work else None) or self._last_words.pop(worker, None) or _death(message)
        if message.returncode in (Exit.PREREQUISITE, Exit.USAGE):
            self._refused = message.returncode
            self._given_up[stage.id] = error
        elif message.returncode not in (Exit.OK, Exit.SOME_FAILED) and self._crew.dies_too_often(stage.id):
            self._given_up[stage.id] = _given_up(stage, error)
        if work:
            self._end_or_retry(work.task, Outcome("failed", time.monotonic() - work.given_at, error=error))

    def _command_ended(self, work: Work, message: Ended) -> None:
        seconds = time.monotonic() - work.given_at
        if message.returncode == 0:
            last = message.worker.log_tail[-1] if message.worker.log_tail else ""
            self._end(work.task, Outcome("done", seconds, last))
        else:
            self._end_or_retry(work.task, Outcome("failed", seconds, error=_command_failed(message)))

    # Ends and further attempts

    def _end_or_retry(self, task: Task, outcome: Outcome) -> None:
        """End a task, unless its failure is one that passes: then it is tried again after a while."""
        code = outcome.error["code"] if outcome.error else None
        if code == "disk_full" and self._waits_for_room(task):
            return
        self._kills[task] += code in _DEADLY
        policy = task.stage.retry
        may_pass = code in policy.codes and task.stage.id not in self._given_up and self._kills[task] < _MOST_KILLS
        self._end(task, outcome, may_pass and task.attempt < policy.max_attempts)

    def _end(self, task: Task, outcome: Outcome, tries_again: bool = False) -> None:
        self._book.ended(task, outcome)
        if tries_again:
            task.attempt += 1
            delay = task.stage.retry.backoff * 2 ** (task.attempt - 2) * random.uniform(0.5, 1.5)
            self._book.again([task], code=outcome.error and outcome.error["code"], delay=round(delay, 3))
            self._later.append((time.monotonic() + delay, task))
            name = Path(task.item.path).name
            self._listener.note(f"{task.stage.label} {name} failed, it is tried again in {delay:.1f} s")
            return
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
                self._end(task, Outcome("skipped", message=STOPPED_AT_FAILURE))

    def _waits_for_room(self, task: Task) -> bool:
        """After a full disk: hold the run until there is room again. False when there seems to be room and it fails on."""
        self._full[task] += 1
        lack = self._room.lack()
        if lack is None and self._full[task] > 2:
            return False
        self._book.put_back(task)
        self._flow.put_back(task)
        if lack:
            self._hold("disk_full", lack)
        return True

    # Looking after everything

    def _watch_workers(self) -> None:
        """Stop a worker that said nothing about its item, or worked on it, for longer than its step allows."""
        now = time.monotonic()
        unheard = now - self._watched_at
        self._watched_at = now
        for worker, work in self._at_work.items():
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
        self._take_requests()
        if "disk_full" in self._holds:
            self._hold("disk_full", self._lack_of_room())
        for task in self._busy:
            if self._claims.take(_subject(task)):
                self._flow.put_back(task)
        self._busy = [task for task in self._busy if task.is_running]
        if not self._busy:
            self._hold("project_busy", None)
        self._book.step_counts(self._flow)

    def _write(self) -> None:
        self._book.tick()
        if self._book.full and "disk_full" not in self._holds:
            self._hold("disk_full", self._lack_of_room())

    def _lack_of_room(self) -> str | None:
        return self._room.lack() or self._book.full

    def _hold(self, code: str, message: str | None) -> None:
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

    def _tasks_changed(self) -> None:
        if self._flow.added:
            self._book.added(self._flow.added)
            self._flow.added.clear()
            self._listener.tasks_changed(self._flow)

    # Requests

    def _take_requests(self) -> None:
        try:
            events = self._store.events_after(self._book.run.id, self._book.run.requests_seen, names=["requested"])
        except ServiceError:
            return  # the store is kept by another process for a moment: asked again soon
        for event in events:
            self._carry_out(str(event.data.get("action")), target_from(event.data.get("target") or {}))
            self._book.seen_request(event.id)

    def _carry_out(self, action: str, target: Target) -> None:
        if action == "pause":
            self._hold("paused", "Paused: what is running is finished, nothing new is started.")
        elif action == "resume":
            self._hold("paused", None)
        elif action == "cancel":
            self._cancel(target)
        elif action == "retry":
            self._retry(target)
        elif action == "accept":
            self._accept(target)

    def _meant(self, target: Target) -> list[Task]:
        return chosen(self._flow.tasks.values(), target, self._book.ids_of)

    def _cancel(self, target: Target) -> None:
        self._is_cancelled = self._is_cancelled or target.is_everything
        at_work = {work.task: (worker, work) for worker, work in self._at_work.items()}
        for task in self._meant(target):
            if task in at_work:
                worker, work = at_work[task]
                work.is_cancelled, work.reason = True, work.reason or {}
                worker.stop_soon()
            elif task.outcome is None:
                self._later = [entry for entry in self._later if entry[1] is not task]
                self._end(task, Outcome("cancelled", message="cancelled by a person"))

    def _retry(self, target: Target) -> None:
        meant = self._meant(target)
        if target.onwards:
            again = first_of(task for task in meant if task.outcome is not None)
        else:
            again = first_of(task for task in meant if can_be_retried(task))
        for task in again:
            self._given_up.pop(task.stage.id, None)
            self._kills.pop(task, None)
            self._book.again(self._flow.redo(task, force=target.onwards))
            self._listener.note(f"{task.stage.label} {Path(task.item.path).name} is done again")
        self._book_skipped()
        self._listener.tasks_changed(self._flow)

    def _accept(self, target: Target) -> None:
        for task in self._meant(target):
            if task.outcome and task.outcome.status == "failed":
                reopened = self._flow.accept(task)
                self._book.accepted(task)
                self._book.again(reopened)
        self._book_skipped()
        self._listener.tasks_changed(self._flow)

    def _book_skipped(self) -> None:
        """Note the tasks that were open again for a moment, and skipped for another reason than before."""
        for task in self._flow.tasks.values():
            if task.outcome and task.outcome.status == "skipped" and self._book.row_of(task).status == "queued":
                self._book.ended(task, task.outcome)


def _subject(task: Task) -> str:
    return task.project or task.item.path


def _death(message: Ended) -> dict[str, str]:
    code = message.returncode
    how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
    last = message.worker.log_tail[-1] if message.worker.log_tail else "it wrote nothing"
    return {
        "code": "worker_died",
        "message": f"The worker of {message.worker.stage.label} {how} (last words: {last}).",
        "remedy": "Look at the log, set the file aside or mend it; `derush retry` does only this item anew.",
    }


def _given_up(stage: Stage, error: Mapping[str, str]) -> dict[str, str]:
    return {
        "code": "step_given_up",
        "message": f"{MOST_DEATHS} workers of {stage.label} died within {DEATHS_WINDOW:.0f} s, so it was stopped. {error['message']}",
        "remedy": f"`derush logs {stage.label}` has their last words. When it is mended, `derush retry` goes on.",
    }


def _busy(subject: str, holder: str) -> dict[str, str]:
    return {
        "code": "project_busy",
        "message": f"{Path(subject).name} is being worked on by {holder or 'another run'}.",
        "remedy": f"Wait for it, or end it: `derush cancel {holder}`." if holder else "Wait for it.",
    }


def _cannot_start(command: Sequence[str], error: OSError) -> dict[str, str]:
    return {
        "code": "command_not_found",
        "message": f"{command[0]} cannot be started ({error.strerror}).",
        "remedy": "Name a program that is installed, by its full path or as it is found on PATH.",
    }


def _command_failed(message: Ended) -> dict[str, str]:
    stage, tail = message.worker.stage, " ".join(list(message.worker.log_tail)[-3:])
    return {
        "code": "check_failed" if stage.is_check else "command_failed",
        "message": f"`{' '.join(stage.command)}` ended with {message.returncode}: {tail[-400:]}",
        "remedy": f"See {message.worker.log_path}.",
    }
