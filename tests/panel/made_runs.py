"""Runs that nobody carried out, as a supervisor would have written them: many of them, or one with many videos."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

from services.executions import Event, Execution, Store, new_id
from services.options import Options
from services.planner import make_plan, workflows

BEGAN = datetime(2026, 3, 1, 8, 0, tzinfo=timezone.utc)
STEPS = {f"STEP{number}": f"step{number}" for number in range(1, 8)}
SECONDS = {"STEP1": 4.0, "STEP2": 9.0, "STEP3": 6.0, "STEP4": 7.0, "STEP5": 20.0, "STEP6": 1.0, "STEP7": 12.0}
ERRORS = (
    ("decode_failed", "The stream cannot be decoded.", "Have the file delivered again."),
    ("model_missing", "The model is missing.", "Run `derush models fetch`."),
)


def moment(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def plan(name: str) -> dict[str, Any]:
    made = make_plan(workflows()["full"], objective=f"full: {name}", files=[f"/rushes/{name}"])
    return made.without_tests().record()


def make_run(status: str, at: float, name: str = "day.zip", **values: Any) -> Execution:
    run_id = new_id()
    return Execution(
        id=run_id, run_id=run_id, kind="run", status=status, queued_at=moment(at), started_at=moment(at + 1),
        ended_at=moment(at + 61) if status not in {"running", "queued", "interrupted"} else None, seconds=60.0,
        plan=plan(name), parameters=Options().record(), message=f"full: {name}", **values,
    )  # fmt: skip


def save_many(store: Store, count: int) -> list[Execution]:
    """Save runs that ended, one a minute; every tenth failed."""
    runs = [
        make_run(
            "failed" if number % 10 == 0 else "succeeded", number * 60, f"day {number}.zip",
            metrics={"counts": {"done": 18, "failed": 2} if number % 10 == 0 else {"done": 15, "up_to_date": 5}},
        )
        for number in range(count)
    ]  # fmt: skip
    store.save(runs)
    return runs


class BigRun:
    """A run of one archive with many videos, each step of each of them a task; `failing` of them failed in STEP3."""

    def __init__(
        self, videos: int, *, failing: int = 0, status: str = "failed", project: str = "/work/projets/day"
    ) -> None:
        self.project = project
        self.run = make_run(status, 0.0)
        self.tasks: list[Execution] = []
        self.events: list[Event] = []
        self.steps = {step: self._row("step", step) for step in STEPS}
        self._chance = random.Random(7)
        archive = self.task("STEP1", "archive", "/rushes/day.zip", 1.0)
        for number in range(videos):
            self._video(number, archive, is_failing=number < failing)
        last = max([0.0, *(self._ended(task) for task in self.tasks)])
        self.task("STEP7", "project", project, last)
        ended = max(self._ended(task) for task in self.tasks)
        self.run.seconds = ended
        if self.run.ended_at:
            self.run.ended_at = moment(ended)

    def save(self, store: Store) -> BigRun:
        store.save([self.run, *self.steps.values(), *self.tasks], self.events)
        return self

    def of(self, step: str) -> list[Execution]:
        return [task for task in self.tasks if task.step == step]

    def _video(self, number: int, archive: Execution, *, is_failing: bool) -> None:
        name, began = f"clip_{number:04}", 5.0 + number * 4.0
        original = self.task("STEP2", "original", f"{self.project}/{name}.mov", began, brought_by=archive.id)
        proxy, began = f"{self.project}/docs/{name}.mp4", self._ended(original)
        for step in ("STEP3", "STEP4", "STEP5", "STEP6"):
            if is_failing and step == "STEP3":
                code, message, remedy = ERRORS[number % 2]
                values: dict[str, Any] = {
                    "status": "failed",
                    "error": {"code": code, "message": message, "remedy": remedy},
                }
            else:
                values = {"status": "skipped"} if is_failing and step in {"STEP5", "STEP6"} else {}
            self.task(step, "video", proxy, began, brought_by=original.id, **values)

    def task(
        self, step: str, kind: str, subject: str, began: float, status: str = "succeeded", **values: Any
    ) -> Execution:
        seconds = SECONDS[step] * self._chance.uniform(0.5, 1.5)
        row = self._row("task", step)
        row.item_kind, row.subject, row.project, row.status = kind, subject, self.project, status
        row.outcome, row.seconds = "done" if status == "succeeded" else status, seconds
        row.started_at = moment(began) if status != "skipped" else None
        row.ended_at = moment(began + seconds)
        for name, value in values.items():
            setattr(row, name, value)
        self.tasks.append(row)
        return row

    def _row(self, kind: str, step: str) -> Execution:
        parent = self.run.id if kind == "step" else self.steps[step].id
        return Execution(
            id=new_id(), run_id=self.run.id, parent_execution_id=parent, kind=kind, stage=STEPS[step], step=step,
            number=len(self.tasks) + (10 if kind == "task" else 1 + int(step[-1])), queued_at=moment(0.0),
            status="succeeded", parameters={"title": step} if kind == "step" else {},
        )  # fmt: skip

    @staticmethod
    def _ended(task: Execution) -> float:
        return (datetime.fromisoformat(str(task.ended_at)) - BEGAN).total_seconds()
