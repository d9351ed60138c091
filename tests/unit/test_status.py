"""The global status of a run, on trees with known figures: every expectation is worked out by hand beside it."""

from __future__ import annotations

import json
import statistics
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from config.catalog import steps
from services.database import open_database
from services.errors import ServiceError
from services.executions import Event, Execution, Store, new_id
from services.plans import Plan, PlanTask
from services.responses import GlobalStatus, RunWarning, StepStatus
from services.stages import stages_of
from services.status import MOST_ITEMS, global_status
from tests.conftest import REPOSITORY

pytest_plugins = ["tests.postgres"]

ITEM_KINDS = {step_id: spec.item for step_id, spec in steps().items()}


def at(second: float) -> str:
    """A time of the test's own clock."""
    return (datetime(2026, 1, 2, tzinfo=timezone.utc) + timedelta(seconds=second)).isoformat(timespec="microseconds")


def plan_of(*step_ids: str, test_last: bool = False) -> Plan:
    """A plan of steps, one after the other; with a check of the last one."""
    tasks = [
        PlanTask(
            id=step_id.lower(),
            name=f"{step_id} at work",
            step=step_id,
            files=() if number else ("/r",),
            depends=(step_ids[number - 1].lower(),) if number else (),
            test=("true",) if test_last and step_id == step_ids[-1] else (),
        )
        for number, step_id in enumerate(step_ids)
    ]
    return Plan(workflow="some", objective="The rushes of Camille", sequential_tasks=tuple(tasks))


class Grown:
    """A run that a test grows, task by task."""

    def __init__(self, store: Store, plan: Plan, **run: Any) -> None:
        run_id = new_id()
        values = {"status": "running", "queued_at": at(-5), "started_at": at(0), "plan": plan.record(), **run}
        self.store = store
        self.run = Execution(id=run_id, run_id=run_id, kind="run", **values)
        self.steps = {
            stage.id: Execution(
                id=new_id(), run_id=run_id, parent_execution_id=run_id, kind="step", number=number, stage=stage.id,
                step=stage.spec.id if stage.spec else None, queued_at=at(0), status="running",
            )
            for number, stage in enumerate(stages_of(plan).values(), 1)
        }  # fmt: skip
        self.number = 100
        store.save([self.run, *self.steps.values()])

    def row(self, stage: str, subject: str, **values: Any) -> Execution:
        step = self.steps[stage]
        self.number += 1
        kind = ITEM_KINDS[step.step] if step.step else "command"
        return Execution(
            id=new_id(), run_id=self.run.id, parent_execution_id=step.id, kind="task", number=self.number, stage=stage,
            step=step.step, item_kind=kind, subject=subject, **{"queued_at": at(0), **values},
        )  # fmt: skip

    def task(self, stage: str, subject: str, **values: Any) -> Execution:
        row = self.row(stage, subject, **values)
        self.store.save([row])
        return row

    def done(self, stage: str, subject: str, seconds: float, **values: Any) -> Execution:
        ended = {"status": "succeeded", "outcome": "done", "seconds": seconds, "ended_at": at(seconds)}
        return self.task(stage, subject, **{**ended, **values})

    def set(self, row: Execution, **values: Any) -> None:
        for name, value in values.items():
            setattr(row, name, value)
        self.store.save([row])

    def status(self, now: float = 100) -> GlobalStatus:
        return global_status(self.store, self.run.id, at(now))


def measured_before(store: Store, **seconds: float) -> None:
    """An earlier run in which a task of these steps took so long."""
    earlier = Grown(store, plan_of(*seconds), status="succeeded", ended_at=at(-1000))
    for step_id, mean in seconds.items():
        earlier.done(step_id.lower(), "/p/docs/a.mp4", mean / 2, ended_at=at(-1001))
        earlier.done(step_id.lower(), "/p/docs/b.mp4", mean * 3 / 2, ended_at=at(-1001))


def step(told: GlobalStatus, stage: str) -> StepStatus:
    (found,) = (step for step in told.steps if step.stage == stage)
    return found


def test_progress_and_time_left_weigh_each_step_by_what_its_tasks_cost(store: Store) -> None:
    measured_before(store, STEP2=10, STEP3=20)
    run = Grown(store, plan_of("STEP2", "STEP3", "STEP5"))
    first = run.done("step2", "/p/a.mov", 30)
    run.task("step2", "/p/b.mov", status="running", done=50, total=100)
    run.task("step2", "/p/c.mov")
    run.task("step2", "/p/d.mov")
    run.task("step3", "/p/docs/a.mp4", status="running", done=1, total=4, brought_by=first.id)
    run.task("step5", "/p/docs/a.mp4", brought_by=first.id)
    told = run.status(now=100)
    # A task costs 30 s in STEP2 (this run's own), 20 s in STEP3 (before), 10 s in STEP5 (as declared); of each there
    # will be four. Done are 30 s, 15 s of 30, 5 s of 20: 50 of 240, in 100 s; and 10 s in 10 s are supposed before.
    assert told.progress == pytest.approx(50 / 240)
    assert told.elapsed_seconds == 100
    assert told.remaining_seconds == pytest.approx(190 * 110 / 60)
    totals = {each.stage: (each.done, each.total, each.progress) for each in told.steps}
    assert totals == {"step2": (1, 4, 1.5 / 4), "step3": (0, 4, 0.25 / 4), "step5": (0, 4, 0)}
    assert told.counts == {"succeeded": 1, "running": 2, "queued": 3}
    assert (told.objective, told.workflow, told.status) == ("The rushes of Camille", "some", "running")


def test_progress_does_not_fall_when_videos_are_discovered(store: Store) -> None:
    measured_before(store, STEP1=1, STEP2=10, STEP3=20, STEP5=100)
    run = Grown(store, plan_of("STEP1", "STEP2", "STEP3", "STEP5"))
    archive = run.done("step1", "/r/a.zip", 1)
    originals = [run.task("step2", f"/p/{n}.mov", brought_by=archive.id) for n in range(4)]
    seen = [run.status().progress]
    for n, original in enumerate(originals):
        run.set(original, status="running", done=1, total=2)
        seen.append(run.status().progress)
        for stage in ("step3", "step5"):
            run.task(stage, f"/p/docs/{n}.mp4", brought_by=original.id)
        seen.append(run.status().progress)
        run.set(original, status="succeeded", outcome="done", seconds=10)
        seen.append(run.status().progress)
    assert seen == sorted(seen)
    # 1 s of STEP1; 4 × 10 s of STEP2, all over; 4 × (20 + 100) s to come.
    assert seen[0] == pytest.approx(1 / (1 + 4 * 130))
    assert seen[-1] == pytest.approx(41 / (41 + 4 * 120))


@pytest.mark.parametrize("end", ["failed", "cancelled", "skipped"])
def test_what_did_not_end_well_is_not_done_nor_is_what_it_would_have_brought(store: Store, end: str) -> None:
    measured_before(store, STEP1=1, STEP2=10, STEP3=20, STEP5=100)
    run = Grown(store, plan_of("STEP1", "STEP2", "STEP3", "STEP5"))
    archive = run.done("step1", "/r/a.zip", 1)
    run.task("step2", "/p/lost.mov", status=end, outcome=end, brought_by=archive.id)
    original = run.done("step2", "/p/a.mov", 10, brought_by=archive.id)
    run.done("step3", "/p/docs/a.mp4", 20, brought_by=original.id)
    tracking = run.task("step5", "/p/docs/a.mp4", brought_by=original.id)
    # Of 1 s of STEP1 and two videos of 10 + 20 + 100 s.
    assert run.status().progress == pytest.approx(31 / 261)
    totals = {each.stage: (each.done, each.total, each.progress) for each in run.status().steps}
    assert totals == {"step1": (1, 1, 1), "step2": (2, 2, 0.5), "step3": (1, 1, 1), "step5": (0, 1, 0)}
    run.set(tracking, status="succeeded", outcome="done", seconds=100)
    assert run.status().remaining_seconds == 0, "nothing is left to do"
    run.set(run.run, status=end if end != "skipped" else "failed", ended_at=at(200))
    assert run.status().progress == pytest.approx(131 / 261)


@pytest.mark.parametrize("end", ["failed", "cancelled", "interrupted"])
def test_a_run_that_did_not_finish_its_work_never_tells_that_all_is_done(store: Store, end: str) -> None:
    run = Grown(store, plan_of("STEP3"))
    store.save([run.row("step3", f"/p/docs/{n}.mp4", status="succeeded", outcome="done") for n in range(300)])
    run.set(run.run, status=end, ended_at=at(200))
    assert f"{run.status().progress:.0%}" == "99%"
    store.save([run.row("step3", f"/p/docs/late{n}.mp4", status="cancelled", outcome="cancelled") for n in range(300)])
    assert run.status().progress == pytest.approx(0.5)


def test_a_run_that_succeeded_without_what_was_cancelled_has_done_all(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"), status="succeeded", ended_at=at(9))
    run.done("step3", "/p/docs/a.mp4", 9)
    run.task("step3", "/p/docs/b.mp4", status="cancelled", outcome="cancelled")
    assert run.status().progress == 1


def test_an_archive_that_is_not_extracted_yet_stands_for_one_original(store: Store) -> None:
    measured_before(store, STEP1=1, STEP2=10, STEP3=20, STEP7=5)
    run = Grown(store, plan_of("STEP1", "STEP2", "STEP3", "STEP7"))
    run.task("step1", "/r/a.zip", status="running", done=1, total=2)
    told = run.status()
    assert [each.total for each in told.steps] == [1, 1, 1, 1]
    assert told.progress == pytest.approx(0.5 / 36)


def test_work_that_was_up_to_date_does_not_make_the_rest_look_quick(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"))
    for n in range(100):
        run.done("step3", f"/p/docs/{n}.mp4", 0.004, outcome="up_to_date")
    left = [run.task("step3", f"/p/docs/new{n}.mp4") for n in range(3)]
    assert run.status(now=10).remaining_seconds is None, "nothing was really done yet"
    run.set(left[0], status="succeeded", outcome="done", seconds=8.0)
    assert run.status(now=10).remaining_seconds == pytest.approx(2 * 8 * (10 + 10) / (8 + 10))
    assert run.status(now=10).progress == pytest.approx(101 / 103)


def test_checks_and_commands_weigh_a_second(store: Store) -> None:
    run = Grown(store, plan_of("STEP3", test_last=True))
    run.done("step3", "/p/docs/a.mp4", 9)
    run.task("step3.test", "step3.test")
    told = run.status(now=18)
    assert told.progress == pytest.approx(9 / 10)
    assert told.remaining_seconds == pytest.approx(1 * (18 + 10) / (9 + 10))
    assert [(each.stage, each.step, each.is_check) for each in told.steps] == [
        ("step3", "STEP3", False), ("step3.test", None, True),
    ]  # fmt: skip


def test_a_slow_start_does_not_frighten(store: Store) -> None:
    measured_before(store, STEP3=60)
    run = Grown(store, plan_of("STEP3"))
    run.task("step3", "/p/docs/a.mp4", status="running", done=1, total=600)
    for n in range(9):
        run.task("step3", f"/p/docs/{n}.mp4")
    # Ten minutes of work; after 6 s of starting and 0.1 s of work a naive rule would promise ten hours.
    assert 600 < (run.status(now=6).remaining_seconds or 0) < 1200


@pytest.mark.parametrize(("now", "elapsed"), [(-3600, 0), (0, 0), (50, 50)])
def test_a_clock_that_jumps_back_makes_no_time_negative(store: Store, now: float, elapsed: float) -> None:
    run = Grown(store, plan_of("STEP3"))
    run.done("step3", "/p/docs/a.mp4", 10)
    run.task("step3", "/p/docs/b.mp4")
    told = run.status(now)
    assert told.elapsed_seconds == elapsed
    # 10 s are left, 10 s were done in the time that passed, and 10 s in 10 s are supposed before.
    assert told.remaining_seconds == (10 * (elapsed + 10) / 20 if elapsed else None)


def test_the_time_between_two_supervisors_is_not_the_runs(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"), seconds=40, owner={"pid": 1, "since": at(900)})
    assert run.status(now=905).elapsed_seconds == 45
    run.set(run.run, status="interrupted", owner=None, ended_at=at(906), seconds=46)
    assert run.status(now=99999).elapsed_seconds == 46


def test_only_the_last_attempt_counts(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"))
    error = {"code": "worker_died", "message": "It died.", "remedy": "Look at the log."}
    failed = {"status": "failed", "outcome": "failed", "error": error}
    run.task("step3", "/p/docs/a.mp4", **failed)
    run.task("step3", "/p/docs/a.mp4", attempt=2, **failed)
    run.done("step3", "/p/docs/a.mp4", 10, attempt=3)
    run.task("step3", "/p/docs/b.mp4", **failed)
    last = run.task("step3", "/p/docs/b.mp4", attempt=2, project="/p", **failed)
    told = run.status()
    (only,) = told.steps
    assert told.counts == only.counts == {"succeeded": 1, "failed": 1}
    assert (told.attempts, told.retried, told.redone) == (3, 2, 0)
    assert (only.done, only.total, only.error_count) == (2, 2, 1)
    assert [failure.model_dump() for failure in only.errors] == [
        {"execution_id": last.id, "subject": "/p/docs/b.mp4", "project": "/p", **error}
    ]


def test_what_failed_is_told_apart_from_what_is_done_again_with_it(store: Store) -> None:
    run = Grown(store, plan_of("STEP5", "STEP7"))
    run.task("step5", "/p/docs/a.mp4", status="failed", outcome="failed")
    run.done("step5", "/p/docs/b.mp4", 5)
    run.done("step7", "/p", 5)
    assert (run.status().attempts, run.status().retried, run.status().redone) == (0, 0, 0)
    run.done("step5", "/p/docs/a.mp4", 5, attempt=2)
    run.task("step7", "/p", attempt=2, status="running")
    assert (run.status().attempts, run.status().retried, run.status().redone) == (2, 1, 1)


def test_of_many_failures_the_first_are_told_and_all_are_counted(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"))
    rows = [run.row("step3", f"/p/docs/{n:03}.mp4", status="failed", outcome="failed") for n in range(MOST_ITEMS + 5)]
    store.save(rows)
    (only,) = run.status().steps
    assert only.error_count == MOST_ITEMS + 5
    assert [failure.subject for failure in only.errors] == [f"/p/docs/{n:03}.mp4" for n in range(MOST_ITEMS)]


def test_what_is_at_work_is_told_with_how_far_it_is(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"))
    row = run.task(
        "step3", "/p/docs/a.mp4", project="/p", status="running", done=12, total=48, unit="frames", message="shots",
        started_at=at(3), attempt=2,
    )  # fmt: skip
    (only,) = run.status().steps
    assert [item.model_dump() for item in only.running] == [
        {
            "execution_id": row.id, "subject": "/p/docs/a.mp4", "project": "/p", "done": 12, "total": 48, "unit": "frames",
            "message": "shots", "started_at": at(3), "attempt": 2,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("done", "total", "share"), [(5, 0, 0), (-3, 10, 0), (30, 10, 1), (1, float("inf"), 0), (3, 12, 0.25)]
)
def test_odd_progress_is_taken_for_what_it_can_mean(store: Store, done: float, total: float, share: float) -> None:
    run = Grown(store, plan_of("STEP3"))
    run.task("step3", "/p/docs/a.mp4", status="running", done=done, total=total)
    told = run.status()
    assert told.progress == pytest.approx(share)
    assert json.loads(json.dumps(told.record(), allow_nan=False))["steps"][0]["progress"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("second_step", "expected"),
    [
        ({"status": "queued"}, "queued"),
        ({"status": "running"}, "running"),
        ({"status": "succeeded", "outcome": "done"}, "succeeded"),
        ({"status": "failed", "outcome": "failed"}, "failed"),
        ({"status": "skipped", "outcome": "skipped"}, "skipped"),
        ({"status": "cancelled", "outcome": "cancelled"}, "cancelled"),
        ({"status": "accepted", "outcome": "accepted"}, "succeeded"),
    ],
)
def test_a_steps_status_comes_from_its_tasks_while_the_run_goes_on(
    store: Store, second_step: dict[str, Any], expected: str
) -> None:
    run = Grown(store, plan_of("STEP2", "STEP3"))
    first = run.done("step2", "/p/a.mov", 1)
    run.task("step3", "/p/docs/a.mp4", brought_by=first.id, **second_step)
    told = run.status()
    assert (step(told, "step2").status, step(told, "step3").status) == ("succeeded", expected)


def test_a_step_that_may_be_brought_more_is_still_running(store: Store) -> None:
    run = Grown(store, plan_of("STEP2", "STEP3"))
    first = run.done("step2", "/p/a.mov", 1)
    run.task("step2", "/p/b.mov")
    run.done("step3", "/p/docs/a.mp4", 1, brought_by=first.id)
    assert step(run.status(), "step3").status == "running"


@pytest.mark.parametrize(("status", "left"), [("succeeded", 0), ("failed", 0), ("cancelled", 0), ("interrupted", None)])
def test_a_run_that_is_over_tells_what_was_recorded(store: Store, status: str, left: float | None) -> None:
    measured_before(store, STEP2=1000, STEP3=1)
    run = Grown(store, plan_of("STEP2", "STEP3"))
    run.done("step2", "/p/a.mov", 30)
    run.set(run.steps["step2"], status="succeeded", ended_at=at(31))
    run.set(run.steps["step3"], status=status)
    run.set(run.run, status=status, ended_at=at(60), seconds=58.5)
    told = run.status(now=5000)
    assert (told.status, told.elapsed_seconds, told.remaining_seconds) == (status, 58.5, left)
    assert step(told, "step3").status == status
    assert (step(told, "step2").ended_at, step(told, "step2").seconds) == (at(31), 30)


def test_what_an_interrupted_run_left_is_weighed_by_its_own_figures(store: Store) -> None:
    measured_before(store, STEP3=1)
    run = Grown(store, plan_of("STEP2", "STEP3"), status="interrupted", ended_at=at(60))
    first = run.done("step2", "/p/a.mov", 30)
    run.task("step3", "/p/docs/a.mp4", status="interrupted", done=1, total=2, brought_by=first.id)
    assert run.status().progress == pytest.approx(30 / 40), "STEP3 weighs what is declared, 10 s; it begins anew"


def test_a_held_run_says_why_and_promises_nothing(store: Store) -> None:
    held = {"code": "disk_full", "message": "There is no room."}
    run = Grown(store, plan_of("STEP3"), held=held)
    run.done("step3", "/p/docs/a.mp4", 10)
    run.task("step3", "/p/docs/b.mp4")
    told = run.status()
    assert told.held is not None
    assert told.held.model_dump() == held
    assert told.remaining_seconds is None


def test_a_run_that_has_not_begun_shows_its_steps(store: Store) -> None:
    plan = plan_of("STEP1", "STEP2")
    run_id = new_id()
    store.save([Execution(id=run_id, run_id=run_id, kind="run", queued_at=at(0), plan=plan.record())])
    told = global_status(store, run_id, at(3600))
    assert [(each.stage, each.title, each.status, each.execution_id) for each in told.steps] == [
        ("step1", "STEP1 at work", "queued", None), ("step2", "STEP2 at work", "queued", None),
    ]  # fmt: skip
    assert (told.progress, told.elapsed_seconds, told.remaining_seconds) == (0, 0, None)


def test_a_part_of_a_run_stands_for_it(store: Store) -> None:
    run = Grown(store, plan_of("STEP3"))
    task = run.task("step3", "/p/docs/a.mp4")
    for part in (run.steps["step3"], task):
        assert global_status(store, part.id, at(1)) == run.status(now=1)
    with pytest.raises(ServiceError) as refused:
        global_status(store, new_id())
    assert refused.value.code == "no_such_execution"


def test_the_first_warnings_are_told_and_all_are_counted(store: Store) -> None:
    run = Grown(store, plan_of("STEP2"))
    assert (run.status().warnings, run.status().warning_count) == ((), 0)
    given = {"step": "STEP2", "item": "/r/\udce9.mov", "code": "frames_missing", "message": "12 frames are missing."}
    store.save([], [Event(run_id=run.run.id, at=at(n), event="warning", data=given) for n in range(MOST_ITEMS)])
    store.save([], [Event(run_id=run.run.id, at=at(20), event="task_started")])
    told = run.status()
    assert told.warnings == (
        RunWarning(code="frames_missing", message="12 frames are missing.", step="STEP2", subject="/r/\udce9.mov"),
    ) * MOST_ITEMS  # fmt: skip
    assert told.warning_count == MOST_ITEMS
    unsaid = {"step": None, "item": None, "code": "c", "message": "m"}
    store.save([], [Event(run_id=run.run.id, at=at(30), event="warning", data=unsaid)])
    assert (len(run.status().warnings), run.status().warning_count) == (MOST_ITEMS, MOST_ITEMS + 1)


def test_the_schema_is_the_models_and_holds_for_what_is_told(store: Store) -> None:
    """To write the schema anew: json.dumps(GlobalStatus.model_json_schema(mode="serialization"), indent=2)."""
    schema = json.loads((REPOSITORY / "docs/schemas/status.json").read_text())
    assert schema == GlobalStatus.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator.check_schema(schema)
    run = Grown(store, plan_of("STEP2", "STEP3", test_last=True), held={"code": "paused", "message": "Paused."})
    names = ["/r/\udce9t\udce9\n[red]\x1b[31m.mov", "/r/nul\0.mov"]
    for name, status in zip(names, ("running", "failed"), strict=True):
        run.task("step2", name, status=status, error={"code": "c"} if status == "failed" else None)
    record = json.loads(json.dumps(run.status().record()))
    jsonschema.validate(record, schema)
    assert record["steps"][0]["running"][0]["subject"] == names[0]
    assert record["steps"][0]["errors"][0]["subject"] == names[1]
    del record["progress"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema)


def test_ten_thousand_tasks_are_summed_up_in_milliseconds(tmp_path: Path) -> None:
    with closing(open_database(tmp_path, None)) as database:
        store = Store(database)
        run = Grown(store, plan_of("STEP2", "STEP3", "STEP4", "STEP5", "STEP6"))
        artefact = {"kind": "scenes", "path": "/p/docs/some_clip_scenes.json", "bytes": 12345, "sha256": "0" * 64}
        ended = {"status": "succeeded", "outcome": "done", "seconds": 3.0, "artefacts": [artefact] * 2}
        rows = [
            run.row(
                stage, f"/p/docs/clip_{n:05}.mp4", **(ended if n < 1200 else {"status": "failed"} if n < 1250 else {})
            )
            for n in range(2000)
            for stage in run.steps
        ]
        again = [run.row("step2", f"/p/docs/clip_{n:05}.mp4", attempt=2, **ended) for n in range(1200, 1220)]
        store.save([*rows, *again])
        used = []
        for _ in range(11):
            started = time.process_time()  # what this costs, whatever else the machine does meanwhile
            told = run.status()
            used.append(time.process_time() - started)
    assert told.counts == {"succeeded": 5 * 1200 + 20, "failed": 5 * 50 - 20, "queued": 5 * 750}
    assert statistics.median(used) < 0.05


def test_responses_cannot_be_changed(store: Store) -> None:
    told = Grown(store, plan_of("STEP3")).status()
    with pytest.raises(ValueError, match="frozen"):
        told.progress = 1.0  # type: ignore[misc]
