"""What persons ask of a run while it goes on, through the store: taken, and carried out on its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from services.book import Book
from services.errors import ServiceError
from services.executions import Store
from services.flow import Flow, Task
from services.steering import Target, can_be_retried, chosen, first_of, is_followed_by_work


class Steered(Protocol):
    """The run, as far as requests change how it goes on."""

    def waits(self, code: str, message: str | None) -> None:
        """Note a reason to start nothing new, or that it is over."""

    def cancel(self, task: Task) -> None:
        """End a task, at work or not."""

    def forget(self, task: Task) -> None:
        """Forget what is known of a task's earlier attempts."""

    def changed(self, text: str) -> None:
        """Say what a request came to."""


class Requested:
    """Takes the requests of one run, each once, also across its supervisors."""

    def __init__(self, store: Store, book: Book, flow: Flow, run: Steered) -> None:
        self.is_cancelled = False
        self._store = store
        self._book = book
        self._flow = flow
        self._run = run

    def take(self) -> None:
        """Carry out what was asked since the last time."""
        try:
            events = self._store.events_after(self._book.run.id, self._book.run.requests_seen, names=["requested"])
        except ServiceError:
            return  # the store is kept by another process for a moment: asked again soon
        for event in events:
            self._carry_out(str(event.data.get("action")), Target.from_record(event.data.get("target") or {}))
            self._book.seen_request(event.id)

    def _carry_out(self, action: str, target: Target) -> None:
        meant = chosen(self._flow.tasks.values(), target, self._book.ids_of)
        if action == "pause":
            self._run.waits("paused", "Paused: what is running is finished, nothing new is started.")
        elif action == "resume":
            self._run.waits("paused", None)
        elif action == "cancel":
            self.is_cancelled = self.is_cancelled or target.is_everything
            for task in meant:
                self._run.cancel(task)
        elif action == "retry":
            self._retry(meant, onwards=target.onwards)
        elif action == "accept":
            self._accept(meant)

    def _retry(self, meant: list[Task], *, onwards: bool) -> None:
        for task in first_of(task for task in meant if can_be_retried(task, onwards=onwards)):
            name = f"{task.stage.label} {Path(task.item.path).name}"
            if is_followed_by_work(task, self._flow):
                self._run.changed(f"{name} is not done again now: a later step is at work on it. Cancel that first.")
                continue
            self._run.forget(task)
            self._book.again(self._flow.redo(task, force=onwards))
            self._run.changed(f"{name} is done again")
        self._book_skipped()

    def _accept(self, meant: list[Task]) -> None:
        for task in meant:
            if task.outcome and task.outcome.status == "failed":
                name = f"{task.stage.label} {Path(task.item.path).name}"
                if is_followed_by_work(task, self._flow):  # what is at work began without it
                    self._run.changed(
                        f"{name} is not accepted now: a later step is at work. Accept it when that has ended."
                    )
                    continue
                reopened = self._flow.accept(task)
                self._book.accepted(task)
                self._book.again(reopened)
                self._run.changed(f"{name} is accepted as it is")
        self._book_skipped()

    def _book_skipped(self) -> None:
        """Note the tasks that were open again for a moment, and skipped for another reason than before."""
        for task in self._flow.tasks.values():
            if task.outcome and task.outcome.status == "skipped" and self._book.row_of(task).status == "queued":
                self._book.ended(task, task.outcome)
