"""A run as a table of videos and steps, and as a picture of when its tasks were at work."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import count, pairwise

import pytest

from services.history import Part
from services.matrix import LETTERS, Matrix, Wanted, chosen, matrix
from services.planner import make_plan, workflows
from services.stages import Stage, stages_of
from services.statuses import STATUSES
from services.timeline import MOST_ROWS, POINTS, timeline

STAGES: dict[str, Stage] = stages_of(make_plan(workflows()["full"], objective="all", files=["/in"]))
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)
_numbers = count(1)


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat()


def part(stage: str, subject: str, kind: str = "video", status: str = "succeeded", **facts: object) -> Part:
    """A task of the project `/w/p`; further facts are columns."""
    number = next(_numbers)
    known = {
        "id": f"exec_{number:012x}", "number": number, "stage": stage, "item_kind": kind, "subject": subject,
        "project": "/w/p", "brought_by": None, "status": status, "outcome": None, "attempt": 1, "started_at": None,
        "ended_at": None,
    }  # fmt: skip
    return Part(**{**known, **facts})  # type: ignore[arg-type]


def cells(made: Matrix) -> dict[str, str]:
    return {row.name: ",".join(row.cells) for row in made.rows}


def test_an_original_and_its_proxy_are_one_row() -> None:
    archive = part("step1", "/in/p.zip", "archive")
    original = part("step2", "/w/p/clip.mov", "original", brought_by=archive.id)
    shots = part("step3", "/w/p/docs/clip.mp4", status="running", brought_by=original.id)
    speech = part("step4", "/w/p/docs/clip.mp4", status="queued", brought_by=original.id)
    delivery = part("step7", "/w/p", "project", status="queued")
    made = matrix([archive, original, shots, speech, delivery], STAGES)
    assert [column.id for column in made.columns] == [f"step{number}" for number in range(1, 8)]
    assert cells(made) == {"p": "s,,,,,,q", "clip.mov": ",s,r,q,,,"}
    assert [row.is_project for row in made.rows] == [True, False]
    assert made.task(original.id, "step3") == shots.id
    assert made.task(original.id, "step6") is None and made.task("exec_0", "step3") is None
    assert made.task(original.id, "step9") is None


def test_the_last_attempt_counts_and_its_number_is_told() -> None:
    first = part("step3", "/w/p/docs/a.mp4", status="failed")
    again = part("step3", "/w/p/docs/a.mp4", status="running", attempt=2)
    made = matrix([first, again], STAGES)
    assert cells(made) == {"a.mp4": ",,r2,,,,"}
    assert made.rows[0].id == first.id and made.task(first.id, "step3") == again.id


def test_a_row_keeps_its_id_whatever_is_tried_again() -> None:
    original = part("step2", "/w/p/a.mov", "original")
    shots = part("step3", "/w/p/docs/a.mp4", brought_by=original.id)
    again = part("step2", "/w/p/a.mov", "original", attempt=2)
    assert [row.id for row in matrix([original, shots, again], STAGES).rows] == [original.id]


def test_an_archive_is_its_project_as_soon_as_that_is_known() -> None:
    archive = part("step1", "/in/p.zip", "archive", status="running", project=None)
    assert cells(matrix([archive], STAGES)) == {"p.zip": "r,,,,,,"}
    original = part("step2", "/w/p/a.mov", "original", status="queued", brought_by=archive.id)
    made = matrix([archive, original], STAGES)
    assert cells(made) == {"p": "r,,,,,,", "a.mov": ",q,,,,,"}
    assert made.rows[0].id == archive.id


def test_of_several_archives_of_a_project_the_one_that_failed_is_told() -> None:
    parts = [
        part("step1", "/in/a.zip", "archive"),
        part("step1", "/in/b.zip", "archive", status="failed"),
        part("step1", "/in/c.zip", "archive"),
    ]
    assert cells(matrix(parts, STAGES)) == {"p": "f,,,,,,"}


def test_every_status_has_a_letter_of_its_own_and_what_was_up_to_date_another() -> None:
    assert set(LETTERS) == set(STATUSES) and len(set(LETTERS.values()) | {"u"}) == len(STATUSES) + 1
    done = [part("step3", f"/w/p/docs/{outcome}.mp4", outcome=outcome) for outcome in ("done", "up_to_date")]
    assert cells(matrix(done, STAGES)) == {"done.mp4": ",,s,,,,", "up_to_date.mp4": ",,u,,,,"}


def test_commands_and_stages_of_another_plan_are_not_shown() -> None:
    assert matrix([part("validation.1", "validation.1", "command"), part("gone", "/w/p/docs/a.mp4")], STAGES).rows == ()


@pytest.fixture
def two_projects() -> Matrix:
    """Two projects of two videos; one video of the second failed."""
    parts = []
    for project in ("/w/one", "/w/two"):
        archive = part("step1", f"/in{project}.zip", "archive", project=project)
        parts.append(archive)
        for name in ("a", "b"):
            is_bad = (project, name) == ("/w/two", "b")
            parts.append(
                part("step3", f"{project}/docs/{name}.mp4", status="failed" if is_bad else "succeeded", project=project)
            )
    return matrix(parts, STAGES)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), ["one", "a.mp4", "b.mp4", "two", "a.mp4", "b.mp4"]),
        (Wanted(letters="f"), ["two", "b.mp4"]),
        (Wanted(text="A.MP4"), ["one", "a.mp4", "two", "a.mp4"]),
        (Wanted(text="two"), ["two", "a.mp4", "b.mp4"]),
        (Wanted(text="nothing"), []),
        (Wanted(failed_first=True), ["two", "b.mp4", "a.mp4", "one", "a.mp4", "b.mp4"]),
        (Wanted(letters="f", text="a.mp4"), []),
    ],
)
def test_rows_are_chosen_by_state_and_name_below_their_project(
    two_projects: Matrix, wanted: Wanted, names: list[str]
) -> None:
    assert [row.name for row in chosen(two_projects, wanted)] == names


def test_accents_are_found_however_they_are_written() -> None:
    made = matrix([part("step3", "/w/p/docs/e\u0301te\u0301.mp4")], STAGES)
    assert len(chosen(made, Wanted(text="ÉTÉ"))) == 1


def test_tasks_at_work_at_the_same_time_stand_in_lanes_of_their_own() -> None:
    spans = [(0, 10), (2, 6), (6, 9), (10, 12)]
    parts = [part("step3", f"{n}", started_at=at(a), ended_at=at(b)) for n, (a, b) in enumerate(spans)]
    drawn = timeline(parts, STAGES, at(0), at(12))
    (step,) = drawn.steps
    lanes = [[(bar.start, bar.end) for bar in lane.bars] for lane in step.lanes]
    assert sorted(span for lane in lanes for span in lane) == sorted(spans)
    assert len(lanes) == 2 and all(one[1] <= other[0] for lane in lanes for one, other in pairwise(lane))
    assert (step.start, step.end, step.busy, step.tasks) == (0, 12, 19, 4)
    assert drawn.length == 12 and drawn.ticks[0] == (0.0, 0.0) and drawn.ticks[-1] == (1.0, 12.0)


def test_thousands_of_tasks_stay_a_picture_and_none_that_failed_is_lost() -> None:
    parts = [
        part("step3", f"{n}", status="failed" if n == 2500 else "succeeded", started_at=at(n), ended_at=at(n + 1))
        for n in range(5000)
    ]
    drawn = timeline(parts, STAGES, at(0), at(5000))
    bars = [bar for lane in drawn.steps[0].lanes for bar in lane.bars]
    assert sum(bar.count for bar in bars) == 5000 and len(bars) <= POINTS
    assert [bar.start <= 2500 <= bar.end for bar in bars if bar.status == "failed"] == [True]
    assert all(bar.part is None for bar in bars if bar.count > 1)


def test_a_part_of_the_time_is_seen_closer() -> None:
    parts = [part("step3", f"{n}", started_at=at(n * 10), ended_at=at(n * 10 + 5)) for n in range(100)]
    drawn = timeline(parts, STAGES, at(0), at(1000), view=(100, 130))
    bars = drawn.steps[0].lanes[0].bars
    assert [bar.start for bar in bars] == [100, 110, 120, 130]
    assert [round(bar.x, 3) for bar in bars[:2]] == [0, 0.333] and bars[0].width == pytest.approx(5 / 30)
    assert all(0 <= bar.x <= 1 and bar.x + bar.width <= 1.01 for bar in bars)


@pytest.mark.parametrize("view", [(-50.0, -10.0), (90.0, 10.0), (1e9, 2e9), (5.0, 5.0)])
def test_a_part_that_makes_no_sense_is_a_second_of_the_run(view: tuple[float, float]) -> None:
    drawn = timeline([part("step3", "a", started_at=at(0), ended_at=at(100))], STAGES, at(0), at(100), view=view)
    assert 0 <= drawn.start < drawn.end <= 100 and drawn.end - drawn.start == 1


def test_a_step_is_shown_task_by_task_with_its_attempts() -> None:
    parts = [
        part("step3", "/w/a.mp4", status="failed", started_at=at(0), ended_at=at(2)),
        part("step3", "/w/b.mp4", started_at=at(1), ended_at=at(3)),
        part("step3", "/w/a.mp4", status="running", attempt=2, started_at=at(4)),
        part("step4", "/w/a.mp4", status="queued"),
    ]
    drawn = timeline(parts, STAGES, at(0), at(9), opened="step3")
    (step,) = drawn.steps
    assert [(lane.name, [bar.status for bar in lane.bars]) for lane in step.lanes] == [
        ("/w/a.mp4", ["failed", "running"]), ("/w/b.mp4", ["succeeded"]),
    ]  # fmt: skip
    assert step.lanes[0].bars[1].end == 9
    many = [part("step3", f"{n}", started_at=at(n), ended_at=at(n + 1)) for n in range(MOST_ROWS + 7)]
    (step,) = timeline(many, STAGES, at(0), at(999), opened="step3").steps
    assert (len(step.lanes), step.left_out) == (MOST_ROWS, 7)
