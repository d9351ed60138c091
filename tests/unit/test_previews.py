"""What a run would do, how long it takes and what it writes: the arithmetic, by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest

from config.catalog import steps
from config.settings import read_settings
from services import previews
from services.database import open_database
from services.errors import ServiceError
from services.executions import Store
from services.flow import Flow, Outcome, Task
from services.forecasts import Forecast, artefact_bytes, states_of
from services.history import Pace
from services.inputs import Input, LeftOut, left_out_record, left_out_text
from services.items import WorkItem
from services.options import Options
from services.planner import make_plan, workflows
from services.responses import Preview
from services.stages import stages_of
from tests.conftest import REPOSITORY

PROJECT = "/work/a"
MB = 1_000_000
GROWTH = {step_id: spec.growth for step_id, spec in steps().items()}


def flow(*chosen: str, force: bool = False) -> Flow:
    plan = make_plan(workflows()["full"], objective="test", files=["/in"], steps=chosen or list(steps()))
    stages = {stage.id: stage for stage in stages_of(plan).values() if stage.spec}
    return Flow(stages, lambda step, project: [], force=force)


def task(made: Flow, step_id: str, path: str) -> Task:
    return made.tasks[step_id.lower(), path]


def brought(made: Flow, step_id: str, by: str, kind: str, path: str, size: int = 0) -> None:
    made.discovered(task(made, step_id, by), WorkItem(kind, path, PROJECT, size))


def with_two_videos(*, force: bool = False) -> Flow:
    """A project of two originals of 10 MB, each with its proxy of 11 MB."""
    made = flow(force=force)
    made.begin_with_archive(WorkItem("archive", "/in/a.zip", PROJECT, 20 * MB))
    for name in ("a", "b"):
        brought(made, "STEP1", "/in/a.zip", "original", f"{PROJECT}/{name}.mov", 10 * MB)
        brought(made, "STEP2", f"{PROJECT}/{name}.mov", "video", f"{PROJECT}/docs/{name}.mp4", 11 * MB)
    return made


def answers(made: Flow, said: Mapping[str, str]) -> dict[Task, Outcome]:
    """The answers of steps: `said` by step and name, up_to_date where nothing is said."""
    names = {each: f"{each.stage.label} {each.item.path.rpartition('/')[2]}" for each in made.tasks.values()}
    return {each: Outcome(said.get(name, "up_to_date")) for each, name in names.items()}


def shown(made: Flow, states: Mapping[Task, str]) -> dict[str, str]:
    return {f"{each.stage.label} {each.item.path.rpartition('/')[2]}": state for each, state in states.items()}


def test_nothing_is_ahead_when_every_step_says_so() -> None:
    made = with_two_videos()
    assert set(states_of(made, answers(made, {})).values()) == {"up_to_date"}


def test_what_comes_after_work_is_unknown_whatever_its_step_says_now() -> None:
    made = with_two_videos()
    states = shown(made, states_of(made, answers(made, {"STEP3 a.mp4": "skipped", "STEP6 b.mp4": "skipped"})))
    ahead = {name: state for name, state in states.items() if state != "up_to_date"}
    assert ahead == {
        "STEP3 a.mp4": "to_do", "STEP5 a.mp4": "unknown", "STEP6 a.mp4": "unknown", "STEP6 b.mp4": "to_do",
        "STEP7 a": "unknown",
    }  # fmt: skip


def test_what_builds_on_a_failure_cannot_be_done_but_the_project_is_delivered_without_it() -> None:
    made = with_two_videos()
    states = shown(made, states_of(made, answers(made, {"STEP3 a.mp4": "failed", "STEP7 a": "skipped"})))
    assert {name: states[name] for name in ("STEP3 a.mp4", "STEP5 a.mp4", "STEP6 a.mp4", "STEP7 a")} == {
        "STEP3 a.mp4": "failed", "STEP5 a.mp4": "skipped", "STEP6 a.mp4": "skipped", "STEP7 a": "to_do",
    }  # fmt: skip


def test_a_project_that_lost_every_video_is_not_delivered() -> None:
    made = with_two_videos()
    said = {"STEP2 a.mov": "failed", "STEP2 b.mov": "failed", "STEP1 a.zip": "failed"}
    assert shown(made, states_of(made, answers(made, said)))["STEP7 a"] == "skipped"


def test_what_is_forced_is_to_do_however_it_stands() -> None:
    made = with_two_videos(force=True)
    states = states_of(made, dict.fromkeys([task(made, "STEP1", "/in/a.zip")], Outcome("skipped")))
    assert set(states.values()) == {"to_do"}


def test_what_no_step_answered_is_unknown() -> None:
    made = with_two_videos()
    assert set(states_of(made, {}).values()) == {"unknown"}


def forecast(made: Flow, said: Mapping[str, str], paces: Mapping[str, Pace], *inputs: Input) -> Forecast:
    return Forecast(made, states_of(made, answers(made, said)), inputs, paces)


def test_seconds_go_by_what_was_measured_best() -> None:
    """By size where tasks with sizes were measured, else by the mean, else by what the step declares."""
    made = with_two_videos()
    paces = {"STEP5": Pace(4, 100.0, 2, 60.0, 30 * MB), "STEP6": Pace(4, 2.0, 0, 0.0, 0)}
    ahead = forecast(made, {"STEP3 a.mp4": "skipped", "STEP4 a.mp4": "skipped"}, paces)
    seconds = {job.stage.label: job.seconds for job in ahead.jobs}
    assert seconds == {
        "STEP3": steps()["STEP3"].cost, "STEP4": steps()["STEP4"].cost,
        "STEP5": pytest.approx(11 * 60 / 30), "STEP6": 0.5, "STEP7": steps()["STEP7"].cost,
    }  # fmt: skip
    stages = made.stages
    assert ahead.is_measured(stages["step5"]) and not ahead.is_measured(stages["step3"])


POOLS = {"cpu": 4, "gpu": 0, "disk": 2, "api": 4}
TAKES = {
    f"step{number}": {"disk": 1} if number in (1, 7) else {"cpu": 1} for number in range(1, 8)
}  # what the steps take without a GPU and without a service


def pace(seconds: float) -> Pace:
    return Pace(1, seconds, 0, 0.0, 0)


def test_a_run_takes_as_long_as_its_longest_row_or_its_busiest_pool() -> None:
    made = with_two_videos()
    paces = {"STEP3": pace(40), "STEP4": pace(8), "STEP5": pace(20), "STEP6": pace(2), "STEP7": pace(3)}
    said = {f"{step_id} {name}.mp4": "skipped" for step_id in ("STEP3", "STEP4") for name in "ab"}
    ahead = forecast(made, said, paces)
    assert ahead.seconds(TAKES, POOLS) == 40 + 20 + 2 + 3, "on four cores both videos side by side"
    assert ahead.seconds(TAKES, {**POOLS, "cpu": 1}) == 2 * (40 + 8 + 20 + 2), "on one core one thing after the other"
    assert ahead.seconds({**TAKES, "step4": {"api": 1}}, {**POOLS, "cpu": 1}) == 2 * (40 + 20 + 2)
    assert not ahead.is_least


def test_nothing_to_do_takes_no_time() -> None:
    assert forecast(with_two_videos(), {}, {}).seconds(TAKES, POOLS) == 0


def delivered(path: str, size: int, clips: int | None) -> Input:
    return Input(WorkItem("archive", path, None, size), "archive" if clips is None else "folder", "a", clips)


def test_a_folder_of_clips_is_counted_before_it_is_taken_in() -> None:
    made, folder = flow(), delivered("/in/rushes", 30 * MB, 3)
    made.begin_with_archive(folder.item)
    ahead = forecast(made, {"STEP1 rushes": "skipped"}, {}, folder)
    assert dict(ahead.expected) == {"step2": 3, "step3": 3, "step4": 3, "step5": 3, "step6": 3, "step7": 1}
    assert not ahead.at_least and not ahead.is_least
    written = sum(job.written for job in ahead.jobs)
    growth = sum(GROWTH[step_id] for step_id in ("STEP3", "STEP4", "STEP5", "STEP6"))
    assert written == pytest.approx(30 * MB * (1 + GROWTH["STEP2"] + GROWTH["STEP2"] * growth))
    assert artefact_bytes(ahead.jobs) == pytest.approx(30 * MB * GROWTH["STEP2"] * growth)
    row = sum(steps()[f"STEP{number}"].cost for number in (1, 2, 3, 5, 6, 7))
    assert ahead.seconds(TAKES, POOLS) == pytest.approx(row), "four cores are enough for three clips side by side"


def test_how_many_clips_an_archive_holds_is_not_known() -> None:
    made, archive = flow(), delivered("/in/a.zip", 100 * MB, None)
    made.begin_with_archive(archive.item)
    ahead = forecast(made, {"STEP1 a.zip": "skipped"}, {}, archive)
    assert ahead.expected["step3"] == ahead.expected["step7"] == 1
    assert ahead.at_least == {"step2", "step3", "step4", "step5", "step6"}
    assert ahead.is_least, "declared costs are a clip's, and nobody knows how many clips"


def test_with_a_history_an_archive_takes_what_its_size_takes() -> None:
    """Clips of 10 MB that took a second per MB: 100 MB are ten of them, four at a time."""
    made, archive = flow("STEP1", "STEP2"), delivered("/in/a.zip", 100 * MB, None)
    made.begin_with_archive(archive.item)
    paces = {"STEP1": Pace(1, 1.0, 1, 1.0, 100 * MB), "STEP2": Pace(5, 50.0, 5, 50.0, 50 * MB)}
    ahead = forecast(made, {"STEP1 a.zip": "skipped"}, paces, archive)
    assert ahead.seconds(TAKES, POOLS) == pytest.approx(100 / 4)
    assert ahead.expected["step2"] == 1 and "step2" in ahead.at_least, "a guess is no count"
    assert not ahead.is_least


def test_originals_that_are_not_asked_about_bring_a_video_each() -> None:
    made = flow()
    made.begin_with_archive(WorkItem("archive", "/in/a.zip", PROJECT, 20 * MB))
    for name in ("a", "b"):
        brought(made, "STEP1", "/in/a.zip", "original", f"{PROJECT}/{name}.mov", 10 * MB)
    ahead = forecast(made, {"STEP1 a.zip": "skipped"}, {})
    assert ahead.expected == {"step3": 2, "step4": 2, "step5": 2, "step6": 2}
    assert not ahead.at_least


def test_a_proxy_that_is_to_come_is_as_large_as_its_original_makes_it() -> None:
    made = flow()
    made.begin_with_archive(WorkItem("archive", "/in/a.zip", PROJECT, 10 * MB))
    brought(made, "STEP1", "/in/a.zip", "original", f"{PROJECT}/a.mov", 10 * MB)
    brought(made, "STEP2", f"{PROJECT}/a.mov", "video", f"{PROJECT}/docs/a.mp4")
    ahead = forecast(made, {"STEP2 a.mov": "skipped"}, {})
    assert {job.size for job in ahead.jobs if job.stage.item_kind == "video"} == {10 * MB * GROWTH["STEP2"]}


def test_options_go_to_the_step_that_finds_inputs_and_to_no_other() -> None:
    assert Options(keywords=("Camille", "-x")).filters() == ["--keyword=Camille", "--keyword=-x"]
    chosen = Options(kind="videos", min_size_mb=0.5, keywords=("day 1",))
    assert chosen.arguments("STEP1")[-4:] == ["videos", "--keyword=day 1", "--min-size", "0.5"]
    assert "--min-size" not in chosen.arguments("STEP2")
    assert Options().filters() == [] and Options(min_size_mb=0).filters() == ["--min-size", "0"]
    assert Options.from_record(json.loads(json.dumps(chosen.record()))) == chosen


def test_what_is_left_out_is_told_by_reason_and_kept_up_to_a_limit() -> None:
    small = [LeftOut(f"/in/{number}.mov", "video", 5, "too_small", "left out") for number in range(300)]
    other = [LeftOut("/in/x.zip", "archive", 5, "other_kind", "left out")]
    assert left_out_text([*small, *other]) == (
        "300 left out, too small: 0.mov, 1.mov, 2.mov …; 1 left out, of another kind: x.zip"
    )
    kept = left_out_record([*small, *other])
    assert kept["count"] == 301 and len(kept["named"]) == 200
    assert kept["named"][0] == {
        "path": "/in/0.mov", "form": "video", "bytes": 5, "code": "too_small", "message": "left out",
    }  # fmt: skip


def test_the_schema_is_the_models() -> None:
    """To write the schema anew: json.dumps(Preview.model_json_schema(mode="serialization"), indent=2)."""
    schema = json.loads((REPOSITORY / "docs/schemas/preview.json").read_text())
    assert schema == Preview.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator.check_schema(schema)


def test_who_looks_ahead_waits_for_those_before_and_not_for_ever(tmp_path: Path) -> None:
    """Two look ahead at once in a process; their places are free again after, whatever came of them."""
    settings = read_settings({"DATA_DIR": str(tmp_path), "PROJECTS_DIR": str(tmp_path / "projects")})
    store = Store(open_database(tmp_path, None))
    plan = make_plan(workflows()["full"], objective="test", files=[str(tmp_path / "nothing")], steps=["STEP6"])
    for _place in range(2):
        previews._AT_ONCE.acquire()
    with pytest.raises(ServiceError) as refused:
        previews.preview(store, settings, plan, Options(), seconds=0.05)
    assert refused.value.code == "previews_busy" and refused.value.remedy
    for _place in range(2):
        previews._AT_ONCE.release()
    for _time in range(3):
        assert previews.preview(store, settings, plan, Options(), seconds=20).refusals
