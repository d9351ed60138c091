"""What a run's book writes, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.book import Book
from services.database import open_database
from services.executions import Event, Execution, Store, new_id, utc_now
from services.flow import Flow, Outcome, Task
from tests.unit.graphs import PROJECT, planned, step_task

ERROR = {"code": "stalled", "message": "It was silent.", "remedy": "Look."}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(open_database(tmp_path, None))


@pytest.fixture
def flow() -> Flow:
    return planned(sequential_tasks=[step_task("STEP3")])


def a_book(store: Store, flow: Flow, **run: Any) -> Book:
    """A book that has written what there is to do."""
    run_id = new_id()
    row = Execution(id=run_id, run_id=run_id, kind="run", status="running", queued_at=utc_now(), **run)
    store.save([row])
    book = Book(store, row)
    book.begun()
    book.open_steps(flow.stages.values())
    book.added(flow.added)
    assert book.flush(must=True)
    return book


def a_task(flow: Flow) -> Task:
    return flow.tasks["step3", f"{PROJECT}/v1"]


def test_a_failed_attempt_and_that_it_is_tried_again_are_written_together(
    store: Store, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads the one without the other would tell a failure that is none."""
    book, task = a_book(store, flow), a_task(flow)
    book.started(task, None)
    assert book.flush(must=True)
    written: list[list[str]] = []
    save = store.save

    def noted(executions: Any, events: list[Event]) -> None:
        written.append([event.event for event in events])
        save(executions, events)

    monkeypatch.setattr(store, "save", noted)
    book.ended(task, Outcome("failed", error=ERROR))
    task.attempt += 1
    book.again([task], code="stalled", delay=1.5)
    assert book.flush(must=True)
    assert written == [["task_ended", "task_retried"]]


def test_the_figures_of_an_earlier_end_go_when_the_run_goes_on(store: Store, flow: Flow) -> None:
    left_out = {"count": 1, "named": []}
    book = a_book(store, flow, metrics={"counts": {"failed": 2}, "exit_code": 1, "left_out": left_out})
    assert store.get(book.run.id).metrics == {"left_out": left_out}
