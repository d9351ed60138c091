"""`derush archive`: archives found by what an original holds, checked by name, brought back."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from config.contract import Exit
from services.results_archiver import Artefact, Entry, ResultsArchiver, Subject

Derush = Callable[..., subprocess.CompletedProcess[str]]
HOSTILE = "[red]evil\n\x1b[31m"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mov"
    path.write_bytes(b"what the camera wrote")
    return path


@pytest.fixture
def entry(places: dict[str, str], tmp_path: Path, original: Path) -> Entry:
    """The older of two archives of one original: since then its scenes were found anew."""
    archiver, scenes = ResultsArchiver(Path(places["ARCHIVES_DIR"])), tmp_path / "clip_scenes.csv"
    subject = Subject(HOSTILE, "clip", hashlib.sha256(original.read_bytes()).hexdigest(), str(original))
    made = []
    for day, content in enumerate(("first", "second"), 1):
        scenes.write_text(content)
        made.append(
            archiver.archive(subject, [Artefact("scenes_csv", scenes)], datetime(2026, 1, day, tzinfo=timezone.utc))
        )
    return made[0][0]


def test_archives_are_found_by_the_original_itself_its_sha256_or_a_name(
    run_derush: Derush, entry: Entry, original: Path, tmp_path: Path
) -> None:
    moved = original.rename(tmp_path / "renamed since.mov")
    for key in (str(moved), entry.sha256, "clip"):
        told = json.loads(run_derush("archive", "find", key, "--json").stdout)["archives"]
        assert [each["created_at"][:10] for each in told] == ["2026-01-02", "2026-01-01"]
    listed = run_derush("archive", "list")
    assert listed.returncode == Exit.OK
    assert "[red]evil��[31m" in listed.stdout
    missing = run_derush("archive", "find", "nothing of the kind")
    assert (missing.returncode, "derush archive list" in missing.stderr) == (Exit.USAGE, True)


def test_bit_rot_is_reported_by_name_and_only_where_it_is(run_derush: Derush, entry: Entry) -> None:
    assert run_derush("archive", "verify", "--all").returncode == Exit.OK
    (entry.folder / "clip_scenes.csv").write_text("fIrst")
    told = run_derush("archive", "verify", "--all")
    assert told.returncode == Exit.SOME_FAILED
    assert told.stdout.count("✗") == told.stdout.count("clip_scenes.csv does not hold what was archived") == 1
    record = json.loads(run_derush("archive", "verify", "clip", "--json").stdout)
    assert [each["problems"] for each in record["archives"]] == [[], [{"name": "clip_scenes.csv", "what": "checksum"}]]
    assert run_derush("archive", "verify").returncode == Exit.USAGE


def test_an_incomplete_archive_is_called_so(run_derush: Derush, places: dict[str, str], tmp_path: Path) -> None:
    scenes = tmp_path / "clip_scenes.csv"
    scenes.write_text("x")
    subject = Subject("P", "clip", "0" * 64, "/clip.mov", missing=["clip_audio.json (STEP6)"])
    ResultsArchiver(Path(places["ARCHIVES_DIR"])).archive(
        subject, [Artefact("scenes_csv", scenes)], datetime.now(timezone.utc)
    )
    assert "incomplete" in run_derush("archive", "list").stdout
    [told] = json.loads(run_derush("archive", "list", "--json").stdout)["archives"]
    assert told["missing"] == ["clip_audio.json (STEP6)"]


def test_the_newest_archive_is_brought_back_and_nothing_is_overwritten(
    run_derush: Derush, entry: Entry, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    back.mkdir()
    (back / "clip_scenes.csv").write_text("mine")
    told = json.loads(run_derush("archive", "restore", "clip", "--to", str(back), "--json").stdout)
    (restored,) = map(Path, told["restored"])
    assert (restored.name, restored.read_text()) == ("clip_scenes (2).csv", "second")
    assert (back / "clip_scenes.csv").read_text() == "mine"


def test_an_older_archive_is_brought_back_by_its_folder(run_derush: Derush, entry: Entry, tmp_path: Path) -> None:
    newest = json.loads(run_derush("archive", "find", "clip", "--json").stdout)["archives"][0]["folder"]
    (Path(newest) / "clip_scenes.csv").write_text("rotten")
    refused = run_derush("archive", "restore", "clip", "--to", str(tmp_path / "back"))
    assert (refused.returncode, str(entry.folder) in refused.stderr) == (Exit.SOME_FAILED, True)
    assert run_derush("archive", "restore", str(entry.folder), "--to", str(tmp_path / "back")).returncode == Exit.OK
    assert (tmp_path / "back" / "clip_scenes.csv").read_text() == "first"


def test_which_of_different_originals_of_one_name_is_asked_for(
    run_derush: Derush, places: dict[str, str], entry: Entry, tmp_path: Path
) -> None:
    scenes = tmp_path / "clip_scenes.csv"
    ResultsArchiver(Path(places["ARCHIVES_DIR"])).archive(
        Subject("Other", "clip", "0" * 64, "/other/clip.mov"),
        [Artefact("scenes_csv", scenes)],
        datetime.now(timezone.utc),
    )
    refused = run_derush("archive", "restore", "clip", "--to", str(tmp_path / "back"))
    assert (refused.returncode, "give the folder" in refused.stderr) == (Exit.USAGE, True)
    assert not (tmp_path / "back").exists()


def test_what_rotted_is_not_brought_back(run_derush: Derush, entry: Entry, tmp_path: Path) -> None:
    for path in entry.folder.parents[1].glob("*/*/clip_scenes.csv"):
        path.write_text("rot")
    refused = run_derush("archive", "restore", "clip", "--to", str(tmp_path / "back"))
    assert (refused.returncode, "clip_scenes.csv" in refused.stderr) == (Exit.SOME_FAILED, True)
    assert not (tmp_path / "back").exists()
