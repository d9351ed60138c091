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
