"""The graph of a run, by hand: what is ready when, and what a failure takes with it."""

from __future__ import annotations

import dataclasses

import pytest

from config.catalog import steps
from services.flow import Flow, Outcome, Task
from services.items import WorkItem
from services.planner import chosen_steps, make_plan, workflows
from services.stages import Stage, stages_of
from tests.unit.graphs import PROJECT, command_task, planned, step_task

ALL = list(steps())
ARCHIVE = WorkItem("archive", "/in/a.zip")


def flow(chosen: list[str], found: dict[str, list[WorkItem]] | None = None, **changes: object) -> Flow:
    """A flow of these steps, without the tests and the validation of the workflow."""
    plan = make_plan(workflows()["full"], objective="test", files=["/in"], steps=chosen)
    stages = {stage.id: stage for stage in stages_of(plan).values() if stage.spec}
    for stage_id, change in changes.items():
        stages[stage_id] = dataclasses.replace(stages[stage_id], **change)  # type: ignore[arg-type]
    return Flow(stages, lambda step, project: (found or {}).get(step.id, []))


def label(task: Task) -> str:
    return f"{task.stage.label} {task.item.path.rpartition('/')[2]}"


def take(flow: Flow) -> list[str]:
    """Take everything that is ready, later stages first: `STEP3 v1`."""
    taken = []
    for stage_id in reversed(flow.stages):
        while task := flow.next_ready(stage_id):
            taken.append(label(task))
    return taken


def task_of(flow: Flow, step_id: str, path: str) -> Task:
    return flow.tasks[step_id.lower(), path]


def end(flow: Flow, step_id: str, path: str, status: str = "done") -> list[str]:
    return [label(task) for task in flow.end(task_of(flow, step_id, path), Outcome(status))]


def extracted(*originals: str) -> Flow:
    """A run of all steps whose archive brought these originals."""
    made = flow(ALL)
    made.begin_with_archive(ARCHIVE)
    assert take(made) == ["STEP1 a.zip"]
    for name in originals:
        made.discovered(task_of(made, "STEP1", ARCHIVE.path), WorkItem("original", f"{PROJECT}/{name}", PROJECT))
    assert take(made) == [], "nothing begins on what an archive brings before the archive is done"
    end(made, "STEP1", ARCHIVE.path)
    return made


def convert(made: Flow, original: str, video: str) -> None:
    made.discovered(task_of(made, "STEP2", f"{PROJECT}/{original}"), WorkItem("video", f"{PROJECT}/{video}", PROJECT))
    end(made, "STEP2", f"{PROJECT}/{original}")


def test_videos_flow_without_waiting_for_each_other() -> None:
    made = extracted("o1", "o2")
    assert take(made) == ["STEP2 o1", "STEP2 o2"]
    convert(made, "o1", "v1")
    assert take(made) == ["STEP4 v1", "STEP3 v1"]
    end(made, "STEP3", f"{PROJECT}/v1")
    assert take(made) == [], "tracking needs scenes and audio"
    end(made, "STEP4", f"{PROJECT}/v1")
    assert take(made) == ["STEP5 v1"]
    end(made, "STEP5", f"{PROJECT}/v1")
    assert take(made) == ["STEP6 v1"]
    end(made, "STEP6", f"{PROJECT}/v1")
    assert take(made) == [], "the project waits for its other video"


def test_a_project_is_delivered_when_all_its_videos_have_ended_well_or_not() -> None:
    made = extracted("o1", "o2")
    take(made)
    assert end(made, "STEP2", f"{PROJECT}/o2", "failed") == []
    convert(made, "o1", "v1")
    for step_id in ("STEP3", "STEP4", "STEP5", "STEP6"):
        take(made)
        end(made, step_id, f"{PROJECT}/v1")
    assert take(made) == ["STEP7 a"]
    end(made, "STEP7", PROJECT)
    assert made.is_over()


def test_a_failure_skips_what_builds_on_it_and_nothing_else() -> None:
    made = extracted("o1")
    take(made)
    convert(made, "o1", "v1")
    take(made)
    assert end(made, "STEP4", f"{PROJECT}/v1", "failed") == ["STEP5 v1", "STEP6 v1"]
    assert take(made) == []
    assert end(made, "STEP3", f"{PROJECT}/v1") == ["STEP7 a"], "no video of the project was finished"
    assert made.is_over()


def test_a_failed_archive_ends_the_run() -> None:
    made = flow(ALL)
    made.begin_with_archive(ARCHIVE)
    take(made)
    end(made, "STEP1", ARCHIVE.path, "failed")
    assert made.is_over()
    assert not made.may_get_more("step2")


def test_steps_that_were_not_chosen_are_looked_through() -> None:
    videos = {"STEP3": [WorkItem("video", f"{PROJECT}/v1", PROJECT)]}
    made = flow(["STEP3", "STEP6"], videos)
    made.begin_with_archive(WorkItem("archive", "/in/a.zip", PROJECT))
    assert take(made) == ["STEP3 v1"]
    end(made, "STEP3", f"{PROJECT}/v1")
    assert take(made) == ["STEP6 v1"]


def test_without_step2_an_archive_brings_the_proxies_that_are_there() -> None:
    made = flow(["STEP1", "STEP3"], {"STEP3": [WorkItem("video", f"{PROJECT}/v1", PROJECT)]})
    made.begin_with_archive(ARCHIVE)
    take(made)
    made.discovered(task_of(made, "STEP1", ARCHIVE.path), WorkItem("original", f"{PROJECT}/o1", PROJECT))
    end(made, "STEP1", ARCHIVE.path, "up_to_date")
    assert take(made) == ["STEP3 v1"]


def test_a_project_alone_can_be_delivered() -> None:
    made = flow(["STEP7"])
    made.begin_with_project(PROJECT)
    assert take(made) == ["STEP7 a"]


def test_a_project_that_is_named_twice_is_worked_on_once() -> None:
    made = flow(["STEP6", "STEP7"], {"STEP6": [WorkItem("video", f"{PROJECT}/v1", PROJECT)]})
    for _ in range(2):
        made.begin_with_project(PROJECT)
    assert take(made) == ["STEP6 v1"]
    end(made, "STEP6", f"{PROJECT}/v1")
    assert take(made) == ["STEP7 a"]
    alone = flow(["STEP7"])
    for _ in range(2):
        alone.begin_with_project(PROJECT)
    assert take(alone) == ["STEP7 a"]


def test_projects_go_one_after_the_other_and_large_files_first() -> None:
    made = flow(ALL)
    for project, sizes in (("a", {"small": 1, "large": 9}), ("b", {"huge": 99})):
        made.begin_with_archive(WorkItem("archive", f"/in/{project}.zip"))
        bringing = task_of(made, "STEP1", f"/in/{project}.zip")
        for name, size in sizes.items():
            made.discovered(bringing, WorkItem("original", f"/work/{project}/{name}", f"/work/{project}", size))
    take(made)
    for project in "ab":
        end(made, "STEP1", f"/in/{project}.zip")
    assert made.waiting_bytes("step2") == 1 + 9 + 99
    assert label(made.next_ready("step2")) == "STEP2 large"  # type: ignore[arg-type]
    assert made.waiting_bytes("step2") == 1 + 99
    assert take(made) == ["STEP2 small", "STEP2 huge"]
    assert made.waiting_bytes("step2") == 0
    made.put_back(task_of(made, "STEP2", "/work/b/huge"))
    assert made.waiting_bytes("step2") == 99


def test_what_failed_is_done_again_and_all_that_comes_after_it() -> None:
    made = extracted("o1", "o2")
    take(made)
    for number in "12":
        convert(made, f"o{number}", f"v{number}")
        take(made)
        end(made, "STEP3", f"{PROJECT}/v{number}")
    assert end(made, "STEP4", f"{PROJECT}/v1", "failed") == ["STEP5 v1", "STEP6 v1"]
    for step_id in ("STEP4", "STEP5", "STEP6"):
        take(made)
        end(made, step_id, f"{PROJECT}/v2")
    take(made)
    end(made, "STEP7", PROJECT)
    assert made.is_over()
    again = made.redo(task_of(made, "STEP4", f"{PROJECT}/v1"), force=False)
    assert sorted(label(task) for task in again) == ["STEP4 v1", "STEP5 v1", "STEP6 v1", "STEP7 a"]
    attempts = {label(task): task.attempt for task in again}
    assert attempts == {"STEP4 v1": 2, "STEP5 v1": 1, "STEP6 v1": 1, "STEP7 a": 2}, "what never began is no new attempt"
    for step_id in ("STEP4", "STEP5", "STEP6"):
        assert take(made) == [f"{step_id} v1"]
        end(made, step_id, f"{PROJECT}/v1")
    assert take(made) == ["STEP7 a"]


def test_an_accepted_failure_lets_what_depends_on_it_go_on() -> None:
    made = extracted("o1")
    take(made)
    convert(made, "o1", "v1")
    take(made)
    end(made, "STEP3", f"{PROJECT}/v1")
    assert end(made, "STEP4", f"{PROJECT}/v1", "failed") == ["STEP5 v1", "STEP6 v1", "STEP7 a"]
    assert task_of(made, "STEP7", PROJECT).accepted == []
    reopened = made.accept(task_of(made, "STEP4", f"{PROJECT}/v1"))
    assert sorted(label(task) for task in reopened) == ["STEP5 v1", "STEP6 v1", "STEP7 a"]
    assert task_of(made, "STEP7", PROJECT).accepted == [f"{PROJECT}/v1"], "the delivery knows what is taken as it is"
    assert take(made) == ["STEP5 v1"]


def test_a_delivery_that_was_made_without_a_video_is_made_again_once_that_is_accepted() -> None:
    made = planned(**DELIVERED)
    take(made)
    end(made, "STEP6", f"{PROJECT}/v1", "failed")
    end(made, "STEP6", f"{PROJECT}/v2")
    assert take(made) == ["STEP7 a"]
    end(made, "STEP7", PROJECT)
    reopened = made.accept(task_of(made, "STEP6", f"{PROJECT}/v1"))
    assert "STEP7 a" in [label(task) for task in reopened]
    assert take(made) == ["STEP7 a"], "and its check waits for it once more"
    assert task_of(made, "STEP7", PROJECT).accepted == [f"{PROJECT}/v1"]
    end(made, "STEP7", PROJECT)
    assert take(made) == ["step7.test step7.test"]


def test_accepting_one_of_two_failures_is_not_enough() -> None:
    made = extracted("o1")
    take(made)
    convert(made, "o1", "v1")
    take(made)
    end(made, "STEP3", f"{PROJECT}/v1", "failed")
    end(made, "STEP4", f"{PROJECT}/v1", "failed")
    made.accept(task_of(made, "STEP4", f"{PROJECT}/v1"))
    assert take(made) == []
    assert made.is_over()
    made.accept(task_of(made, "STEP3", f"{PROJECT}/v1"))
    assert take(made) == ["STEP5 v1"]


def test_an_optional_stage_may_fail() -> None:
    made = flow(ALL, step4={"is_optional": True})
    made.begin_with_archive(ARCHIVE)
    take(made)
    made.discovered(task_of(made, "STEP1", ARCHIVE.path), WorkItem("original", f"{PROJECT}/o1", PROJECT))
    end(made, "STEP1", ARCHIVE.path)
    take(made)
    convert(made, "o1", "v1")
    take(made)
    assert end(made, "STEP4", f"{PROJECT}/v1", "failed") == []
    end(made, "STEP3", f"{PROJECT}/v1")
    assert take(made) == ["STEP5 v1"]


def test_a_command_waits_for_the_whole_stage_and_what_follows_waits_for_it() -> None:
    made = planned(sequential_tasks=[
        step_task("STEP3"), command_task("notify", "step3"), step_task("STEP5", "notify"),
    ])  # fmt: skip
    assert take(made) == ["STEP3 v1", "STEP3 v2"]
    end(made, "STEP3", f"{PROJECT}/v1")
    assert take(made) == [], "the command waits for the other video"
    end(made, "STEP3", f"{PROJECT}/v2", "failed")
    assert take(made) == ["notify notify"]
    made.end(made.tasks["notify", "notify"], Outcome("done"))
    assert take(made) == ["STEP5 v1"], "v2 was lost before the command"


def test_tests_and_validation_come_last_and_are_left_out_where_something_failed() -> None:
    check = ["derush", "verify", "{projects}"]
    parts = {"sequential_tasks": [step_task("STEP3", test=check)], "validation": [check]}
    made = planned(**parts)
    take(made)
    for number in "12":
        end(made, "STEP3", f"{PROJECT}/v{number}")
    assert take(made) == ["step3.test step3.test"]
    made.end(made.tasks["step3.test", "step3.test"], Outcome("done"))
    assert take(made) == ["validation.1 validation.1"]
    failing = planned(**parts)
    take(failing)
    end(failing, "STEP3", f"{PROJECT}/v1")
    assert end(failing, "STEP3", f"{PROJECT}/v2", "failed") == ["step3.test step3.test", "validation.1 validation.1"]
    assert failing.is_over()


CHECK = ["derush", "verify", "{projects}"]
DELIVERED = {
    "sequential_tasks": [step_task("STEP6"), step_task("STEP7", "step6", test=CHECK)], "validation": [CHECK],
}  # fmt: skip


def command(made: Flow, name: str) -> Task:
    return made.tasks[name, name]


def test_checks_are_made_once_the_failure_of_the_last_step_is_accepted() -> None:
    made = planned(**DELIVERED)
    take(made)
    for number in "12":
        end(made, "STEP6", f"{PROJECT}/v{number}")
    take(made)
    assert end(made, "STEP7", PROJECT, "failed") == ["step7.test step7.test", "validation.1 validation.1"]
    made.accept(task_of(made, "STEP7", PROJECT))
    assert take(made) == ["step7.test step7.test"]
    assert made.end(command(made, "step7.test"), Outcome("failed")) == [command(made, "validation.1")]
    made.accept(command(made, "step7.test"))
    assert take(made) == ["validation.1 validation.1"], "what a check found can be accepted too"


def test_a_check_stays_left_out_while_another_failure_before_it_is_not_accepted() -> None:
    made = planned(**DELIVERED)
    take(made)
    end(made, "STEP6", f"{PROJECT}/v1", "failed")
    end(made, "STEP6", f"{PROJECT}/v2")
    take(made)
    end(made, "STEP7", PROJECT, "failed")
    made.accept(task_of(made, "STEP7", PROJECT))
    assert take(made) == ["step7.test step7.test"], "it looks at that step alone"
    made.end(command(made, "step7.test"), Outcome("done"))
    left_out = command(made, "validation.1").outcome
    assert left_out and left_out.message == "1 task was not done"
    made.accept(task_of(made, "STEP6", f"{PROJECT}/v1"))
    assert take(made) == ["validation.1 validation.1"]


def test_a_task_in_an_error_says_what_it_is_and_not_the_whole_graph() -> None:
    made = extracted(*(f"o{number}" for number in range(200)))
    assert len(repr(task_of(made, "STEP7", PROJECT))) < 4_000


def test_a_check_that_failed_is_done_again_alone() -> None:
    made = planned(sequential_tasks=[step_task("STEP3")], validation=[["derush", "verify"], ["true"]])
    take(made)
    for number in "12":
        end(made, "STEP3", f"{PROJECT}/v{number}")
    assert sorted(take(made)) == ["validation.1 validation.1", "validation.2 validation.2"]
    check = made.tasks["validation.1", "validation.1"]
    made.end(check, Outcome("failed"))
    made.end(made.tasks["validation.2", "validation.2"], Outcome("done"))
    assert made.is_over()
    assert made.redo(check, force=False) == [check]
    assert take(made) == ["validation.1 validation.1"]


def test_a_restored_flow_goes_on_where_it_was() -> None:
    made = flow(ALL)
    archive = made.restore("step1", ARCHIVE, PROJECT, None)
    original = made.restore("step2", WorkItem("original", f"{PROJECT}/o1", PROJECT), PROJECT, archive)
    whole = made.restore("step7", WorkItem("project", PROJECT, PROJECT), PROJECT, archive)
    videos = [
        made.restore(stage_id, WorkItem("video", f"{PROJECT}/v1", PROJECT), PROJECT, original)
        for stage_id in ("step3", "step4", "step5", "step6")
    ]
    for task in (archive, original, videos[0]):
        made.restored(task, attempt=1, force=False, outcome=Outcome("done"))
    for task in (whole, *videos[1:]):
        made.restored(task, attempt=1, force=False, outcome=None)
    made.go_on()
    assert take(made) == ["STEP4 v1"], "what was done is not done again, what was at work begins anew"
    end(made, "STEP4", f"{PROJECT}/v1")
    assert take(made) == ["STEP5 v1"]


def test_stages_know_what_comes_before_them() -> None:
    stages = stages_of(
        make_plan(workflows()["full"], objective="test", files=["/in"], steps=["STEP1", "STEP2", "STEP3", "STEP6"])
    )
    assert isinstance(stages["step6"], Stage)
    assert stages["step6"].before == {"step3"}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [(None, ALL), ("1-3,6", ["STEP1", "STEP2", "STEP3", "STEP6"]), ("STEP5", ["STEP5"]), ("7,2", ["STEP2", "STEP7"])],
)
def test_choosing_steps(text: str | None, chosen: list[str]) -> None:
    assert chosen_steps(text, ALL) == chosen


@pytest.mark.parametrize("text", ["0", "8", "3-1", "x", "1-", "1,,2", "-3"])
def test_a_choice_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--steps"):
        chosen_steps(text, ALL)
