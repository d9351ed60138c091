"""What STEP6 writes for small inputs whose reduction was worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.steps.step6.conftest import FACE, PERSON
from workflow_scripts.step6.alignment import temporal_alignment
from workflow_scripts.step6.opening import opened, writing

SCHEMAS = Path(__file__).resolve().parents[3] / "docs/schemas"

EXPECTED_AUDIO = (
    '{"schema":"derush.audio/1","video_filename":"clip.mp4","total_frames":3,"fps":25,"frames_analysis":[\n'
    '{"frame":1,"audio_info":{"is_speech_present":true,"num_distinct_speakers_audio":1,'
    '"active_speaker_labels":["SPEAKER_00"],"timecode_sec":0.0}},\n'
    '{"frame":2,"audio_info":{"is_speech_present":true,"num_distinct_speakers_audio":2,'
    '"active_speaker_labels":["SPEAKER_01","SPEAKER_00"],"timecode_sec":0.04}},\n'
    '{"frame":3,"audio_info":{"is_speech_present":false,"num_distinct_speakers_audio":0,'
    '"active_speaker_labels":[],"timecode_sec":0.08}}\n'
    "]}\n"
)
EXPECTED_TRACKING = (
    '{"schema":"derush.tracking/1","frames_analysis":[\n'
    '{"frame":1,"tracked_objects":['
    '{"id":7,"centroid_x":25.2,"source":"yunet","label":"face","confidence":0.9123,"active_speakers":[],'
    '"bbox_width":30.3,"bbox_height":40},'
    '{"id":"p-1","centroid_x":50,"source":"nanodet","label":"person","confidence":0.9123,"active_speakers":[],'
    '"bbox_width":100,"bbox_height":200}]},\n'
    '{"frame":2,"tracked_objects":[]},\n'
    '{"frame":3,"tracked_objects":['
    '{"id":"p-1","centroid_x":50,"source":"nanodet","label":"person","confidence":0.9123,"active_speakers":[],'
    '"bbox_width":100,"bbox_height":200}]}\n'
    '],"fps":25.0,"total_frames":3,"temporal_alignment":{"audio_total_frames":3,"tracking_total_frames":3,'
    '"audio_fps":25.0,"tracking_fps":25.0,"proxy_frames":3,"aligned":true,"warnings":[]}}\n'
)


def _validate(name: str, document: Any) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


def test_both_files_are_exactly_as_documented(workplace):
    assert workplace.run().returncode == 0
    assert (workplace.docs / "clip_audio.json").read_text() == EXPECTED_AUDIO
    assert (workplace.docs / "clip_tracking.json").read_text() == EXPECTED_TRACKING
    _validate("audio", workplace.made("_audio.json"))
    _validate("tracking", workplace.made("_tracking.json"))


def test_the_same_input_gives_the_same_bytes_and_a_second_run_does_nothing(workplace):
    workplace.run()
    before = {path.name: path.stat().st_mtime_ns for path in workplace.docs.iterdir()}
    assert workplace.run().returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in workplace.docs.iterdir()} == before
    assert workplace.events()[-1]["totals"] == {"up_to_date": 1}
    workplace.run("--force")
    assert (workplace.docs / "clip_tracking.json").read_text() == EXPECTED_TRACKING


def test_a_failure_is_forgotten_once_the_input_is_again_what_was_reduced(workplace):
    """STEP7 holds a video back as long as the record says that a step failed on it."""
    workplace.run()
    raw, record = workplace.docs / "clip_audio_raw.json", workplace.docs.parent / ".derush/clip.json"
    whole = raw.read_bytes()
    raw.write_bytes(whole[:20])
    assert workplace.run().returncode == 1
    assert list(json.loads(record.read_text())["failures"]) == ["STEP6"]
    raw.write_bytes(whole)
    assert workplace.run("--dry-run").returncode == 0
    assert json.loads(record.read_text())["failures"], "a dry run changes nothing"
    assert workplace.run().returncode == 0
    assert workplace.events()[-1]["totals"] == {"up_to_date": 1}
    assert json.loads(record.read_text())["failures"] == {}


def test_indentation_changes_the_layout_only(workplace):
    workplace.variables["STEP6_INDENT"] = "2"
    workplace.run()
    for name, compact in (("audio", EXPECTED_AUDIO), ("tracking", EXPECTED_TRACKING)):
        text = (workplace.docs / f"clip_{name}.json").read_text()
        assert text == json.dumps(json.loads(compact), indent=2) + "\n"


def test_precision_and_shortest_track_are_settings(workplace):
    workplace.variables.update(STEP6_PRECISION="0", STEP6_MIN_TRACK_FRAMES="2")
    workplace.run()
    ids = [[tracked["id"] for tracked in frame["tracked_objects"]] for frame in _frames(workplace)]
    assert ids == [["p-1"], [], ["p-1"]]  # track 7 lasts one frame
    workplace.write_tracking([[FACE, FACE], [], []])
    workplace.run()
    assert _frames(workplace)[0]["tracked_objects"] == []  # twice in one frame is one frame
    workplace.variables.update(STEP6_PRECISION="2", STEP6_MIN_TRACK_FRAMES="1")
    workplace.run()
    assert _frames(workplace)[0]["tracked_objects"][0]["bbox_width"] == 30.26


def test_tracks_that_are_noise_by_their_confidence_are_left_out_whole(workplace):
    sure, faint, silent = ({**FACE, "id": number, "confidence": it} for number, it in ((1, 0.9), (2, 0.4), (3, None)))
    workplace.write_tracking(
        [[sure, faint, silent], [sure, {**faint, "confidence": 0.5}], [{**faint, "confidence": 0.58}]]
    )
    workplace.variables["STEP6_MIN_TRACK_CONFIDENCE"] = "0.5"
    workplace.run()
    assert [[tracked["id"] for tracked in frame["tracked_objects"]] for frame in _frames(workplace)] == [
        [1, 3],
        [1],
        [],
    ]
    assert workplace.events()[-2]["metrics"]["tracks_left_out"] == 1
    workplace.variables["STEP6_MIN_TRACK_CONFIDENCE"] = "0.49"  # track 2 has 0.493 on average
    workplace.run()
    assert len(_frames(workplace)[0]["tracked_objects"]) == 3


def test_kept_fields_are_settings(workplace):
    workplace.write_tracking(
        [[{**FACE, "identity": {"person": "person_1", "by": "face"}, "is_speaking": True}, PERSON], [], []]
    )
    workplace.variables.update(
        STEP6_TRACKING_FIELDS="is_speaking,label,person,centroid_y", STEP6_AUDIO_FIELDS="timecode_sec"
    )
    workplace.run()
    assert _frames(workplace)[0]["tracked_objects"] == [
        {"id": 7, "label": "face", "centroid_y": 40.0, "person": "person_1", "is_speaking": True},
        {"id": "p-1", "label": "person", "centroid_y": 100, "person": None, "is_speaking": False},
    ]
    assert [frame["audio_info"] for frame in workplace.made("_audio.json")["frames_analysis"]] == [
        {"timecode_sec": 0.0}, {"timecode_sec": 0.04}, {"timecode_sec": 0.08},
    ]  # fmt: skip
    _validate("audio", workplace.made("_audio.json"))
    _validate("tracking", workplace.made("_tracking.json"))


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("STEP6_TRACKING_FIELDS", "id", "centroid_x, source"),
        ("STEP6_AUDIO_FIELDS", "loudness", "is_speech_present"),
        ("STEP6_KEYFRAMES", "0", "0.01 to 1000, or off"),
        ("STEP6_KEYFRAMES", "nan", "0.01 to 1000, or off"),
        ("STEP6_COMPRESS", "bzip2", "none, gzip, zstd"),
        ("STEP6_MIN_TRACK_CONFIDENCE", "1.5", "0 to 1"),
    ],
)
def test_a_setting_that_is_none_is_refused_with_what_is_accepted(workplace, name, value, accepted):
    workplace.variables[name] = value
    done = workplace.run()
    assert done.returncode == 2
    assert name in done.stderr
    assert accepted in done.stderr


@pytest.mark.parametrize(("compression", "magic"), [("gzip", b"\x1f\x8b"), ("zstd", b"\x28\xb5\x2f\xfd")])
def test_compressed_files_are_told_by_content_and_are_the_same_bytes_each_time(workplace, compression, magic):
    workplace.variables["STEP6_COMPRESS"] = compression
    workplace.run()
    paths = [workplace.docs / f"clip_{kind}.json" for kind in ("audio", "tracking")]
    contents = [path.read_bytes() for path in paths]
    assert all(content.startswith(magic) for content in contents)
    for path, expected in zip(paths, (EXPECTED_AUDIO, EXPECTED_TRACKING), strict=True):
        with opened(path) as stream:
            assert stream.read().decode() == expected
    workplace.run("--force")
    assert [path.read_bytes() for path in paths] == contents
    workplace.variables["STEP6_COMPRESS"] = "none"
    workplace.run()
    assert paths[1].read_text() == EXPECTED_TRACKING


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_raw_files_are_read_and_a_cut_one_is_named(workplace, compression):
    for name in ("clip_audio_raw.json", "clip_tracking_raw.jsonl"):
        content = (workplace.docs / name).read_bytes()
        with writing(workplace.docs / name, compression) as stream:
            stream.write(content)
    assert workplace.run().returncode == 0
    assert (workplace.docs / "clip_tracking.json").read_text() == EXPECTED_TRACKING
    for damage in (lambda raw: raw[:-5], lambda raw: raw[:40] + b"\xff" * 40 + raw[80:]):
        workplace.replace("clip_tracking_raw.jsonl", damage)
        assert workplace.run().returncode == 1
        assert workplace.failure()["code"] == "broken_tracking_raw"
        assert "compressed content" in workplace.failure()["message"]


@pytest.mark.parametrize(
    ("projects", "keywords", "chosen"),
    [
        ("", "", True), ("projet*", "", True), ("Other,Projet 1", "", True), ("Projet", "", False), ("", "LIP", True),
        ("", "b_cam,clip", True), ("", "b_cam", False), ("Other", "clip", False),
    ],
)  # fmt: skip
def test_projects_and_keywords_choose_the_videos(workplace, projects, keywords, chosen):
    workplace.variables.update(STEP6_PROJECTS=projects, STEP6_KEYWORDS=keywords)
    assert workplace.run().returncode == 0
    assert (workplace.docs / "clip_tracking.json").exists() is chosen
    assert workplace.events()[-1]["totals"] == ({"done": 1} if chosen else {"skipped": 1})


@pytest.mark.parametrize(
    ("project", "wanted", "chosen"),
    [
        ("Rushes [2024]", "rushes [2024]", True), ("Rushes 2", "Rushes [2024]", True), ("Rushes 3", "Rushes [2024]", False),
        ("E\u0301te\u0301", "\xe9t\xe9", True), ("\xc9t\xe9 1", "e\u0301te\u0301*", True), ("Ete", "\xe9t\xe9", False),
    ],
)  # fmt: skip
def test_a_project_is_chosen_by_its_own_name_however_it_is_written(workplace, project, wanted, chosen):
    workplace.docs.parent.rename(workplace.root / "projects" / project)
    workplace.variables["STEP6_PROJECTS"] = wanted
    assert workplace.run().returncode == 0
    assert workplace.events()[-1]["totals"] == ({"done": 1} if chosen else {"skipped": 1})


def test_speakers_of_an_object_are_kept(workplace):
    tracked = {
        "id": 2**53 + 1, "bbox": [0, 0, 1, 1], "centroid": [0.5, 0.5], "source": "s", "label": None, "confidence": None,
        "active_speakers": ["SPEAKER_01"],
    }  # fmt: skip
    workplace.write_tracking([[tracked], [], []])
    assert workplace.run().returncode == 0
    made = _frames(workplace)[0]["tracked_objects"][0]
    assert (made["id"], made["active_speakers"]) == (9007199254740993, ["SPEAKER_01"])
    _validate("tracking", workplace.made("_tracking.json"))


def test_a_name_outside_ascii_is_read_back_as_it_was(workplace):
    workplace.write_audio([(False, [])] * 3, video_filename="l'été “🎬”.mp4")
    workplace.run()
    assert workplace.made("_audio.json")["video_filename"] == "l'été “🎬”.mp4"


def test_misalignment_is_written_and_reported(workplace):
    workplace.write_audio([(False, [])] * 5)
    workplace.write_source(frames=5)
    workplace.write_tracking([[]] * 3, fps=24.0)
    assert workplace.run().returncode == 0
    alignment = workplace.made("_tracking.json")["temporal_alignment"]
    assert not alignment["aligned"]
    assert [warning.split(":")[0] for warning in alignment["warnings"]] == [
        "audio has 5 frames and tracking 3",
        "tracking has 3 frames and proxy 5",
        "audio has 25 frames a second and tracking 24",
    ]
    assert sum(event["event"] == "warning" and event["code"] == "misaligned" for event in workplace.events()) == 3


@pytest.mark.parametrize(
    ("audio_frames", "tracking_fps", "aligned"),
    [(95, 25.0, True), (94, 25.0, False), (100, 25.5, True), (100, 25.51, False), (100, 24.49, False)],
)
def test_tolerances(audio_frames, tracking_fps, aligned):
    block = temporal_alignment(
        audio_frames=audio_frames, audio_fps=25, tracking_frames=100, tracking_fps=tracking_fps, proxy_frames=100
    )
    assert block["aligned"] is aligned


def _frames(workplace: Any) -> list[dict[str, Any]]:
    frames = workplace.made("_tracking.json")["frames_analysis"]
    assert isinstance(frames, list)
    return frames
