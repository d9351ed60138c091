"""What a request means: which tasks, by whatever a person calls them; which of those are done again, and from where on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from services import reasons
from services.executions import Execution
from services.flow import Flow, Outcome, Task
from services.steering import Target, can_be_retried, chosen, first_of, is_followed_by_work, is_row_meant
from tests.unit.graphs import PROJECT, command_task, planned, step_task

EVERYTHING = {"step3 v1", "step3 v2", "step4 v1", "step4 v2", "step5 v1", "step5 v2", "tell tell"}


@pytest.fixture
def run() -> Flow:
    """Scenes and audio of two videos, tracking after both, and a command at the end."""
    first = [step_task("STEP3"), step_task("STEP4")]
    return planned(
        parallel_tasks=first, sequential_tasks=[step_task("STEP5", "step3", "step4"), command_task("tell", "step5")]
    )


def task_of(run: Flow, stage_id: str, video: str) -> Task:
    return run.tasks[stage_id, f"{PROJECT}/{video}"]


def names(tasks: Iterable[Task]) -> list[str]:
    return [f"{task.stage.id} {task.item.path.rpartition('/')[2]}" for task in tasks]


def ids_of(task: Task) -> set[str]:
    """The ids that a book would give: of two attempts, and of the step."""
    return {f"first {task.number}", f"second {task.number}", f"step {task.stage.id}"}


def rows_of(run: Flow) -> list[Execution]:
    """The same run as the store keeps it."""
    shared = {"run_id": "run", "queued_at": "2026-01-01T00:00:00.000000+00:00"}
    found = [Execution(id="run", kind="run", **shared)]
    for stage in run.stages.values():
        step = stage.spec.id if stage.spec else None
        found.append(Execution(id=f"step {stage.id}", kind="step", parent_execution_id="run", stage=stage.id, step=step, **shared))  # fmt: skip
    for task in run.tasks.values():
        step = task.stage.spec.id if task.stage.spec else None
        found += [
            Execution(
                id=f"{attempt} {task.number}", kind="task", parent_execution_id=f"step {task.stage.id}", stage=task.stage.id,
                step=step, subject=task.item.path, project=task.project, **shared,
            )
            for attempt in ("first", "second")
        ]  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        (Target(), EVERYTHING),
        (Target(step="STEP3"), {"step3 v1", "step3 v2"}),
        (Target(step="step3"), {"step3 v1", "step3 v2"}),
        (Target(step="tell"), {"tell tell"}),
        (Target(step="none"), set()),
        (Target(video="V1"), {"step3 v1", "step4 v1", "step5 v1"}),
        (Target(video="a/v1"), {"step3 v1", "step4 v1", "step5 v1"}),
        (Target(video=f"{PROJECT}/v1"), {"step3 v1", "step4 v1", "step5 v1"}),
        (Target(video="b/v1"), set()),
        (Target(video="none"), set()),
        (Target(step="STEP4", video="v2"), {"step4 v2"}),
        (Target(execution="step step5"), {"step5 v1", "step5 v2"}),
        (Target(execution="step step5", video="v2"), {"step5 v2"}),
    ],
)
def test_tasks_at_work_and_recorded_ones_are_meant_alike(run: Flow, target: Target, meant: set[str]) -> None:
    assert set(names(chosen(run.tasks.values(), target, ids_of))) == meant
    recorded = [row for row in rows_of(run) if row.kind == "task" and is_row_meant(row, target)]
    assert {f"{row.stage} {str(row.subject).rpartition('/')[2]}" for row in recorded} == meant


def test_a_task_is_meant_by_the_id_of_any_of_its_attempts(run: Flow) -> None:
    tracking = task_of(run, "step5", "v1")
    for target in (Target(execution=f"first {tracking.number}"), Target(execution=f"second {tracking.number}")):
        assert chosen(run.tasks.values(), target, ids_of) == [tracking]
        assert [row.id for row in rows_of(run) if is_row_meant(row, target)] == [target.execution]


def test_a_step_is_meant_by_its_name_but_not_by_a_video_and_a_run_never(run: Flow) -> None:
    rows = {row.id: row for row in rows_of(run)}
    assert is_row_meant(rows["step step3"], Target(step="STEP3"))
    assert not is_row_meant(rows["step step3"], Target(video="v1"))
    assert not is_row_meant(rows["run"], Target())


def test_a_name_is_the_same_however_its_accents_are_written() -> None:
    row = Execution(
        id="a", run_id="r", kind="task", queued_at="", subject="/w/p/docs/E\u0301te\u0301.mp4", project="/w/p"
    )
    assert is_row_meant(row, Target(video="\u00e9t\u00e9"))


def test_a_target_comes_back_from_its_event() -> None:
    target = Target("exec_1", "STEP3", "v1", onwards=True)
    assert Target.from_record(json.loads(json.dumps(target.record()))) == target
    assert Target.from_record({}) == Target()


def test_only_the_first_of_those_asked_for_are_done_again_in_their_order(run: Flow) -> None:
    everything = list(run.tasks.values())
    videos = [task for task in everything if task.stage.spec]
    assert names(first_of(videos)) == ["step3 v1", "step4 v1", "step3 v2", "step4 v2"]
    assert names(first_of(reversed(videos))) == ["step4 v2", "step3 v2", "step4 v1", "step3 v1"]
    assert names(first_of([task_of(run, "step5", "v1"), task_of(run, "step3", "v2")])) == ["step5 v1", "step3 v2"]


def test_their_order_never_depends_on_where_they_lie_in_memory() -> None:
    many = planned(sequential_tasks=[command_task(f"c{number}") for number in range(100)])
    assert first_of(many.tasks.values()) == list(many.tasks.values())


@pytest.mark.parametrize(("stage_id", "video"), [("step5", "v1"), ("tell", None)], ids=["a step", "a command"])
def test_a_task_is_followed_by_work_at_any_distance(run: Flow, stage_id: str, video: str | None) -> None:
    at_work = task_of(run, stage_id, video) if video else run.tasks[stage_id, stage_id]
    scenes = task_of(run, "step3", "v1")
    assert not is_followed_by_work(scenes, run)
    at_work.is_running = True
    assert is_followed_by_work(scenes, run)
    assert not is_followed_by_work(at_work, run)
    assert is_followed_by_work(task_of(run, "step3", "v2"), run) == (video is None)


def test_a_graph_with_very_many_ways_through_it_is_looked_through_once() -> None:
    """Each of 30 layers is two tasks that come after both of the layer before: 2^30 ways lead from end to end."""
    run = planned(sequential_tasks=[command_task("c")])
    spare = run.tasks["c", "c"]
    layers = [[Task(spare.stage, spare.item, None, number) for number in range(2)] for _ in range(30)]
    for before, after in pairwise(layers):
        for earlier in before:
            earlier.needed_by += after
        for later in after:
            later.after.update(dict.fromkeys(before))
    assert not is_followed_by_work(layers[0][0], run)
    assert first_of([layers[-1][0], layers[0][0]]) == [layers[0][0]]


ENDS: dict[str, Callable[[], Outcome]] = {
    "failed": lambda: Outcome("failed"), "cancelled": lambda: Outcome("cancelled"), "stopped": reasons.stopped,
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_what_ended_badly_is_tried_again(run: Flow, end: str) -> None:
    task = task_of(run, "step3", "v1")
    assert not can_be_retried(task, onwards=False)
    run.end(task, ENDS[end]())
    assert can_be_retried(task, onwards=False)


@pytest.mark.parametrize("status", ["done", "up_to_date", "skipped", "accepted"])
def test_what_did_not_is_done_again_only_from_a_step_on(run: Flow, status: str) -> None:
    task = task_of(run, "step3", "v1")
    assert not can_be_retried(task, onwards=True), "it has not ended"
    run.end(task, Outcome(status, message="stopped at the first failure"))
    assert not can_be_retried(task, onwards=False), "whatever its message says"
    assert can_be_retried(task, onwards=True)
