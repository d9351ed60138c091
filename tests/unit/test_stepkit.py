"""What every step stands on: names, times, records, items, the command line."""

from __future__ import annotations

import ast
import json
import os
import sys
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import pytest

from config.contract import Exit
from services.items import WorkItem
from tests.conftest import REPOSITORY
from workflow_scripts.stepkit import ItemError, Project, UsageError, Video, step_parser
from workflow_scripts.stepkit.files import sha256_of
from workflow_scripts.stepkit.items import item_from, items_from_file
from workflow_scripts.stepkit.projects import LONGEST_STEM, video_of
from workflow_scripts.stepkit.records import Key, Made, Record
from workflow_scripts.stepkit.timebase import clock, frame_time


def put(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def stems(project: Project) -> dict[str, str]:
    return {str(project.delivered_name(path)): project.proxy_for(path).stem for path in project.originals()}


def test_what_a_person_accepted_reaches_the_step_that_delivers() -> None:
    line = WorkItem("project", "/w/p", "/w/p").line(force=True, accepted=["/w/p/docs/a.mp4"])
    item = item_from(json.loads(line), "project")
    assert (item.path, item.force, item.accepted) == (Path("/w/p"), True, (Path("/w/p/docs/a.mp4"),))
    assert item_from({"path": "/w/p", "accepted": [1, None, "/w/b"]}, "project").accepted == (Path("/w/b"),)
    assert item_from({"path": "/w/p", "accepted": "/w/b"}, "project").accepted == ()


@pytest.mark.parametrize(("said", "cores"), [(3, 3), (0, None), (-1, None), (True, None), ("2", None), (1.5, None)])
def test_an_items_share_of_cores_is_a_number_of_them_or_nothing(said: object, cores: int | None) -> None:
    assert item_from({"path": "/a.mp4", "cores": said}, "video").cores == cores
    assert item_from({"path": "/a.mp4"}, "video").cores is None


def test_originals_are_found_where_they_came_and_where_they_went(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    put(project.path / "A" / "one.MOV")
    put(project.sources / "two.mp4")
    put(project.docs / "three.mp4")
    put(project.docs / "two.mp4")
    put(project.docs / "two_source.json")
    put(project.path / "notes.txt")
    put(project.internal / "tmp" / "half.mp4")
    assert [str(project.delivered_name(path)) for path in project.originals()] == [
        "A/one.MOV",
        "docs/three.mp4",
        "two.mp4",
    ]
    assert [video.stem for video in project.videos()] == ["two"]


def test_two_originals_never_become_one_proxy(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    for name in ("A/clip.mov", "B/clip.mov", "B/clip.mp4", "alone.mxf"):
        put(project.path / name)
    expected = {"A/clip.mov": "A_clip", "B/clip.mov": "B_clip_mov", "B/clip.mp4": "B_clip_mp4", "alone.mxf": "alone"}
    assert stems(project) == expected
    (project.path / "B/clip.mov").rename(put(project.sources / "B" / "clip.mov"))
    assert stems(project) == expected, "names stay when an original moves to sources/"


def test_a_long_name_leaves_room_for_every_artefact(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    name = "é" * 110 + "🎬" * 7
    original = put(project.path / f"{name}.mp4")
    video = project.proxy_for(original)
    assert len(os.fsencode(video.stem)) <= LONGEST_STEM
    put(video.artefact("_tracking_raw.jsonl"))


def test_only_a_proxy_is_a_video() -> None:
    assert video_of(Path("/w/p/docs/a b.mp4")).stem == "a b"
    with pytest.raises(ItemError, match="not a proxy"):
        video_of(Path("/w/p/a.mp4"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(Fraction(0), "00:00:00.000"), (Fraction(1, 25), "00:00:00.040"), (Fraction(3_599_999_6, 10_000), "01:00:00.000"),
     (Fraction(360_000), "100:00:00.000"), (Fraction(1001, 30000), "00:00:00.033")],
)  # fmt: skip
def test_clock(seconds: Fraction, text: str) -> None:
    assert clock(seconds) == text


def test_the_time_of_a_frame_is_exact() -> None:
    assert [frame_time(frame) for frame in (0, 1, 90_000)] == [0, Fraction(1, 25), 3600]
    assert frame_time(1, Fraction(30_000, 1001)) == Fraction(1001, 30_000)


def key(**changes: object) -> Key:
    values: dict[str, object] = {"step": "STEP3", "version": 1, "parameters": {"t": 0.5}, "models": {}, "inputs": {}}
    return Key(**{**values, **changes})  # type: ignore[arg-type]


def made(project: Project, path: Path) -> Made:
    status = path.stat()
    return Made(
        "scenes",
        str(path.relative_to(project.path)),
        status.st_size,
        status.st_mtime_ns,
        Record(project, "v").fingerprint(path),
    )


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"parameters": {"t": 0.4}}, {"models": {"m": "1"}}, {"inputs": {"i": "2"}}]
)
def test_any_change_of_what_decides_the_result_makes_it_out_of_date(tmp_path: Path, change: dict[str, object]) -> None:
    project, record = Project(tmp_path), Record(Project(tmp_path), "v")
    artefact = put(project.docs / "v_scenes.csv")
    record.settle(key(), [made(project, artefact)], {})
    assert record.is_current(key())
    assert not record.is_current(key(**change))


def test_an_artefact_that_was_changed_or_removed_is_out_of_date(tmp_path: Path) -> None:
    project, record = Project(tmp_path), Record(Project(tmp_path), "v")
    artefact = put(project.docs / "v_scenes.csv", "one")
    record.settle(key(), [made(project, artefact)], {})
    os.utime(artefact, (1, 1))
    assert record.is_current(key()), "a new time on the same content changes nothing"
    put(artefact, "two")
    os.utime(artefact, (2, 2))
    assert not record.is_current(key())
    artefact.unlink()
    assert not record.is_current(key())


def test_a_failure_is_remembered_until_the_step_is_done(tmp_path: Path) -> None:
    project, record = Project(tmp_path), Record(Project(tmp_path), "v")
    record.fail("STEP3", {"code": "frame_count"})
    assert record.read()["failures"] == {"STEP3": {"code": "frame_count"}}
    record.settle(key(), [made(project, put(project.docs / "v_scenes.csv"))], {})
    assert record.read()["failures"] == {}


def test_a_failure_is_forgotten_when_what_was_made_before_will_do_again(tmp_path: Path) -> None:
    record = Record(Project(tmp_path), "v")
    record.recover("STEP3")
    assert not (tmp_path / ".derush/v.json").exists(), "nothing is written where nothing failed"
    record.fail("STEP3", {"code": "frame_count"})
    record.fail("STEP4", {"code": "no_sound"})
    record.recover("STEP3")
    assert record.read()["failures"] == {"STEP4": {"code": "no_sound"}}


def test_a_damaged_record_means_the_work_is_done_again(tmp_path: Path) -> None:
    put(tmp_path / ".derush" / "v.json", '{"schema": "derush.rec')
    assert not Record(Project(tmp_path), "v").is_current(key())


def record_with(**changes: object) -> str:
    """A whole record of STEP3, but for what is changed in the artefact it has."""
    entry = {"kind": "scenes", "path": "docs/v_scenes.csv", "bytes": 1, "mtime_ns": 1, "sha256": "a", **changes}
    step3 = {**asdict(key()), "key": key().digest(), "artefacts": [entry]}
    return json.dumps({"schema": "derush.record/1", "steps": {"STEP3": step3}, "fingerprints": {}})


RECORD = '{"schema": "derush.record/1", "steps": %s, "fingerprints": %s}'


@pytest.mark.parametrize(
    "content",
    [
        '{"schema": "derush.record/1"}', '{"schema": "derush.record/1", "steps": {}}', "[" * 100_000, "[]", "9" * 5000,
        RECORD % ("[]", "{}"), RECORD % ("{}", "[]"), RECORD % ('{"STEP3": 7}', "{}"), RECORD % ('{"STEP3": {}}', "{}"),
        RECORD % ("{}", '{"docs/v_scenes.csv": 7}'), RECORD % ("{}", '{"docs/v_scenes.csv": [1, 1]}'),
        RECORD.replace("}", ', "failures": []}') % ("{}", "{}"),
        record_with(path=7), record_with(bytes="1"), record_with(mtime_ns=None), record_with(sha256=None),
        record_with(path="docs/\0"), record_with(path="\ud800"),
        record_with().replace('"artefacts": [', '"artefacts": [[], '), record_with().replace('"key": ', '"kez": '),
    ],
)  # fmt: skip
def test_a_record_of_any_other_form_means_the_work_is_done_again(tmp_path: Path, content: str) -> None:
    project, record = Project(tmp_path), Record(Project(tmp_path), "v")
    artefact = put(project.docs / "v_scenes.csv")
    put(tmp_path / ".derush" / "v.json", content)
    assert not record.is_current(key())
    assert record.fingerprint(artefact) == sha256_of(artefact)
    record.fail("STEP3", {"code": "frame_count"})
    record.settle(key(), [made(project, artefact)], {})
    assert record.is_current(key())


def test_items_are_read_from_every_form_of_list(tmp_path: Path) -> None:
    array = put(tmp_path / "a.json", '["/v/1.mp4", {"path": "/v/2.mp4", "project": "/v"}]')
    lines = put(tmp_path / "b.json", '{"path": "/v/1.mp4"}\n\n{"path": "/v/2.mp4"}\n')
    wrapped = put(tmp_path / "c.json", '{"videos": ["/v/1.mp4", "/v/2.mp4"]}')
    for listed in (array, lines, wrapped):
        assert [str(item.path) for item in items_from_file(listed, "video")] == ["/v/1.mp4", "/v/2.mp4"]


@pytest.mark.parametrize("content", ["[1]", '[{"path": ""}]', "{]", "3", '{"videos": 3}'])
def test_what_is_no_list_of_items_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UsageError):
        items_from_file(put(tmp_path / "a.json", content), "video")


def test_long_options_are_taken_with_dashes_and_underscores() -> None:
    parser = step_parser("STEP6", "x")
    for spelled in ("--work_dir", "--work-dir"):
        assert parser.parse_args([spelled, "a_b"]).work_dir == Path("a_b")
    assert parser.parse_args(["--work_dir=a_b"]).work_dir == Path("a_b")


def test_exit_codes_are_those_of_the_contract() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0, "SOME_FAILED": 1, "USAGE": 2, "PREREQUISITE": 3, "BUG": 70, "INTERRUPTED": 130,
    }  # fmt: skip


def test_stepkit_imports_the_standard_library_and_config_alone() -> None:
    allowed = set(sys.stdlib_module_names) | {"config", "workflow_scripts"}
    for module in (REPOSITORY / "workflow_scripts" / "stepkit").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, f"{module.name}: {names}"


def test_only_settings_reads_the_environment() -> None:
    for folder in ("config", "services", "web", "workflow_scripts/stepkit"):
        for module in (REPOSITORY / folder).rglob("*.py"):
            if module.name != "settings.py":
                text = module.read_text()
                assert "os.environ" not in text and "getenv" not in text, module


FACTS = '{"proxy": {"frames": %s, "width": %s, "height": 64, "has_audio": false}, "original": {"sha256": "a"}}'


@pytest.mark.parametrize("text", [FACTS % (50, 0), FACTS % (-1, 64), FACTS % ("1e999", 64), "[" * 100_000, "{}", ""])
def test_damaged_facts_of_a_video_are_named(tmp_path: Path, text: str) -> None:
    video = Video(Project(tmp_path), "v")
    put(video.artefact("_source.json"), FACTS % (50, 64))
    assert (video.facts().frames, video.facts().width) == (50, 64)
    put(video.artefact("_source.json"), text)
    with pytest.raises(ItemError) as error:
        video.facts()
    assert (error.value.code, "STEP2" in error.value.remedy) == ("no_source_facts", True)
