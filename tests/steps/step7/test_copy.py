"""FINALIZE_MODE=copy: what is delivered and archived, and what is left alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import jsonschema
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def valid(metadata):
    """Return what an archive's metadata say, which is what the documentation says of them."""
    written = json.loads(metadata.read_text())
    schema = json.loads((REPOSITORY / "docs/schemas/archive_metadata.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(written)
    return written


def test_a_project_is_delivered_and_archived(workplace, tree):
    project = workplace.work_dir / "Projet 1"
    before = tree(project)
    assert workplace.run().returncode == 0
    assert tree(project) == before
    assert tree(workplace.output / "Projet 1") == before
    [metadata] = workplace.archives.glob("Projet 1 */*/metadata.json")
    written = valid(metadata)
    assert metadata.parent.name == written["video_hash"]
    assert written["copied"] == {
        "scenes": "clip_scenes.csv", "audio": "clip_audio.json", "tracking": "clip_tracking.json",
    }  # fmt: skip
    assert written["source"] == {
        "name": "clip.mov", "bytes": 16, "codec": "h264", "rate": "30000/1001", "variable_rate": False, "proxy_frames": 50,
    }  # fmt: skip
    archived = {path.name: path.read_bytes() for path in metadata.parent.iterdir() if path != metadata}
    assert archived == {
        name.removeprefix("docs/"): content for name, content in before.items() if name.startswith("docs/clip_")
    }
    assert {event["kind"] for event in workplace.events("artefact")} == {"archive_metadata"}
    assert (written["missing"], written["accepted"]) == ([], False)


def test_delivery_and_working_copy_share_no_data(workplace):
    workplace.run()
    delivered = workplace.output / "Projet 1/docs/clip.mp4"
    assert not delivered.samefile(workplace.work_dir / "Projet 1/docs/clip.mp4")


def test_provenance_is_what_the_steps_recorded_of_unchanged_files(workplace, tree):
    docs = workplace.work_dir / "Projet 1/docs"

    (docs / "clip_contact.html").write_text("page")
    (workplace.root / "secret").write_text("never archived")

    def made(name, kind="x"):
        status = (docs / name).stat()
        sha256 = hashlib.sha256((docs / name).read_bytes()).hexdigest()
        return {
            "kind": kind, "path": f"docs/{name}", "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256,
        }  # fmt: skip

    step3 = {
        "step": "STEP3", "version": 4, "parameters": {"threshold": 0.5}, "models": {"transnetv2": "a" * 64},
        "inputs": {"docs/clip.mp4": "b" * 64}, "key": "k", "finished_at": "2026-03-01T23:05:09+00:00", "seconds": 1.5,
        "host": "studio", "python": "3.11.7", "packages": {"torch": "2.13.0"}, "device": "cpu", "metrics": {},
        "provisional": False,
        "artefacts": [
            made("clip_scenes.csv"), made("clip_scenes.json"), made("clip_contact.html", "contact_page"),
            made("../../../secret", "x"),
        ],
    }  # fmt: skip
    record = {"schema": "derush.record/1", "steps": {"STEP3": step3}, "fingerprints": {}}
    (docs.parent / ".derush").mkdir()
    (docs.parent / ".derush/clip.json").write_text(json.dumps(record))
    (docs / "clip_scenes.json").write_text("changed by hand")
    workplace.run()
    [metadata] = workplace.archives.glob("*/*/metadata.json")
    said = {known["name"]: known for known in valid(metadata)["artefacts"]}
    assert "secret" not in said
    scenes = said["clip_scenes.csv"]
    assert [scenes[key] for key in ("step", "step_version", "parameters", "models")] == [
        "STEP3", 4, {"threshold": 0.5}, {"transnetv2": "a" * 64},
    ]  # fmt: skip
    assert valid(metadata)["steps"] == {
        "STEP3": {
            "version": 4, "inputs": {"docs/clip.mp4": "b" * 64}, "finished_at": "2026-03-01T23:05:09+00:00", "seconds": 1.5,
            "host": "studio", "python": "3.11.7", "packages": {"torch": "2.13.0"}, "device": "cpu",
        }
    }  # fmt: skip
    page = said["clip_contact.html"]
    assert (page["kind"], page["step"]) == ("contact_page", "STEP3")
    assert said["clip_scenes.json"]["step"] is None
    assert said["clip_audio.json"]["step"] is None


def test_a_file_that_two_steps_recorded_is_archived_once(workplace):
    docs = workplace.work_dir / "Projet 1/docs"
    (docs / "clip_page.html").write_text("page")
    entry = {"kind": "page", "path": "docs/clip_page.html", "bytes": 4, "mtime_ns": 0, "sha256": "0" * 64}
    step = {"version": 1, "parameters": {}, "models": {}, "inputs": {}, "key": "k", "artefacts": [entry]}
    steps = {name: {**step, "step": name} for name in ("STEP3", "STEP5")}
    (docs.parent / ".derush").mkdir()
    record = {"schema": "derush.record/1", "steps": steps, "fingerprints": {}}
    (docs.parent / ".derush/clip.json").write_text(json.dumps(record))
    assert workplace.run().returncode == 0
    [metadata] = workplace.archives.glob("*/*/metadata.json")
    assert [known["name"] for known in valid(metadata)["artefacts"]].count("clip_page.html") == 1


def test_a_second_run_is_up_to_date_and_reads_no_content(workplace, tree):
    workplace.run()
    places = (workplace.output, workplace.archives)
    before = {path: path.stat().st_mtime_ns for place in places for path in place.rglob("*") if path.is_file()}
    accessed = workplace.output / "Projet 1/docs/clip.mp4"
    os.utime(accessed, ns=(0, accessed.stat().st_mtime_ns))  # relatime: the next read would set it
    assert workplace.run().returncode == 0
    assert workplace.totals() == {"up_to_date": 1}
    assert accessed.stat().st_atime_ns == 0
    assert {path: path.stat().st_mtime_ns for place in places for path in place.rglob("*") if path.is_file()} == before


def test_a_dry_run_writes_nothing(workplace):
    assert workplace.run("--dry-run").returncode == 0
    assert workplace.totals() == {"skipped": 1}
    assert not workplace.output.exists()
    assert list(workplace.archives.iterdir()) == []


def test_the_version_delivered_before_becomes_a_numbered_one_and_the_new_one_is_archived_anew(workplace):
    workplace.run()
    changed = workplace.work_dir / "Projet 1/docs/clip_audio.json"
    docs = workplace.output / "Projet 1/docs"
    for number, content in enumerate((b"better", b"best")):
        changed.write_bytes(content)
        assert workplace.run().returncode == 0
        assert (docs / "clip_audio.json").read_bytes() == content
        assert f"clip_audio ({number + 2}).json" in workplace.warnings()["kept_older"]
    assert (docs / "clip_audio (2).json").read_bytes() == b"clip_audio.json"
    assert (docs / "clip_audio (3).json").read_bytes() == b"better"
    archived = sorted(path.read_bytes() for path in workplace.archives.glob("*/*/clip_audio.json"))
    assert archived == [b"best", b"better", b"clip_audio.json"]
    workplace.run()
    assert workplace.totals() == {"up_to_date": 1}


@pytest.mark.parametrize("content", [b"a person's", b"clip_audio.jsoN"])
def test_a_file_that_is_not_ours_stays(workplace, content):
    theirs = workplace.output / "Projet 1/docs/clip_audio.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(content)
    assert workplace.run().returncode == 0
    ours = theirs.with_name("clip_audio (2).json")
    assert (theirs.read_bytes(), ours.read_bytes()) == (content, b"clip_audio.json")
    assert "clip_audio (2).json" in workplace.warnings()["kept_existing"]
    workplace.run()
    assert workplace.totals() == {"up_to_date": 1}
    (workplace.work_dir / "Projet 1/docs/clip_audio.json").write_bytes(b"newer")
    workplace.run()
    assert (theirs.read_bytes(), ours.read_bytes()) == (content, b"newer")
    assert theirs.with_name("clip_audio (3).json").read_bytes() == b"clip_audio.json"


def test_content_that_comes_back_takes_its_place_again(workplace):
    """The version between makes way; nobody is told that a file of ours is not ours."""
    name, delivered = "docs/clip_tracking.json", workplace.output / "Projet 1/docs/clip_tracking.json"
    for content in (b"one", b"TWO", b"one"):
        (workplace.work_dir / "Projet 1" / name).write_bytes(content)
        assert workplace.run().returncode == 0
        assert delivered.read_bytes() == content
        assert "kept_existing" not in workplace.warnings()
    assert delivered.with_name("clip_tracking (3).json").read_bytes() == b"TWO"
    workplace.run()
    assert workplace.totals() == {"up_to_date": 1}


def test_a_delivered_file_that_a_person_edited_stays(workplace):
    workplace.run()
    edited = workplace.output / "Projet 1/docs/clip_audio.json"
    edited.write_bytes(b"edited")
    workplace.run()
    assert edited.read_bytes() == b"edited"
    assert edited.with_name("clip_audio (2).json").read_bytes() == b"clip_audio.json"


@pytest.mark.parametrize("name", ["../../precious", "/{root}/precious"])
def test_a_record_of_a_delivery_leads_nowhere_else(workplace, name):
    """As if a person's file had been delivered by us: it would be moved aside."""
    workplace.run()
    precious = workplace.root / "precious"
    precious.write_bytes(b"clip_audio.json")
    record = workplace.output / "Projet 1/.derush/delivery.json"
    known = json.loads(record.read_text())
    known["files"]["docs/clip_audio.json"]["name"] = name.format(root=workplace.root)
    record.write_text(json.dumps(known))
    (workplace.work_dir / "Projet 1/docs/clip_audio.json").write_bytes(b"newer")
    assert workplace.run().returncode == 0
    assert precious.read_bytes() == b"clip_audio.json"
    assert not list(workplace.root.glob("precious (*"))


def test_what_is_there_already_with_the_same_content_is_left(workplace):
    there = workplace.output / "Projet 1/docs/clip_audio.json"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"clip_audio.json")
    os.utime(there, (1, 1))
    workplace.run()
    assert there.stat().st_mtime == 1
    assert not there.with_name("clip_audio (2).json").exists()


def test_the_fallback_is_used_with_a_warning(workplace):
    (workplace.root / "file").touch()
    workplace.variables["OUTPUT_DIR"] = str(workplace.root / "file/below")  # no folder can be made below a file
    assert workplace.run().returncode == 1
    error = workplace.failure()
    assert error["code"] == "output_unwritable"
    assert "FALLBACK_OUTPUT_DIR" in error["remedy"]
    workplace.variables["FALLBACK_OUTPUT_DIR"] = str(workplace.root / "fallback")
    assert workplace.run().returncode == 0
    assert (workplace.root / "fallback/Projet 1/docs/clip.mp4").read_bytes() == b"proxy of clip"
    assert "fallback_output" in workplace.warnings()


def test_what_surely_does_not_fit_is_refused_before_anything_is_copied(workplace, tree):
    with (workplace.work_dir / "Projet 1/huge.bin").open("wb") as stream:
        stream.truncate(1 << 43)  # 8 TiB with no block on the disk
    assert workplace.run().returncode == 1
    assert workplace.failure()["code"] == "no_space"
    assert tree(workplace.output / "Projet 1") == {}


def test_what_is_there_already_needs_no_space(workplace):
    """As on a disk that the delivery itself has filled; the record of it is gone, so that every file is looked at."""
    workplace.run()
    (workplace.output / "Projet 1/.derush/delivery.json").unlink()
    full = (
        "import shutil, sys; from collections import namedtuple\n"
        "from workflow_scripts.step7 import finalize_and_copy\n"
        "shutil.disk_usage = lambda _folder: namedtuple('usage', 'total used free')(1, 1, 0)\n"
        "sys.exit(finalize_and_copy.main(sys.argv[1:]))"
    )
    assert workplace.run_patched(full).returncode == 0
    assert workplace.totals() == {"done": 1}
    (workplace.work_dir / "Projet 1/notes.txt").write_text("newer")
    assert workplace.run_patched(full).returncode == 1
    assert workplace.failure()["code"] == "no_space"


def test_little_space_is_a_warning(workplace):
    workplace.variables["DISK_WARNING_GB"] = "1000000"
    assert workplace.run().returncode == 0
    assert "DISK_WARNING_GB" in workplace.warnings()["little_space"]


@pytest.mark.parametrize("name", ['-l\'été “🎬” "q"', "🎬" * 50, "x" * 200, " [a*] %s"])
def test_names_of_all_kinds(workplace, tree, name):
    stem = name if len(name.encode()) < 230 else name[:40]
    workplace.make_video(name, stem)
    assert workplace.run().returncode == 0
    assert tree(workplace.output / name) == tree(workplace.work_dir / name)
    workplace.run()
    assert workplace.totals() == {"up_to_date": 2}
