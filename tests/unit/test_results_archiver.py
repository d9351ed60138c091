"""Archives: whole or absent, found again, verified by name, never overwritten."""

from __future__ import annotations

import ast
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import pytest

from services import results_archiver, verified_copies
from services.results_archiver import ArchiveDamaged, ArchiveError, Artefact, Problem, ResultsArchiver, Subject
from services.verified_copies import CopyMismatch, NotEnoughSpace, copies, copy_verified, move_to_free_place, numbered

REPOSITORY = Path(__file__).resolve().parents[2]
ORIGINAL = hashlib.sha256(b"the original").hexdigest()
WHEN = datetime(2026, 3, 1, 23, 5, 9, tzinfo=timezone.utc)
LATER = datetime(2026, 3, 2, 0, 0, 0, tzinfo=timezone.utc)
CONTENT = {"clip_scenes.csv": b"No,Timecode In\n", "clip_audio.json": b"{}", "clip_tracking.json": b'{"a": 1}'}
KINDS = {"clip_scenes.csv": "scenes_csv", "clip_audio.json": "audio", "clip_tracking.json": "tracking"}
SUBJECT = Subject("Projet 1", "clip", ORIGINAL, "/work/Projet 1/docs/clip.mp4", {"name": "clip.mov", "bytes": 12})


@pytest.fixture
def artefacts(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return [
        Artefact(KINDS[name], folder / name, None, "STEP3", 2, {"threshold": 0.5}, {"transnetv2": "0" * 64})
        for name in CONTENT
    ]


@pytest.fixture
def archiver(tmp_path):
    return ResultsArchiver(tmp_path / "archives")


def test_an_archive_holds_the_files_and_says_how_they_were_made(archiver, artefacts):
    entry, is_new = archiver.archive(SUBJECT, artefacts, WHEN)
    assert is_new
    assert entry.folder == archiver.archives_dir / "Projet 1 2026-03-01_23-05-09" / ORIGINAL
    assert {path.name for path in entry.folder.iterdir()} == {*CONTENT, "metadata.json"}
    assert all((entry.folder / name).read_bytes() == content for name, content in CONTENT.items())
    metadata = json.loads((entry.folder / "metadata.json").read_text())
    schema = json.loads((REPOSITORY / "docs/schemas/archive_metadata.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(metadata)
    older = {key: metadata[key] for key in ("video_path", "video_stem", "video_hash", "created_at", "copied")}
    assert older == {
        "video_path": "/work/Projet 1/docs/clip.mp4",
        "video_stem": "clip",
        "video_hash": ORIGINAL,
        "created_at": "2026-03-01T23:05:09+00:00",
        "copied": {"scenes": "clip_scenes.csv", "audio": "clip_audio.json", "tracking": "clip_tracking.json"},
    }
    assert metadata["artefacts"][1] == {
        "kind": "audio", "name": "clip_audio.json", "bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest(),
        "step": "STEP3", "step_version": 2, "parameters": {"threshold": 0.5}, "models": {"transnetv2": "0" * 64},
    }  # fmt: skip
    assert archiver.verify(entry) == []


def test_the_same_archive_is_not_made_twice(archiver, artefacts):
    first, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    again, is_new = archiver.archive(SUBJECT, artefacts, LATER)
    assert (again.folder, is_new) == (first.folder, False)
    assert len(list(archiver.list())) == 1


def test_a_damaged_copy_does_not_count_as_the_same(archiver, artefacts):
    first, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    (first.folder / "clip_audio.json").unlink()
    _, is_new = archiver.archive(SUBJECT, artefacts, LATER)
    assert is_new


def test_other_content_at_the_same_second_gets_a_number_and_leaves_the_first(archiver, artefacts):
    first, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    artefacts[1].path.write_bytes(b'{"better": true}')
    second, is_new = archiver.archive(SUBJECT, artefacts, WHEN)
    assert is_new
    assert second.folder == first.folder.with_name(f"{ORIGINAL} (2)")
    assert (first.folder / "clip_audio.json").read_bytes() == b"{}"
    assert archiver.verify(first) == archiver.verify(second) == []


def test_found_by_content_then_by_stem_the_newest_first(archiver, artefacts):
    first, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    artefacts[1].path.write_bytes(b"[]")
    second, _ = archiver.archive(SUBJECT, artefacts, LATER)
    other = Subject("B", "other", hashlib.sha256(b"other").hexdigest(), "/other.mp4")
    archiver.archive(other, artefacts, LATER)
    assert [entry.folder for entry in archiver.find(ORIGINAL)] == [second.folder, first.folder]
    assert [entry.folder for entry in archiver.find("clip")] == [second.folder, first.folder]
    assert [entry.stem for entry in archiver.find("other")] == ["other"]
    assert archiver.find("nothing") == []
    assert archiver.find("*") == []


def _flip(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "what"),
    [(_flip, "checksum"), (Path.unlink, "missing"), (lambda path: path.write_bytes(b"short"), "size")],
)
def test_damage_is_found_by_name(archiver, artefacts, damage, what):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    damage(entry.folder / "clip_tracking.json")
    assert archiver.verify(entry) == [Problem("clip_tracking.json", what)]


def test_any_flipped_byte_of_an_archive_is_reported_by_name(archiver, artefacts, tmp_path):
    """Of every file one, chosen anew each time; in the metadata every one that does not only part the words."""
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    for path in sorted(entry.folder.iterdir()):
        whole = path.read_bytes()
        for at in range(0, len(whole), 1 if path.name != "metadata.json" else 7):
            if whole[at : at + 1].isspace():
                continue
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert path.name in {problem.name for rotten in archiver.list() for problem in archiver.verify(rotten)} or (
                path.name == "metadata.json" and any(archiver.verify(rotten) for rotten in archiver.list())
            ), (path.name, at)
        path.write_bytes(whole)
    assert [archiver.verify(each) for each in archiver.list()] == [[]]


def test_files_come_back_byte_for_byte_even_beside_metadata_that_rotted(archiver, artefacts, tmp_path):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    metadata = entry.folder / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"threshold": 0.5', '"threshold": 0.7'))
    [rotten] = archiver.list()
    assert archiver.verify(rotten) == [Problem("metadata.json", "checksum")]
    archiver.restore(rotten, tmp_path / "back")
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == CONTENT


def test_metadata_that_cannot_be_read_is_damage_too(archiver, artefacts):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    (entry.folder / "metadata.json").write_bytes(b"\xff{")
    [listed] = archiver.list()
    assert archiver.verify(listed) == [Problem("metadata.json", "unreadable")]
    assert [found.folder for found in archiver.find(ORIGINAL)] == [entry.folder]


def test_an_older_archive_is_listed_found_and_said_to_have_no_checksums(archiver):
    folder = archiver.archives_dir / "Old 2024-01-01_00-00-00" / ORIGINAL
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({"video_stem": "clip", "video_hash": ORIGINAL, "copied": {}}))
    [entry] = archiver.find("clip")
    assert archiver.verify(entry) == [Problem("metadata.json", "unrecorded")]


def test_restore_brings_back_what_was_archived_and_overwrites_nothing(archiver, artefacts, tmp_path):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    target = tmp_path / "back"
    target.mkdir()
    (target / "clip_audio.json").write_bytes(b"a person's")
    (target / "clip_scenes.csv").write_bytes(CONTENT["clip_scenes.csv"])
    restored = archiver.restore(entry, target)
    assert [path.name for path in restored] == ["clip_scenes.csv", "clip_audio (2).json", "clip_tracking.json"]
    assert (target / "clip_audio.json").read_bytes() == b"a person's"
    assert [path.read_bytes() for path in restored] == list(CONTENT.values())
    assert archiver.restore(entry, target) == restored
    assert len(list(target.iterdir())) == 4


def test_a_damaged_archive_is_not_restored(archiver, artefacts, tmp_path):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    _flip(entry.folder / "clip_audio.json")
    with pytest.raises(ArchiveDamaged, match=r"clip_audio\.json \(checksum\)"):
        archiver.restore(entry, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    "said",
    [
        {"name": "../../secret"},
        {"name": ".."},
        {"name": "a\0b"},
        {"name": 3},
        {"bytes": "2"},
        {"sha256": None},
        "clip.json",
    ],
)
def test_metadata_that_cannot_be_gone_by_is_damage(archiver, artefacts, tmp_path, said):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    (archiver.archives_dir / "secret").write_bytes(b"{}")
    metadata = json.loads((entry.folder / "metadata.json").read_text())
    metadata["artefacts"][1] = {**metadata["artefacts"][1], **said} if isinstance(said, dict) else said
    (entry.folder / "metadata.json").write_text(json.dumps(metadata))
    [entry] = archiver.list()
    assert archiver.verify(entry) == [Problem("metadata.json", "unreadable")]
    with pytest.raises(ArchiveDamaged):
        archiver.restore(entry, tmp_path / "back")


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo, Path.mkdir])
def test_only_a_regular_file_counts_as_archived(archiver, artefacts, make):
    entry, _ = archiver.archive(SUBJECT, artefacts, WHEN)
    (entry.folder / "clip_audio.json").unlink()
    make(entry.folder / "clip_audio.json")
    assert archiver.verify(entry) == [Problem("clip_audio.json", "missing")]
    assert archiver.same(SUBJECT, artefacts) is None


def test_a_source_that_is_not_what_is_recorded_is_refused_and_leaves_nothing(archiver, artefacts):
    known = [Artefact(made.kind, made.path, "f" * 64) for made in artefacts]
    with pytest.raises(CopyMismatch, match="recorded"):
        archiver.archive(SUBJECT, known, WHEN)
    assert list(archiver.archives_dir.iterdir()) == []


def test_what_surely_does_not_fit_is_refused_before_anything_is_written(archiver, artefacts, tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as stream:
        stream.truncate(1 << 43)  # 8 TiB with no block on the disk
    with pytest.raises(NotEnoughSpace, match="GB are needed"):
        archiver.archive(SUBJECT, [*artefacts, Artefact("huge", huge)], WHEN)
    assert list(archiver.archives_dir.iterdir()) == []


def test_a_copy_that_reads_back_differently_is_removed(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    monkeypatch.setattr(verified_copies, "_forget", lambda _descriptor: target.write_bytes(b"Xontent"))
    with pytest.raises(CopyMismatch, match="reads back differently"):
        copy_verified(source, target)
    assert not target.exists()
    assert source.read_bytes() == b"content"


def test_copies_come_in_order_each_checked_and_what_failed_leaves_nothing(tmp_path):
    sources = [tmp_path / f"source{number}" for number in range(4)]
    for source in sources:
        source.write_bytes(source.name.encode())
    sources[2].unlink()
    made = []
    with pytest.raises(FileNotFoundError):
        for copied in copies((source, source.with_suffix(".copy")) for source in sources):
            made.append(copied)
            copied.target.rename(copied.target.with_suffix(".placed"))
    assert [copied.sha256 for copied in made] == [hashlib.sha256(b"source0").hexdigest()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source0", "source0.placed", "source1", "source3"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_free_place_is_taken_and_no_other(tmp_path, monkeypatch, has_links):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EPERM, "no hard links here")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"ours")
    move_to_free_place(source, target)
    assert (source.exists(), target.read_bytes()) == (False, b"ours")
    source.write_bytes(b"new")
    with pytest.raises(FileExistsError):
        move_to_free_place(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"new", b"ours")


def test_a_copy_never_replaces_what_is_there(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    target.write_bytes(b"a person's")
    with pytest.raises(FileNotFoundError):
        copy_verified(source, target)
    source.write_bytes(b"content")
    with pytest.raises(FileExistsError):
        copy_verified(source, target)
    assert target.read_bytes() == b"a person's"


@pytest.mark.parametrize("name", ["é" * 127 + ".mp4", "🎬" * 62 + ".mp4", "a" * 255, "-x"])
def test_long_names_stay_within_what_a_file_system_takes(archiver, artefacts, tmp_path, name):
    (tmp_path / name[:100]).touch()
    names = numbered(tmp_path / name)
    assert next(names).name == name
    second = next(names)
    second.touch()
    assert " (2)" in second.name
    entry, _ = archiver.archive(Subject(name, "clip", ORIGINAL, "/clip.mp4"), artefacts, WHEN)
    assert entry.folder.parent.name.endswith(" 2026-03-01_23-05-09")


KILLED = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from services.results_archiver import Artefact, ResultsArchiver, Subject
when = datetime(2026, 3, 1, tzinfo=timezone.utc)
subject = Subject("P", "clip", "a" * 64, "/clip.mp4")
ResultsArchiver(Path(sys.argv[1])).archive(subject, [Artefact("raw", Path(sys.argv[2]))], when)
"""


def test_killed_while_copying_leaves_no_archive_and_the_next_one_cleans_up(archiver, tmp_path):
    big = tmp_path / "big"
    with big.open("wb") as stream:
        stream.truncate(1 << 30)
    command = [sys.executable, "-c", KILLED, str(archiver.archives_dir), str(big)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in archiver.archives_dir.glob(".incoming-*/big")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    [left] = archiver.archives_dir.iterdir()
    assert left.name.startswith(".incoming-")
    assert list(archiver.list()) == []
    with big.open("r+b") as stream:
        stream.truncate(1 << 20)
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=60)
    assert [path.name for path in archiver.archives_dir.iterdir()] == ["P 2026-03-01_00-00-00"]
    [entry] = archiver.list()
    assert archiver.verify(entry) == []


@pytest.mark.parametrize("sha256", ["../../../../escaped", "", "a" * 63, "A" * 64])
def test_an_archive_is_named_by_a_sha256_and_nothing_else(archiver, artefacts, tmp_path, sha256):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match="no sha256"):
        archiver.archive(Subject("P", "clip", sha256, "/clip.mp4"), artefacts, WHEN)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("module", "own"), [(results_archiver, {verified_copies.__name__}), (verified_copies, set())])
def test_the_modules_need_the_standard_library_only(module, own):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(name).partition(".")[0] for name in imported - own} <= sys.stdlib_module_names
