"""FINALIZE_COMPLETENESS: which videos are delivered, and that what is not whole is never delivered without a word."""

from __future__ import annotations

import json

import pytest

from tests.steps.step7.test_copy import valid

LACKS = {"strict": ("other_tracking.json (STEP6)",), "lenient": ("other_tracking.json (STEP6)",)}


@pytest.fixture
def torn(workplace):
    """A project with a whole video, one that lacks an artefact, one with nothing but its proxy, one that never got one."""
    docs = workplace.make_video("Projet 1", "other")
    (docs / "other_tracking.json").unlink()
    docs = workplace.make_video("Projet 1", "bare")
    for path in docs.glob("bare_*"):
        if path.name != "bare_source.json":
            path.unlink()
    (workplace.work_dir / "Projet 1/unconverted.mov").write_bytes(b"a video without a proxy")
    return workplace


def delivered_videos(workplace, tree):
    names = tree(workplace.output / "Projet 1")
    return {stem for stem in ("clip", "other", "bare", "unconverted") if any(stem in name for name in names)}


def archived(workplace):
    return {said["video_stem"]: said for said in map(valid, workplace.archives.glob("*/*/metadata.json"))}


def test_incomplete_videos_are_named_and_the_others_delivered(workplace, tree):
    docs = workplace.make_video("Projet 1", "other")
    (docs / "other_tracking.json").unlink()
    (workplace.work_dir / "Projet 1/unconverted.mov").write_bytes(b"a video without a proxy")
    assert workplace.run().returncode == 0
    messages = [event["message"] for event in workplace.events("warning")]
    assert "other is not delivered, it lacks other_tracking.json (STEP6)." in messages
    assert "unconverted is not delivered, it lacks unconverted.mp4 (STEP2)." in messages
    delivered = tree(workplace.output / "Projet 1")
    assert [name for name in delivered if "other" in name or "unconverted" in name] == []
    assert "docs/clip.mp4" in delivered and "notes.txt" in delivered


def test_unreadable_facts_make_a_video_incomplete(workplace, tree):
    docs = workplace.make_video("Projet 1", "other")
    (docs / "other_source.json").write_bytes(b'{"original": 1}')
    assert workplace.run().returncode == 0
    assert "other_source.json (STEP2)" in workplace.warnings()["incomplete_video"]
    delivered = tree(workplace.output / "Projet 1")
    assert [name for name in delivered if "other" in name] == []


def test_a_project_with_nothing_complete_fails_and_the_others_are_done(workplace):
    docs = workplace.make_video("Projet 2", "lone")
    (docs / "lone_audio.json").unlink()
    assert workplace.run().returncode == 1
    assert workplace.totals() == {"done": 1, "failed": 1}
    assert workplace.failure()["code"] == "nothing_to_deliver"
    assert not (workplace.output / "Projet 2").exists()


@pytest.mark.parametrize(
    ("completeness", "delivered"),
    [
        ("strict", {"clip"}), ("lenient", {"clip", "other"}), ("videos", {"clip", "other", "bare", "unconverted"}),
    ],
)  # fmt: skip
def test_what_is_enough_is_delivered_and_marked(torn, tree, completeness, delivered):
    torn.variables["FINALIZE_COMPLETENESS"] = completeness
    ran = torn.run()
    assert ran.returncode == 0
    assert delivered_videos(torn, tree) == delivered
    said = archived(torn)
    assert set(said) == delivered - {"unconverted"}, "without STEP2 nobody knows what an archive is of"
    assert said["clip"]["missing"] == []
    if "other" in delivered:
        assert said["other"]["missing"] == ["other_tracking.json (STEP6)"]
        assert said["other"]["copied"]["tracking"] is None
        assert "other is delivered without other_tracking.json (STEP6)." in ran.stderr + ran.stdout
    record = json.loads((torn.output / "Projet 1/.derush/delivery.json").read_text())
    marks = {mark["video"]: mark["delivered"] for mark in record["incomplete"]}
    assert marks == {stem: stem in delivered for stem in ("other", "bare", "unconverted")}
    assert len([event for event in torn.events("warning") if event["code"] == "incomplete_video"]) == 3
    message = torn.events("item_done")[-1]["message"]
    held, short = 4 - len(delivered), len(delivered) - 1
    assert [f"{held} video" in message and "held back" in message, f"{short} video" in message and "incomplete" in message] == [held > 0, short > 0]  # fmt: skip


@pytest.mark.parametrize("older", ["strict", "Lenient", "videos"])
def test_the_older_combined_names_move_what_is_enough(torn, older):
    torn.variables["FINALIZE_MODE"] = older
    assert torn.run().returncode == 0
    assert (torn.work_dir / "Projet 1").exists() == (older != "videos")
    assert ("not_moved" in torn.warnings()) == (older != "videos")


def test_a_video_that_is_completed_later_takes_its_mark_away(workplace, tree):
    docs = workplace.make_video("Projet 1", "other")
    whole = (docs / "other_tracking.json").read_bytes()
    (docs / "other_tracking.json").unlink()
    workplace.run()
    (docs / "other_tracking.json").write_bytes(whole)
    assert workplace.run().returncode == 0
    assert json.loads((workplace.output / "Projet 1/.derush/delivery.json").read_text())["incomplete"] == []
    assert workplace.warnings() == {}
    assert delivered_videos(workplace, tree) == {"clip", "other"}


def test_a_video_that_loses_an_artefact_after_its_delivery_is_marked(workplace):
    docs = workplace.make_video("Projet 1", "other")
    workplace.run()
    (docs / "other_tracking.json").unlink()
    assert workplace.run().returncode == 0
    [mark] = json.loads((workplace.output / "Projet 1/.derush/delivery.json").read_text())["incomplete"]
    assert (mark["video"], mark["delivered"]) == ("other", True), "what was delivered lies there, whole"


def record_failure(workplace, stem, step):
    """Write what a step leaves of a video that it failed on."""
    record = workplace.work_dir / f"Projet 1/.derush/{stem}.json"
    record.parent.mkdir(exist_ok=True)
    failures = {step: {"code": "x", "message": "It failed.", "remedy": "Mend it."}}
    record.write_text(json.dumps({"schema": "derush.record/1", "steps": {}, "fingerprints": {}, "failures": failures}))


@pytest.mark.parametrize(
    ("step", "missing"),
    [
        ("STEP6", ["other_audio.json (STEP6 failed)", "other_tracking.json (STEP6 failed)"]),
        ("STEP2", ["other.mp4 (STEP2 failed)", "other_source.json (STEP2 failed)"]),
    ],
)
def test_what_a_step_made_before_it_failed_makes_no_video_complete(workplace, tree, step, missing):
    workplace.make_video("Projet 1", "other")
    record_failure(workplace, "other", step)
    assert workplace.run().returncode == 0
    assert delivered_videos(workplace, tree) == {"clip"}
    [mark] = json.loads((workplace.output / "Projet 1/.derush/delivery.json").read_text())["incomplete"]
    assert (mark["delivered"], mark["missing"]) == (False, missing)
    item = {"path": str(workplace.work_dir / "Projet 1"), "project": str(workplace.work_dir / "Projet 1")}
    listed = workplace.root / "items.json"
    listed.write_text(json.dumps([{**item, "accepted": [str(workplace.work_dir / "Projet 1/docs/other.mp4")]}]))
    assert workplace.run("--videos", str(listed)).returncode == 0
    assert delivered_videos(workplace, tree) == {"clip", "other"}


def test_a_delivery_tells_of_a_video_that_was_delivered_and_is_held_back_now(torn, tree):
    """Delivered once as it was, and not again: it lies there, and the one that never was does not."""
    torn.variables["FINALIZE_COMPLETENESS"] = "lenient"
    torn.run()
    torn.variables["FINALIZE_COMPLETENESS"] = "strict"
    for _ in range(2):
        assert torn.run().returncode == 0
        record = json.loads((torn.output / "Projet 1/.derush/delivery.json").read_text())
        marks = {mark["video"]: mark["delivered"] for mark in record["incomplete"]}
        assert marks == {"other": True, "bare": False, "unconverted": False}
    assert torn.totals() == {"up_to_date": 1}


def test_a_delivery_that_fails_says_of_no_video_that_it_is_there(torn):
    torn.variables["FINALIZE_COMPLETENESS"] = "lenient"
    (torn.output / "Projet 1").mkdir(parents=True)
    (torn.output / "Projet 1/docs").write_text("a file where a folder is to be")
    assert torn.run().returncode == 1
    record = torn.output / "Projet 1/.derush/delivery.json"
    assert not record.exists() or not any(mark["delivered"] for mark in json.loads(record.read_text())["incomplete"])


@pytest.mark.parametrize(
    "damage",
    [
        ('"frames": 50', '"frames": Infinity'), ('"frames": 50', '"frames": 1e999'), ('"frames": 50', '"frames": true'),
        ('"path": "sources/other.mov"', '"path": 5'), ('"path": "sources/other.mov"', '"path": "../other.mov"'),
        ('"bytes": 16', '"bytes": NaN'), ('"bytes": 16', '"bytes": -1e999'), ('"codec": "h264"', '"codec": NaN'),
        ('"video": {', '"video": 5, "was": {'), ('"sha256": "', '"sha256": "../../../../escaped'),
    ],
)  # fmt: skip
def test_facts_that_cannot_be_gone_by_hold_back_their_video_alone(workplace, tree, damage):
    facts = workplace.make_video("Projet 1", "other") / "other_source.json"
    assert damage[0] in facts.read_text()
    facts.write_text(facts.read_text().replace(*damage))
    assert workplace.run().returncode == 0
    assert "other_source.json (STEP2)" in workplace.warnings()["incomplete_video"]
    assert delivered_videos(workplace, tree) == {"clip"}
    workplace.variables["FINALIZE_COMPLETENESS"] = "videos"
    assert workplace.run().returncode == 0
    assert set(archived(workplace)) == {"clip"}
    assert not list(workplace.root.glob("**/escaped*"))


@pytest.mark.parametrize("accepted", [False, True])
def test_a_project_is_moved_when_a_person_accepted_what_failed(torn, accepted, tree):
    """As a run tells it: the item names what failed and was taken as it is, an original or a proxy."""
    project = torn.work_dir / "Projet 1"
    paths = [project / "docs/other.mp4", project / "sources/bare.mov", project / "unconverted.mov"]
    item = {
        "path": str(project),
        "project": str(project),
        "accepted": [str(path) for path in paths[: 3 if accepted else 2]],
    }
    listed = torn.root / "items.json"
    listed.write_text(json.dumps([item]))
    before = tree(project)
    torn.variables["FINALIZE_MODE"] = "move"
    assert torn.run("--videos", str(listed)).returncode == 0
    assert project.exists() == (not accepted)
    said = archived(torn)
    assert (said["other"]["accepted"], said["bare"]["accepted"], said["clip"]["accepted"]) == (True, True, False)
    assert said["other"]["missing"] == ["other_tracking.json (STEP6)"]
    if accepted:
        assert tree(torn.output / "Projet 1") == before
