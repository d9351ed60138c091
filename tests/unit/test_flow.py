"""The graph of a run, by hand: what is ready when, and what a failure takes with it."""

from __future__ import annotations

import pytest

from config.catalog import steps
from services.flow import Flow, Outcome, Task, waits_for
from services.supervisor import chosen_steps
from services.worker import WorkItem

ALL = list(steps())
ARCHIVE = WorkItem("archive", "/in/a.zip")
PROJECT = "/work/a"


def flow(chosen: list[str], found: dict[str, list[WorkItem]] | None = None) -> Flow:
    return Flow(chosen, steps(), lambda step, project: (found or {}).get(step.id, []))


def take(flow: Flow) -> list[str]:
    """Take everything that is ready: `STEP3 v1`."""
    taken = []
    while task := flow.next_ready():
        taken.append(f"{task.step.id} {task.item.path.rpartition('/')[2]}")
    return taken


def end(flow: Flow, step_id: str, path: str, status: str = "done") -> list[str]:
    return [
        f"{t.step.id} {t.item.path.rpartition('/')[2]}" for t in flow.end(flow.tasks[step_id, path], Outcome(status))
    ]


def extracted(*originals: str) -> Flow:
    """A run of all steps whose archive brought these originals."""
    made = flow(ALL)
    made.begin_with_archive(ARCHIVE)
    assert take(made) == ["STEP1 a.zip"]
    for name in originals:
        made.discovered(made.tasks["STEP1", ARCHIVE.path], WorkItem("original", f"{PROJECT}/{name}", PROJECT))
    assert take(made) == [], "nothing begins on what an archive brings before the archive is done"
    end(made, "STEP1", ARCHIVE.path)
    return made


def convert(made: Flow, original: str, video: str) -> None:
    made.discovered(made.tasks["STEP2", f"{PROJECT}/{original}"], WorkItem("video", f"{PROJECT}/{video}", PROJECT))
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
    assert not made.may_get_more("STEP2")


def test_steps_that_were_not_chosen_are_looked_through() -> None:
    assert waits_for("STEP6", ["STEP1", "STEP2", "STEP3", "STEP6"], steps()) == {"STEP2", "STEP3"}
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
    made.discovered(made.tasks["STEP1", ARCHIVE.path], WorkItem("original", f"{PROJECT}/o1", PROJECT))
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


def test_later_steps_go_first() -> None:
    made = extracted("o1", "o2")
    first = made.next_ready()
    assert isinstance(first, Task)
    convert(made, "o1", "v1")
    assert take(made)[0] == "STEP4 v1", "a video that was begun is finished before another one begins"


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
