"""STEP3's script as a process, on real footage and at the edges."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((REPOSITORY / "docs/schemas/scenes.json").read_text())
EDGES = [1, 2, 99, 100, 101, 149, 150, 151]
REAL = ["interview", "L'été à Bruxelles"]


@pytest.fixture(scope="module")
def detected(tmp_path_factory, new_workplace, rushes, truth, draw):
    """A workplace after one run over real clips, clips of every delicate length, and two that cannot be done."""
    place = new_workplace(tmp_path_factory.mktemp("run"))
    text = place.root / "text.mp4"
    text.write_text("no video")
    place.add(text, 10)
    for frames in EDGES:
        place.add(draw(place.root / f"drawn {frames}.mp4", frames), frames)
    place.add(place.root / "drawn 2.mp4", 3, stem="one frame missing")
    for name in REAL:
        place.add(rushes / f"{name}.mp4", truth[f"{name}.mp4"]["frames"])
    place.finished = place.run()
    return place


@pytest.mark.parametrize("name", REAL)
def test_real_footage_is_cut_exactly_where_it_was_spliced(detected, truth, name):
    known = truth[f"{name}.mp4"]
    scenes = detected.document(name)["scenes"]
    assert [scene["start_frame"] for scene in scenes] == [0, *known["cuts"]]
    assert [scene["end_frame"] for scene in scenes] == [*known["cuts"], known["frames"]]
    assert {scene["transition_in"]["type"] for scene in scenes[1:]} == {"cut"}


def test_the_csv_says_the_same_one_based(detected, truth):
    cuts, frames = truth["interview.mp4"]["cuts"], truth["interview.mp4"]["frames"]
    header, *rows = detected.table("interview")
    assert header == ["No", "Timecode In", "Timecode Out", "Frame In", "Frame Out"]
    assert [int(row[3]) for row in rows] == [1, *(cut + 1 for cut in cuts)]
    assert [int(row[4]) for row in rows] == [*cuts, frames]
    assert rows[1] == ["2", "00:00:02.000", "00:00:03.960", "51", "100"]


@pytest.mark.parametrize("frames", EDGES)
def test_a_video_of_any_length_is_covered_to_its_last_frame(detected, frames):
    stem = f"drawn {frames}"
    document = detected.document(stem)
    assert document["total_frames"] == document["scenes"][-1]["end_frame"] == frames
    for curve in (document["curve"]["single_frame"], document["curve"]["many_hot"]):
        counts = [int(count or 1) for count in re.findall(r"\d+(?:\*(\d+))?", curve)]
        assert sum(counts) == frames
    assert detected.table(stem)[-1][-1] == str(frames)


def test_every_document_follows_the_schema_and_the_events_tell_the_rest(detected):
    stems = [*REAL, *(f"drawn {frames}" for frames in EDGES)]
    for stem in stems:
        jsonschema.Draft202012Validator(SCHEMA).validate(detected.document(stem))
    done = {stem: end for stem, end in detected.ends().items() if end["status"] == "done"}
    assert sorted(done) == sorted(stems)
    assert done["interview"]["metrics"]["shots"] == 12
    assert done["interview"]["metrics"]["frames_per_second"] > 0


@pytest.mark.parametrize(("stem", "code"), [("text", "decode_failed"), ("one frame missing", "frame_count")])
def test_what_cannot_be_done_fails_by_name_and_leaves_nothing(detected, stem, code):
    assert detected.finished.returncode == 1
    assert detected.ends()[stem]["error"]["code"] == code
    assert [path.name for path in detected.docs.glob(f"{stem}_scenes*")] == []


@pytest.mark.parametrize("argument", ["--check", "--list", "--force"])
def test_where_there_is_no_video_nothing_is_wrong(workplace, argument):
    assert workplace.run(argument).returncode == 0


def test_a_second_run_has_nothing_to_do_and_loads_no_model(workplace, draw):
    workplace.add(draw(workplace.root / "clip.mp4", 30), 30)
    assert workplace.run().returncode == 0
    before = (workplace.docs / "clip_scenes.json").stat().st_mtime_ns
    again = workplace.run(python=("-X", "importtime"))
    assert again.returncode == 0
    assert workplace.ends()["clip"]["status"] == "up_to_date"
    assert (workplace.docs / "clip_scenes.json").stat().st_mtime_ns == before
    assert "numpy" in again.stderr and not re.search(r"\| +torch$", again.stderr, re.MULTILINE)


def test_the_settings_and_before_them_the_command_line_decide(workplace, draw):
    workplace.add(draw(workplace.root / "clip.mp4", 30), 30)
    workplace.variables = {"STEP3_THRESHOLD": "0.25", "STEP3_MIN_SCENE_FRAMES": "7"}
    assert workplace.run().returncode == 0
    assert workplace.document("clip")["parameters"] == {"threshold": 0.25, "min_scene_frames": 7}
    assert workplace.run("--threshold", "0.75", "--min_scene_frames", "5").returncode == 0
    assert workplace.ends()["clip"]["status"] == "done"
    assert workplace.document("clip")["parameters"] == {"threshold": 0.75, "min_scene_frames": 5}


@pytest.mark.parametrize(
    "arguments", [("--threshold", "1.5"), ("--threshold", "nan"), ("--min-scene-frames", "0"), ("--threshold", "x")]
)
def test_values_that_cannot_be_are_refused(workplace, arguments):
    refused = workplace.run(*arguments)
    assert refused.returncode == 2
    assert arguments[0] in refused.stderr


def test_a_missing_model_names_the_command_that_fetches_it(workplace, draw):
    workplace.add(draw(workplace.root / "clip.mp4", 2), 2)
    workplace.weights.unlink()
    refused = workplace.run()
    assert refused.returncode == 3
    assert "derush models fetch transnetv2" in refused.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_cuda_asked_for_and_not_there_is_a_missing_prerequisite(workplace, draw):
    workplace.add(draw(workplace.root / "clip.mp4", 2), 2)
    refused = workplace.run("--device", "cuda")
    assert refused.returncode == 3
    assert "--device auto or cpu" in refused.stderr
    assert list(workplace.docs.glob("*_scenes*")) == []


def test_a_corrupt_checkpoint_is_a_missing_prerequisite(workplace, draw, weights):
    workplace.add(draw(workplace.root / "clip.mp4", 2), 2)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0xFF
    workplace.weights.unlink()
    workplace.weights.write_bytes(content)
    refused = workplace.run()
    assert refused.returncode == 3
    assert "missing or damaged" in refused.stderr and "derush models fetch transnetv2" in refused.stderr
    assert list(workplace.docs.glob("*_scenes*")) == []


def test_retuning_needs_no_model_and_lasts(detected, new_workplace, tmp_path, rushes, truth):
    place = new_workplace(tmp_path)
    frames = truth["interview.mp4"]["frames"]
    place.add(rushes / "interview.mp4", frames)
    for path in detected.docs.parent.rglob("interview_*"):
        (place.docs / path.name).write_bytes(path.read_bytes())
    record = json.loads((detected.docs.parent / ".derush/interview.json").read_text())
    (place.docs.parent / ".derush").mkdir()
    (place.docs.parent / ".derush/interview.json").write_text(json.dumps(record))
    before = place.document("interview")
    place.weights.unlink()

    retuned = place.run("--retune", "--min-scene-frames", "100", python=("-X", "importtime"))
    assert retuned.returncode == 0, retuned.stderr
    assert not re.search(r"\| +(torch|openvino)$", retuned.stderr, re.MULTILINE)
    after = place.document("interview")
    assert after["curve"] == before["curve"] and len(after["scenes"]) < len(before["scenes"])
    assert after["parameters"] == {"threshold": 0.5, "min_scene_frames": 100}
    assert len(place.table("interview")) == 1 + len(after["scenes"])
    assert list(place.docs.glob("*_contact*")) == [], "an old sheet would show other shots"
    assert place.run("--retune", "--min-scene-frames", "100").returncode == 0
    assert place.ends()["interview"]["status"] == "up_to_date"


def test_who_retunes_and_runs_again_keeps_the_shots_and_gets_the_sheet_back(workplace, draw):
    stem = workplace.add(draw(workplace.root / "clip.mp4", 30), 30)
    assert workplace.run().returncode == 0
    assert workplace.run("--retune", "--threshold", "0.4").returncode == 0
    again = workplace.run(python=("-X", "importtime"))
    assert again.returncode == 0
    assert not re.search(r"\| +(torch|openvino)$", again.stderr, re.MULTILINE), "the curves are still good"
    assert workplace.document(stem)["parameters"]["threshold"] == 0.4
    assert (workplace.docs / f"{stem}_contact.jpg").is_file()
    assert workplace.run().returncode == 0
    assert workplace.ends()[stem]["status"] == "up_to_date"
    assert "retuned: threshold 0.4" in workplace.ends()[stem]["message"], "and it is told every time"


def test_a_retuning_outlasts_other_values_and_ends_with_a_word_or_with_the_video(workplace, draw):
    stem = workplace.add(draw(workplace.root / "clip.mp4", 30), 30)

    def threshold_after(*arguments):
        assert workplace.run(*arguments).returncode == 0
        return workplace.document(stem)["parameters"]["threshold"]

    assert threshold_after() == 0.5
    assert threshold_after("--retune", "--threshold", "0.4") == 0.4
    assert threshold_after("--retune", "--min-scene-frames", "5") == 0.4
    assert threshold_after("--threshold", "0.7") == 0.7, "for this run"
    assert threshold_after("--force") == 0.4
    workplace.variables = {"STEP3_THRESHOLD": "0.3"}
    assert threshold_after() == 0.4
    assert workplace.warnings() == {}
    assert threshold_after("--retune") == 0.3, "no value: the settings decide again"
    assert threshold_after("--retune", "--threshold", "0.6") == 0.6
    workplace.add(draw(workplace.root / "other.mp4", 31), 31, stem)
    assert threshold_after() == 0.3, "another video was not retuned"
    assert "threshold 0.6" in workplace.warnings()["retuning_over"]


@pytest.mark.parametrize(
    "retuned", [True, {"threshold": 7}, {"threshold": "0.4"}, {"min_scene_frames": 0}, {"x": 1}, []]
)
def test_a_record_that_says_nonsense_of_a_retuning_is_passed_over(workplace, draw, retuned):
    stem = workplace.add(draw(workplace.root / "clip.mp4", 2), 2)
    record = {"schema": "derush.record/1", "steps": {}, "fingerprints": {}}
    record["steps"]["STEP3"] = {
        "step": "STEP3", "version": 0, "models": {}, "inputs": {}, "artefacts": [], "key": "", "parameters": {"retuned": retuned},
    }  # fmt: skip
    (workplace.docs.parent / ".derush").mkdir()
    (workplace.docs.parent / f".derush/{stem}.json").write_text(json.dumps(record))
    assert workplace.run().returncode == 0
    assert workplace.document(stem)["parameters"] == {"threshold": 0.5, "min_scene_frames": 2}


def test_what_has_no_curves_cannot_be_retuned(workplace, draw):
    stem = workplace.add(draw(workplace.root / "clip.mp4", 30), 30)
    assert workplace.run("--retune", "--threshold", "0.4").returncode == 1
    assert workplace.ends()[stem]["error"]["code"] == "no_curves"
    assert workplace.run().returncode == 0
    draw(workplace.root / "other.mp4", 31)
    workplace.add(workplace.root / "other.mp4", 31, stem)
    assert workplace.run("--retune", "--threshold", "0.4").returncode == 1
    assert workplace.ends()[stem]["error"]["code"] == "no_curves", "they are of another video"


def test_each_shot_is_on_the_contact_sheet_and_the_page_stands_alone(detected):
    page = (detected.docs / "interview_contact.html").read_text(encoding="utf-8")
    assert page.count("<tr><td>") == 12 and page.count("<i style") == 36
    assert "http" not in page and "src=" not in page
    with Image.open(detected.docs / "interview_contact.jpg") as picture:
        assert picture.format == "JPEG"
        top_left = np.asarray(picture.crop((0, 0, 96, 54)), float)
    first = np.asarray(Image.open(io.BytesIO(detected.first_frame("interview"))).resize((96, 54)).convert("RGB"), float)
    assert np.abs(top_left - first).mean() < 12


def test_no_sheet_is_made_where_none_is_wanted(workplace, draw):
    workplace.add(draw(workplace.root / "clip.mp4", 30), 30)
    workplace.variables = {"STEP3_CONTACT_SHEET": "off"}
    assert workplace.run().returncode == 0
    assert list(workplace.docs.glob("*_contact*")) == []


def test_the_file_of_tuning_is_obeyed_and_a_wrong_one_refused(workplace, draw):
    workplace.add(draw(workplace.root / "clip.mp4", 30), 30)
    tuning = workplace.root / "tuning.json"
    tuning.write_text('{"threshold": 0.3, "mixed_precision": false}')
    assert workplace.run("--config", str(tuning)).returncode == 0
    assert workplace.document("clip")["parameters"]["threshold"] == 0.3
    assert workplace.ends()["clip"]["metrics"]["precision"] == "f32"
    tuning.write_text('{"window": 200}')
    refused = workplace.run("--config", str(tuning))
    assert refused.returncode == 2 and "window" in refused.stderr
