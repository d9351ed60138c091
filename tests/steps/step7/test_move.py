"""FINALIZE_MODE=move: the working copy goes only after everything is verified elsewhere."""

from __future__ import annotations

import json
import os

import pytest

ARCHIVE = {"path": "/in/rushes.zip", "bytes": 5, "mtime_ns": 7, "sha256": "c" * 64}


@pytest.fixture
def project(workplace):
    workplace.variables["FINALIZE_MODE"] = "move"
    folder = workplace.work_dir / "Projet 1"
    (folder / ".derush/project").mkdir(parents=True)
    (folder / ".derush/project/archive.json").write_text(json.dumps({"schema": "s", "archive": ARCHIVE}))
    return folder


def _nothing_is_left(workplace):
    assert list((workplace.work_dir / ".derush/removed").iterdir()) == []
    assert [path.name for path in workplace.work_dir.iterdir()] == [".derush"]


def test_the_whole_project_is_moved_and_its_archive_is_noted_as_done(workplace, project, tree):
    before = tree(project)
    assert workplace.run().returncode == 0
    assert tree(workplace.output / "Projet 1") == before
    _nothing_is_left(workplace)
    note = json.loads((workplace.work_dir / ".derush/finalized" / f"{'c' * 64}.json").read_text())
    assert note["archive"] == ARCHIVE
    assert note["delivered_to"] == str(workplace.output / "Projet 1")
    assert workplace.run().returncode == 0
    assert workplace.totals() == {}


def test_a_copy_made_earlier_is_read_again_before_the_project_goes(workplace, project, tree):
    before = tree(project)
    workplace.variables["FINALIZE_MODE"] = "copy"
    workplace.run()
    rotten = workplace.output / "Projet 1/sources/clip.mov"
    status = rotten.stat()
    rotten.write_bytes(b"Xriginal of clip")  # same size; with its time restored only reading tells
    os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
    workplace.variables["FINALIZE_MODE"] = "move"
    assert workplace.run().returncode == 1
    assert workplace.failure()["code"] == "delivery_differs"
    assert tree(project) == before
    assert workplace.run("--force").returncode == 0
    assert (workplace.output / "Projet 1/sources/clip (2).mov").read_bytes() == before["sources/clip.mov"]
    _nothing_is_left(workplace)


def test_a_damaged_archive_keeps_the_project(workplace, project, tree):
    before = tree(project)
    workplace.variables["FINALIZE_MODE"] = "copy"
    workplace.run()
    [rotten] = workplace.archives.glob("*/*/clip_scenes.csv")
    rotten.write_bytes(b"X" + rotten.read_bytes()[1:])
    workplace.variables["FINALIZE_MODE"] = "move"
    assert workplace.run().returncode == 1
    error = workplace.failure()
    assert error["code"] == "archive_damaged"
    assert "clip_scenes.csv (checksum)" in error["message"]
    assert tree(project) == before


def test_an_incomplete_video_keeps_the_whole_project(workplace, project, tree):
    docs = workplace.make_video("Projet 1", "other")
    (docs / "other_scenes.csv").unlink()
    before = tree(project)
    assert workplace.run().returncode == 0
    assert "not_moved" in workplace.warnings()
    assert tree(project) == before
    assert (workplace.output / "Projet 1/docs/clip.mp4").is_file()


def test_a_link_keeps_the_project_for_it_cannot_be_copied(workplace, project, tree):
    (project / "link").symlink_to("notes.txt")
    assert workplace.run().returncode == 0
    assert "link" in workplace.warnings()["not_moved"]
    assert (project / "notes.txt").is_file()


def test_a_project_without_an_archive_is_moved_too(workplace, project):
    (project / ".derush/project/archive.json").unlink()
    assert workplace.run().returncode == 0
    _nothing_is_left(workplace)


def test_what_an_interrupted_removal_left_is_swept(workplace, project):
    left = workplace.work_dir / ".derush/removed/0123/docs"
    left.mkdir(parents=True)
    (left / "clip.mp4").touch()
    workplace.run("--dry-run")
    assert left.is_dir()
    workplace.run()
    _nothing_is_left(workplace)
    left.mkdir(parents=True)
    assert workplace.run().returncode == 0  # no project is there any more
    _nothing_is_left(workplace)


def test_delivered_again_after_being_brought_back(workplace, project):
    workplace.run()
    docs = workplace.make_video("Projet 1", "clip")
    (docs / "clip_audio.json").write_bytes(b"second time")
    assert workplace.run().returncode == 0
    delivered = workplace.output / "Projet 1/docs"
    assert (delivered / "clip_audio.json").read_bytes() == b"second time"
    assert [path.name for path in delivered.iterdir() if "(2)" in path.name] == ["clip_audio (2).json"]


def test_a_file_that_changes_once_it_is_verified_keeps_the_project(workplace, project):
    """An edit that leaves the names as they are, after the last file was read and before the removal."""
    edited = project / "docs/clip_audio.json"
    program = (
        "import sys; from pathlib import Path\n"
        "from workflow_scripts.step7 import delivery, finalize_and_copy\n"
        "verified = delivery.Delivery.verified\n"
        "def edits(self, files, on_bytes):\n"
        "    whole = verified(self, files, on_bytes)\n"
        f"    Path({str(edited)!r}).write_bytes(b'edited meanwhile')\n"
        "    return whole\n"
        "delivery.Delivery.verified = edits\n"
        "sys.exit(finalize_and_copy.main(sys.argv[1:]))"
    )
    assert workplace.run_patched(program).returncode == 1
    assert workplace.failure()["code"] == "changed_meanwhile"
    assert edited.read_bytes() == b"edited meanwhile"


@pytest.mark.parametrize("completeness", ["strict", "videos"])
@pytest.mark.parametrize("place", ["", "Projet 1", "Projet 1/.derush", "Projet 1/sources"])
def test_a_delivery_that_is_the_working_copy_itself_is_refused(workplace, project, tree, place, completeness):
    """OUTPUT_DIR is the work directory, by its name or by a link, or a folder of the delivery is one of the project's."""
    before = tree(project)
    workplace.variables["FINALIZE_COMPLETENESS"] = completeness
    linked = workplace.output / place
    linked.parent.mkdir(parents=True, exist_ok=True)
    linked.symlink_to(workplace.work_dir / place, target_is_directory=True)
    for force in ([], ["--force"]):
        assert workplace.run(*force).returncode == 1
        assert workplace.failure()["code"] == ("output_leads_out" if "sources" in place else "output_is_work")
        assert tree(project) == before


@pytest.mark.parametrize(
    ("name", "below"),
    [("OUTPUT_DIR", "."), ("OUTPUT_DIR", "Projet 1"), ("OUTPUT_DIR", "Projet 1/out"), ("ARCHIVES_DIR", "Projet 1/old")],
)
def test_folders_in_the_working_copy_are_refused(workplace, project, tree, name, below):
    before = tree(project)
    workplace.variables[name] = str(workplace.work_dir / below)
    assert workplace.run().returncode == 1
    error = workplace.failure()
    assert (error["code"], name in error["remedy"]) == ("output_is_work", True)
    assert tree(project) == before


def test_a_delivery_around_the_working_copy_is_refused(workplace, project, tree):
    before = tree(project)
    workplace.variables["OUTPUT_DIR"] = str(workplace.root / "out")
    around = workplace.root / "out/Projet 1"
    around.mkdir(parents=True)
    workplace.work_dir.rename(around / "projects")
    workplace.work_dir.symlink_to(around / "projects", target_is_directory=True)
    assert workplace.run().returncode == 1
    assert workplace.failure()["code"] == "output_is_work"
    assert tree(project) == before


def test_a_link_to_the_original_is_no_copy_of_it(workplace, project, tree):
    before = tree(project)
    linked = workplace.output / "Projet 1/sources/clip.mov"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(project / "sources/clip.mov")
    assert workplace.run().returncode == 0
    _nothing_is_left(workplace)
    assert linked.is_symlink(), "it is a person's, and stays"
    delivered = tree(workplace.output / "Projet 1")
    assert delivered.pop("sources/clip (2).mov") == before.pop("sources/clip.mov")
    assert delivered == before


def test_a_delivered_file_that_became_a_link_is_delivered_again(workplace, project, tree):
    """As tidying up leaves it that links what is double: size, time and content are those that were delivered."""
    original = project / "sources/clip.mov"
    workplace.variables["FINALIZE_MODE"] = "copy"
    workplace.run()
    delivered = workplace.output / "Projet 1/sources/clip.mov"
    delivered.unlink()
    delivered.symlink_to(original)
    workplace.variables["FINALIZE_MODE"] = "move"
    assert workplace.run().returncode == 0
    assert delivered.with_name("clip (2).mov").read_bytes() == b"original of clip"
