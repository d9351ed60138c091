"""From a request to a run: recorded first, carried out when its turn comes, here or by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from config.contract import Exit
from config.settings import REPOSITORY, Settings
from services.book import HEARTBEAT_SECONDS, LONGEST_LOCK, Book
from services.claims import Claims
from services.errors import ServiceError
from services.executions import Event, Execution, Store, new_id, utc_now
from services.flow import Flow
from services.inputs import Finder, Inputs, left_out_record
from services.listening import Listener, Result
from services.options import Options
from services.plans import Plan
from services.preparation import fill, required_prerequisites
from services.processes import identity
from services.restoring import restore
from services.stages import stages_of
from services.statuses import ENDED
from services.supervisor import Supervisor
from services.survival import settle_orphans

_QUEUE_LOOK_SECONDS = 0.3
_Answer = TypeVar("_Answer")
MOST_URGENT = 100
"""Priorities go from -MOST_URGENT to MOST_URGENT."""


def record_run(store: Store, plan: Plan, options: Options, priority: int = 0, run_id: str | None = None) -> Execution:
    """Record a run that is to be carried out, by default under a new id; returns its row, queued.

    It is this process's until another takes it over: if this one dies before, that is noticed at the next look.
    Raises ServiceError run_is_recorded when there is a run of that id already.
    """
    now = utc_now()
    run_id = run_id or new_id()
    run = Execution(
        id=run_id, run_id=run_id, kind="run", number=0, queued_at=now, status="queued", priority=priority,
        plan=plan.record(), parameters=options.record(), message=plan.objective, owner=identity(), heartbeat_at=now,
    )  # fmt: skip
    if not store.add(run, Event(run_id=run_id, execution_id=run_id, at=now, event="run_queued", data={})):
        raise ServiceError("run_is_recorded", f"{run_id} is recorded already.", f"`derush show {run_id}` shows it.")
    return run


def reopen(store: Store, run: Execution) -> None:
    """Put a run that has ended, or was interrupted, back into the queue.

    Raises ServiceError when it is going on, or somebody else reopened it first.
    """
    values = {"status": "queued", "owner": identity(), "heartbeat_at": utc_now(), "ended_at": None, "error": None}
    if not store.change(run.id, ENDED, **values):
        raise ServiceError(
            "run_goes_on", f"{run.id} is going on already.", f"`derush status {run.id} --watch` shows it.", Exit.USAGE
        )
    store.save([], [Event(run_id=run.id, execution_id=run.id, at=utc_now(), event="run_queued", data={"again": True})])


def start_detached(run_id: str, settings: Settings) -> int:
    """Start a process of its own that carries a recorded run out; returns its process id."""
    settings.logs_dir.joinpath("runs").mkdir(parents=True, exist_ok=True)
    with (settings.logs_dir / "runs" / f"{run_id}.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "carry-out", run_id], cwd=REPOSITORY, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    return child.pid


class Run:
    """One recorded run, carried out by this process."""

    def __init__(self, run: Execution, settings: Settings, store: Store, listener: Listener) -> None:
        self.id = run.id
        self._settings = settings
        self._store = store
        self._listener = listener
        self._options = Options.from_record(run.parameters)
        self._supervisor: Supervisor | None = None
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Ask the run to stop; a second time, at once. Safe to call from a signal handler."""
        self._is_interrupted = True
        if self._supervisor:
            self._supervisor.interrupt()

    def carry_out(self) -> Result:
        """Wait for the run's turn, then do all its work. Raises ServiceError when it cannot be done at all."""
        self._patiently(self._give_sign)
        if not self._wait_for_turn():
            return self._never_claimed()
        run = self._store.get(self.id)
        run.started_at = run.started_at or utc_now()
        book = Book(self._store, run)
        book.begun()
        claims = Claims(self._settings.projects_dir, self.id)
        try:
            return self._supervise(book, claims)
        except ServiceError as error:
            if self._is_interrupted and not self._supervisor:
                return self._not_begun(book)
            # Before there was a supervisor the run could not be done; after that it was cut short, and can go on.
            _end_badly(book, "interrupted" if self._supervisor else "failed", error.record(), error.exit_code)
            raise
        except Exception as error:
            remedy = "Please report it with the log that is named."
            told = {"code": "bug", "message": f"A mistake in Derush itself: {error!r}.", "remedy": remedy}
            _end_badly(book, "failed", told, Exit.BUG)
            raise
        finally:
            claims.give_up()
            self._drop_old_events()

    def _drop_old_events(self) -> None:
        kept_since = datetime.now(timezone.utc) - timedelta(days=self._settings.events_keep_days)
        with suppress(ServiceError):  # the next run does it
            self._store.compact(kept_since.isoformat(timespec="microseconds"))

    def _supervise(self, book: Book, claims: Claims) -> Result:
        flow = self._flow(book)
        self._supervisor = Supervisor(flow, self._options, self._settings, self._store, book, claims, self._listener)
        if self._is_interrupted:
            self._supervisor.interrupt()
        result = self._supervisor.run()
        result.left_out = book.run.metrics.get("left_out", result.left_out)
        return result

    def _flow(self, book: Book) -> Flow:
        """Make the run's graph: anew, or from what an earlier supervisor left."""
        assert book.run.plan is not None
        stages = stages_of(Plan.from_record(book.run.plan))
        finder = Finder(self._settings, self._options)
        flow = Flow(stages, finder, force=self._options.force)
        chosen = [stage.spec.id for stage in stages.values() if stage.spec]
        rows = self._store.tree(self.id)
        book.restore_numbers(rows)
        is_new = not any(row.kind == "task" for row in rows)
        with required_prerequisites(chosen, self._settings, self._options.arguments):
            inputs = fill(flow, finder, self._settings, self._listener.note) if is_new else None
        if inputs is not None:
            _note_left_out(book, inputs)
        else:
            restore(flow, book, rows)
        book.open_steps(stages.values())
        return flow

    def _wait_for_turn(self) -> bool:
        """Wait until the run is claimed; False when it was interrupted or cancelled before."""
        told, next_sign = False, 0.0
        while not self._is_interrupted:
            if self._patiently(self._claim):
                return True
            run = self._store.get(self.id)
            if run.status != "queued":
                return False
            if not told:
                self._listener.note(_queue_message(self._store.active_runs(), self.id))
                told = True
            if time.monotonic() >= next_sign:
                next_sign = time.monotonic() + HEARTBEAT_SECONDS
                self._patiently(self._give_sign)
            time.sleep(_QUEUE_LOOK_SECONDS)
        return False

    def _claim(self) -> bool:
        owner = {**identity(), "since": utc_now()}
        return self._store.claim(self.id, owner, self._settings.max_concurrent_runs)

    def _give_sign(self) -> None:
        """Say that this process waits for the run's turn, and see to it that no dead run keeps a place."""
        self._store.change(self.id, ["queued"], owner=identity(), heartbeat_at=utc_now())
        settle_orphans(self._store)

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the store again while another process keeps it locked, unless that lasts too long or a person interrupts."""
        deadline = time.monotonic() + LONGEST_LOCK
        while True:
            try:
                return ask()
            except ServiceError as error:
                if error.code != "database_locked" or self._is_interrupted or time.monotonic() > deadline:
                    raise

    def _not_begun(self, book: Book) -> Result:
        """Record that the run was interrupted before its work began: Ctrl-C also ends what it asks the steps first."""
        book.finish("interrupted", 0.0, None, {"exit_code": Exit.INTERRUPTED})
        return Result(self.id, status="interrupted", exit_code=Exit.INTERRUPTED)

    def _never_claimed(self) -> Result:
        if self._store.end_run(self.id, ["queued"], "interrupted", "interrupted before its turn"):
            return Result(self.id, status="interrupted", exit_code=Exit.INTERRUPTED)
        return Result(self.id, status=self._store.get(self.id).status, exit_code=Exit.SOME_FAILED)


def _note_left_out(book: Book, inputs: Inputs) -> None:
    """Record what was found and is not taken in: each file as a warning, and how many there are with the run."""
    for each in inputs.left_out:
        book.warning(None, {"step": "STEP1", "item": each.path, "code": each.code, "message": each.message})
    if inputs.left_out:
        book.left_out(left_out_record(inputs.left_out))


def _end_badly(book: Book, status: str, error: Mapping[str, str], exit_code: int) -> None:
    """Record why a run could not be done; where not even that can be written, its end is noticed later."""
    if book.run.status != "running":
        return  # it had come to its end, and that could not be written
    try:
        book.interrupted()
        book.finish(status, 0.0, error, {"exit_code": int(exit_code)})
    except ServiceError:
        return


def _queue_message(active: list[Execution], run_id: str) -> str:
    others = [run.id for run in active if run.id != run_id]
    return f"Queued beside {', '.join(others[:3]) or 'others'}: it begins when its turn comes. `derush history` shows them."
