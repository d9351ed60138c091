"""Names and files as they really come: all of it through all seven steps with real models."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.media import make_clip, one_frame

Derush = Callable[..., "subprocess.CompletedProcess[str]"]
LONG = "très " * 38 + "long 🎬 fin"


def archive(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, file.name)
    return path


def run(run_derush: Derush, *inputs: Path) -> dict[str, Any]:
    ended = run_derush("run", "--json", *map(str, inputs), timeout=280)
    assert ended.stdout, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_hostile_names_go_through_all_seven_steps(run_derush: Derush, tmp_path: Path) -> None:
    names = [
        "-n -i rm.mp4", "it's \"quoted\" $(x) `y`.mp4", "émoji 🎬 ñ.mp4", "a b%d:c;d&e|f*?[x].mp4", f"{LONG}.mp4", ".hidden.mp4",
    ]  # fmt: skip
    assert len(LONG) == 200
    clips = tmp_path / "clips"
    for name in names:
        make_clip(clips / name, seconds=0.4)
    project = '-rf "it\'s" 🎬 é ' + "x" * 60
    told = run(run_derush, archive(tmp_path / f"{project}.zip", clips))
    assert told["failures"] == [] and told["exit_code"] == 0
    assert {step: sum(entry["counts"].values()) for step, entry in told["steps"].items()} == {
        "STEP1": 1, "STEP2": 6, "STEP3": 6, "STEP4": 6, "STEP5": 6, "STEP6": 6, "STEP7": 1,
    }  # fmt: skip
    (made,) = (path for path in (tmp_path / "projets_extraits").iterdir() if path.name != ".derush")
    assert "it's" in made.name and "🎬" in made.name
    assert '"' not in made.name
    openable = {ord(letter): "_" for letter in '<>:"|?*'}  # on Windows, too
    assert sorted(path.name for path in (made / "sources").iterdir()) == sorted(
        name.translate(openable) for name in names
    )
    archived = list((tmp_path / "archives").glob("*/*/metadata.json"))
    assert len(archived) == 6
    assert {json.loads(path.read_text())["video_stem"] for path in archived} >= {"-n -i rm", ".hidden", "émoji 🎬 ñ"}


def test_each_bad_file_harms_only_itself_and_is_named(run_derush: Derush, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    make_clip(clips / "good.mp4", seconds=0.4)
    make_clip(clips / "mute.mp4", seconds=0.4, audio=False)
    make_clip(clips / "sound_only.mp4", video=False)
    one_frame(clips / "one_frame.mp4")
    (clips / "text.mp4").write_text("This is no video.\n")
    (clips / "empty.mp4").write_bytes(b"")
    whole = make_clip(tmp_path / "whole.mp4", seconds=4).read_bytes()
    (clips / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    told = run(run_derush, archive(tmp_path / "12_Camille_x.zip", clips))
    assert told["exit_code"] == 1
    failures = {Path(failure["item"]).name: failure for failure in told["failures"]}
    assert {name: failure["code"] for name, failure in failures.items()} == {
        "text.mp4": "not_a_video", "empty.mp4": "empty_file", "sound_only.mp4": "no_video_stream",
        # Its index (moov) stood at the end, which is gone: no player opens it either.
        "truncated.mp4": "damaged_source",
    }  # fmt: skip
    assert all(failure["message"] and failure["remedy"] for failure in failures.values())
    assert told["steps"]["STEP6"]["counts"] == {"done": 3}
    delivered = {path.name for path in (tmp_path / "output" / "12 Camille" / "docs").glob("*.mp4")}
    assert delivered == {"good.mp4", "mute.mp4", "one_frame.mp4"}
    docs = tmp_path / "projets_extraits" / "12 Camille" / "docs"
    assert json.loads((docs / "one_frame_tracking.json").read_text())["total_frames"] == 1


def test_a_folder_of_clips_and_a_single_clip_are_taken_as_they_are(run_derush: Derush, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "rushes" / "clip.mov", seconds=0.4, rate="30000/1001")
    before = clip.read_bytes()
    for given in (clip.parent, clip):
        ended = run_derush("run", "--json", str(given), "--steps", "1-2")
        assert json.loads(ended.stdout)["exit_code"] == 0, ended.stderr
    assert clip.read_bytes() == before


def test_later_steps_alone_find_what_was_made_of_an_archive(run_derush: Derush, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clips" / "clip.mp4", seconds=0.4)
    packed, empty = archive(tmp_path / "12_Camille_x.zip", clip.parent), tmp_path / "empty"
    empty.mkdir()
    ended = run_derush("run", str(packed), "--steps", "6")
    assert ended.returncode == 2 and "STEP1's work" in ended.stderr
    assert json.loads(run_derush("run", "--json", str(packed), "--steps", "1-2").stdout)["exit_code"] == 0
    later = run_derush("run", "--json", str(packed), str(empty), "--steps", "3")
    assert json.loads(later.stdout)["steps"]["STEP3"]["counts"] == {"done": 1}
    assert "empty: no archive, video or project" in later.stderr.replace("\n", "")


def test_one_odd_name_in_a_folder_of_clips_is_repaired_and_said(run_derush: Derush, tmp_path: Path) -> None:
    folder = tmp_path / "rushes"
    make_clip(folder / "good.mp4", seconds=0.4)
    (folder / "new\nline.mp4").write_bytes((folder / "good.mp4").read_bytes())
    told = json.loads(run_derush("run", "--json", str(folder), "--steps", "1-2").stdout)
    assert told["steps"]["STEP2"]["counts"] == {"done": 2}
    assert [(warning["code"], warning["message"].split()[0]) for warning in told["warnings"]] == [
        ("renamed", r"new\nline.mp4")
    ]


def test_a_moved_project_comes_back_when_its_delivery_is_gone_or_by_force(run_derush: Derush, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clips" / "clip.mp4", seconds=0.4)
    packed = archive(tmp_path / "12_Camille_x.zip", clip.parent)
    project, delivery = tmp_path / "projets_extraits" / "12 Camille", tmp_path / "output" / "12 Camille"

    def counts(*options: str, mode: str = "copy") -> dict[str, Any]:
        ended = run_derush("run", "--json", str(packed), *options, FINALIZE_MODE=mode, timeout=280)
        return {step: entry["counts"] for step, entry in json.loads(ended.stdout)["steps"].items()}

    assert counts(mode="move")["STEP7"] == {"done": 1}
    assert delivery.is_dir() and not project.exists()
    assert counts() == {"STEP1": {"up_to_date": 1}}
    assert counts("--steps", "1", "--force") == {"STEP1": {"done": 1}}
    assert project.is_dir()
    shutil.rmtree(project)
    shutil.rmtree(delivery)
    assert counts("--steps", "1") == {"STEP1": {"done": 1}}


def test_an_archive_without_video_is_no_failure(run_derush: Derush, tmp_path: Path) -> None:
    notes = tmp_path / "notes" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("no video here")
    told = json.loads(run_derush("run", "--json", str(archive(tmp_path / "notes.zip", notes.parent))).stdout)
    assert told["exit_code"] == 0
    assert [warning["code"] for warning in told["warnings"] if warning["code"] != "little_space"] == ["no_video"]
    assert set(told["steps"]) == {"STEP1"}
    later = json.loads(run_derush("run", "--json", "--steps", "7").stdout)
    assert later["exit_code"] == 0
    assert [skipped["reason"] for skipped in later["skipped"]] == ["holds no video"]


def test_archives_that_point_outside_are_refused(run_derush: Derush, tmp_path: Path) -> None:
    evil, good = tmp_path / "in" / "evil.zip", tmp_path / "in" / "good.zip"
    clip = make_clip(tmp_path / "clip.mp4", seconds=0.4)
    evil.parent.mkdir()
    with zipfile.ZipFile(evil, "w") as packed:
        packed.writestr("../../escaped.mp4", "x")
    with zipfile.ZipFile(good, "w") as packed:
        packed.write(clip, "clip.mp4")
    told = run(run_derush, evil.parent)
    assert [Path(failure["item"]).name for failure in told["failures"]] == ["evil.zip"]
    assert not list(tmp_path.rglob("escaped.mp4"))
    assert told["steps"]["STEP7"]["counts"] == {"done": 1}
