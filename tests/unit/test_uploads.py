from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from config.settings import Settings, read_settings
from services import uploads as uploads_module
from services.errors import ServiceError
from services.upload_names import LONGEST_FOLDER, LONGEST_NAME, batch_name, file_name, folder_path
from services.upload_places import Announced, Checksum, Place
from services.uploads import INCOMING, Uploads

DAY = 86_400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"UPLOADS_DIR": str(tmp_path / "uploads"), "UPLOAD_KEEP_DAYS": "7", "DISK_RESERVE_GB": "0"})


@pytest.fixture
def uploads(settings: Settings) -> Uploads:
    return Uploads(settings)


def announced(length: int, name: str = "clip.mp4", folders: tuple[str, ...] = (), batch: str = "b1") -> Announced:
    return Announced(length, name, folders, batch, "")


def code(caught: pytest.ExceptionInfo[ServiceError]) -> str:
    return caught.value.code


def make_old(settings: Settings, upload_id: str, days: float) -> None:
    """Let an upload look as if nothing had happened to it for days."""
    folder = settings.uploads_dir / INCOMING / upload_id
    for path in (*folder.iterdir(), folder):
        when = path.stat().st_mtime - days * DAY
        os.utime(path, (when, when))


def test_a_file_comes_in_pieces_and_then_stands_in_its_place(uploads: Uploads, settings: Settings) -> None:
    upload = uploads.create(announced(10))
    upload = uploads.append(upload.id, 0, [b"01", b"234"], 5)
    assert (upload.offset, upload.path) == (5, None)
    assert Uploads(settings).look(upload.id).offset == 5
    assert not (settings.uploads_dir / "b1").exists()

    upload = uploads.append(upload.id, 5, [b"56789"], 5)
    assert upload.path == settings.uploads_dir / "b1" / "clip.mp4" == upload.input_path
    assert upload.path.read_bytes() == b"0123456789"
    assert Uploads(settings).look(upload.id) == upload


def test_nothing_is_overwritten_and_every_file_gets_a_name(uploads: Uploads, settings: Settings) -> None:
    for content in (b"a", b"b", b"c"):
        uploads.append(uploads.create(announced(1)).id, 0, [content], 1)
    kept = {path.name: path.read_bytes() for path in (settings.uploads_dir / "b1").iterdir()}
    assert kept == {"clip.mp4": b"a", "clip (2).mp4": b"b", "clip (3).mp4": b"c"}


def test_many_finish_at_once_under_one_name_and_none_is_lost(uploads: Uploads, settings: Settings) -> None:
    ids = [uploads.create(announced(2)).id for _ in range(12)]
    ready = threading.Barrier(len(ids))

    def send(number: int) -> None:
        ready.wait(10)
        uploads.append(ids[number], 0, [b"%02d" % number], 2)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(ids))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    kept = sorted(path.read_bytes() for path in (settings.uploads_dir / "b1").iterdir())
    assert kept == [b"%02d" % number for number in range(12)]


def test_a_dropped_folder_is_one_input(uploads: Uploads, settings: Settings) -> None:
    upload = uploads.create(announced(1, folders=("RUSHES", "day 1")))
    upload = uploads.append(upload.id, 0, [b"x"], 1)
    assert upload.path == settings.uploads_dir / "b1" / "RUSHES" / "day 1" / "clip.mp4"
    assert upload.input_path == settings.uploads_dir / "b1" / "RUSHES"


def test_a_file_without_a_byte_is_whole_at_once(uploads: Uploads) -> None:
    upload = uploads.create(announced(0))
    assert upload.path is not None and upload.path.read_bytes() == b""
    assert uploads.append(upload.id, 0, [], 0) == upload


@pytest.mark.parametrize("offset", [0, 2, 4, 10])
def test_another_offset_than_the_one_it_is_at_changes_nothing(uploads: Uploads, offset: int) -> None:
    upload = uploads.create(announced(10))
    uploads.append(upload.id, 0, [b"012"], 3)
    with pytest.raises(ServiceError) as caught:
        uploads.append(upload.id, offset, [b"x"], 1)
    assert code(caught) == "wrong_offset" and "3 bytes" in caught.value.message
    assert uploads.look(upload.id).offset == 3


def test_what_came_before_the_client_was_gone_is_kept(uploads: Uploads) -> None:
    upload = uploads.create(announced(10))
    assert uploads.append(upload.id, 0, [b"0123"], 10).offset == 4
    assert uploads.look(upload.id).offset == 4


@pytest.mark.parametrize("size", [11, None])
def test_more_than_was_announced_is_refused(uploads: Uploads, settings: Settings, size: int | None) -> None:
    upload = uploads.create(announced(10))
    with pytest.raises(ServiceError) as caught:
        uploads.append(upload.id, 0, [b"0123456789", b"x"], size)
    assert code(caught) == "upload_too_large"
    assert uploads.look(upload.id).offset == 0
    assert not (settings.uploads_dir / "b1").exists()


def test_larger_than_the_setting_allows_is_refused_at_once(tmp_path: Path) -> None:
    uploads = Uploads(read_settings({"UPLOADS_DIR": str(tmp_path), "UPLOAD_MAX_GB": "0.001"}))
    assert uploads.create(announced(1_000_000)).offset == 0
    with pytest.raises(ServiceError) as caught:
        uploads.create(announced(1_000_001))
    assert code(caught) == "upload_too_large" and "UPLOAD_MAX_GB" in caught.value.remedy


def test_a_second_writer_is_turned_away_and_the_first_goes_on(uploads: Uploads) -> None:
    upload = uploads.create(announced(4))
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"01"
        begun.set()
        assert go_on.wait(10)
        yield b"23"

    first = threading.Thread(target=uploads.append, args=(upload.id, 0, slowly(), 4))
    first.start()
    assert begun.wait(10)
    for attempt in (lambda: uploads.append(upload.id, 2, [b"xx"], 2), lambda: uploads.remove(upload.id)):
        with pytest.raises(ServiceError) as caught:
            attempt()
        assert code(caught) == "upload_busy"
    assert uploads.look(upload.id).offset == 2
    go_on.set()
    first.join(10)
    done = uploads.look(upload.id).path
    assert done is not None and done.read_bytes() == b"0123"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_piece_counts_only_when_its_checksum_is_right(uploads: Uploads, algorithm: str) -> None:
    upload = uploads.create(announced(6))
    right = Checksum(algorithm, hashlib.new(algorithm, b"012").digest())
    assert uploads.append(upload.id, 0, [b"0", b"12"], 3, right).offset == 3
    with pytest.raises(ServiceError) as caught:
        uploads.append(upload.id, 3, [b"345"], 3, right)
    assert code(caught) == "wrong_checksum"
    assert uploads.look(upload.id).offset == 3
    done = uploads.append(upload.id, 3, [b"345"], 3).path
    assert done is not None and done.read_bytes() == b"012345"


def test_a_cut_off_piece_with_a_checksum_does_not_count(uploads: Uploads, settings: Settings) -> None:
    upload = uploads.create(announced(6))
    uploads.append(upload.id, 0, [b"01"], 2)
    folder = settings.uploads_dir / INCOMING / upload.id
    (folder / "unverified").write_text("2")  # as a kill in the middle of the piece leaves it
    with (folder / "data").open("ab") as data:
        data.write(b"xx")
    assert uploads.look(upload.id).offset == 2
    done = uploads.append(upload.id, 2, [b"2345"], 4).path
    assert done is not None and done.read_bytes() == b"012345"


def test_a_kill_between_the_last_byte_and_its_place_is_made_good(uploads: Uploads, settings: Settings) -> None:
    upload = uploads.create(announced(3))
    (settings.uploads_dir / INCOMING / upload.id / "data").write_bytes(b"abc")
    found = Uploads(settings).look(upload.id)
    assert found.path is not None and found.path.read_bytes() == b"abc"


def test_a_kill_between_the_record_and_the_renaming_is_made_good(
    uploads: Uploads, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploads.create(announced(3))

    def killed(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", killed)
        uploads.append(upload.id, 0, [b"abc"], 3)
    (settings.uploads_dir / "b1" / "clip.mp4").write_bytes(b"another's, come in between")
    found = Uploads(settings).look(upload.id)
    assert found.path == settings.uploads_dir / "b1" / "clip (2).mp4"
    assert found.path.read_bytes() == b"abc"
    assert (settings.uploads_dir / "b1" / "clip.mp4").read_bytes() == b"another's, come in between"


def test_what_is_taken_back_is_gone_whole_or_not(uploads: Uploads, settings: Settings) -> None:
    begun = uploads.create(announced(3))
    done = uploads.append(uploads.create(announced(1, folders=("a", "b"))).id, 0, [b"x"], 1)
    other = uploads.append(uploads.create(announced(1, folders=("a",))).id, 0, [b"y"], 1)
    for upload in (begun, done):
        uploads.remove(upload.id)
        with pytest.raises(ServiceError) as caught:
            uploads.look(upload.id)
        assert code(caught) == "no_such_upload"
    assert sorted(path.name for path in settings.uploads_dir.rglob("*") if path.parent.name != INCOMING) == sorted(
        [
            INCOMING,
            "b1",
            "a",
            "clip.mp4",
            *(path.name for path in (settings.uploads_dir / INCOMING / other.id).iterdir()),
        ]
    )
    uploads.remove(other.id)
    assert [path.name for path in settings.uploads_dir.rglob("*")] == [INCOMING, "lock"]


def test_a_finished_file_that_was_taken_away_is_no_upload_any_more(uploads: Uploads) -> None:
    done = uploads.append(uploads.create(announced(1)).id, 0, [b"x"], 1)
    assert done.path is not None
    done.path.unlink()
    with pytest.raises(ServiceError) as caught:
        uploads.look(done.id)
    assert code(caught) == "no_such_upload"


@pytest.mark.parametrize("upload_id", ["", ".", "..", "0" * 31, "0" * 33, "G" * 32, "0" * 31 + "\n", "../" + "0" * 29])
def test_an_id_that_is_none_leads_nowhere(uploads: Uploads, upload_id: str) -> None:
    with pytest.raises(ServiceError) as caught:
        uploads.look(upload_id)
    assert code(caught) == "no_such_upload"


def test_an_upload_expires_when_nobody_goes_on_with_it(uploads: Uploads, settings: Settings) -> None:
    old, fresh = uploads.create(announced(3)), uploads.create(announced(3))
    done = uploads.append(uploads.create(announced(1)).id, 0, [b"x"], 1)
    assert old.expires is not None and done.expires is None
    for upload in (old, done):
        make_old(settings, upload.id, 7.01)
    make_old(settings, fresh.id, 6.99)
    for attempt in (lambda: uploads.look(old.id), lambda: uploads.append(old.id, 0, [b"abc"], 3)):
        with pytest.raises(ServiceError) as caught:
            attempt()
        assert code(caught) == "upload_expired"
    uploads.sweep()
    kept = {path.name for path in (settings.uploads_dir / INCOMING).iterdir() if path.is_dir()}
    assert kept == {fresh.id}
    assert done.path is not None and done.path.exists()


def test_one_that_is_being_written_to_is_not_swept_away(uploads: Uploads, settings: Settings) -> None:
    upload = uploads.create(announced(3))
    with Place(settings.uploads_dir / INCOMING / upload.id).alone():
        make_old(settings, upload.id, 100)
        uploads.sweep()
    assert (settings.uploads_dir / INCOMING / upload.id / "data").exists()


def test_what_was_begun_to_be_made_or_removed_is_swept_away(uploads: Uploads, settings: Settings) -> None:
    uploads.create(announced(1))
    half_made, half_removed = "a" * 32, "." + "b" * 32
    for name, inside in ((half_made, "lock"), (half_removed, "data")):
        (settings.uploads_dir / INCOMING / name).mkdir()
        (settings.uploads_dir / INCOMING / name / inside).touch()
        make_old(settings, name, 8)
    uploads.sweep()
    left = {path.name for path in (settings.uploads_dir / INCOMING).iterdir()}
    assert not left & {half_made, half_removed}


def test_what_would_leave_too_little_room_is_refused(
    uploads: Uploads, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = Uploads(read_settings({"UPLOADS_DIR": str(settings.uploads_dir), "DISK_RESERVE_GB": "2"}))
    monkeypatch.setattr(uploads_module, "free_gigabytes", lambda _path: 10.0)
    first = keeping.create(announced(5_000_000_000))
    with pytest.raises(ServiceError) as caught:
        keeping.create(announced(4_000_000_000))
    assert code(caught) == "disk_full"
    assert "1.0 GB are missing" in caught.value.message and "DISK_RESERVE_GB" in caught.value.remedy
    make_old(settings, first.id, 1)  # begun, and not gone on with: it no longer counts
    second = keeping.create(announced(4_000_000_000))
    monkeypatch.setattr(uploads_module, "free_gigabytes", lambda _path: 2.5)
    assert keeping.append(second.id, 0, [b"x"], 1).offset == 1
    with pytest.raises(ServiceError) as caught:
        keeping.append(second.id, 1, [b"x"], 1_000_000_000)
    assert code(caught) == "disk_full"


def test_a_disk_that_gets_full_keeps_what_found_room(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = uploads.create(announced(10))

    def blocks() -> Iterator[bytes]:
        yield b"0123"
        monkeypatch.setattr("services.upload_places._write_all", full)
        yield b"4567"

    def full(_data: FileIO, _block: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ServiceError) as caught:
        uploads.append(upload.id, 0, blocks(), 10)
    assert code(caught) == "disk_full"
    monkeypatch.undo()
    assert uploads.look(upload.id).offset == 4
    done = uploads.append(upload.id, 4, [b"456789"], 6).path
    assert done is not None and done.read_bytes() == b"0123456789"


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    uploads = Uploads(read_settings({"UPLOADS_DIR": str(tmp_path / "file" / "uploads"), "DISK_RESERVE_GB": "0"}))
    with pytest.raises(ServiceError) as caught:
        uploads.create(announced(1))
    assert code(caught) == "uploads_not_writable" and "UPLOADS_DIR" in caught.value.remedy


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("clip.mp4", "clip.mp4"),
        ("Été à la plage (2).mov", "Été à la plage (2).mov"),
        ("/etc/passwd", "passwd"),
        ("../../../etc/cron.d/x", "x"),
        ("C:\\Users\\me\\clip.mp4", "clip.mp4"),
        ("..", "upload"),
        (".", "upload"),
        ("", "upload"),
        ("   ", "upload"),
        ("a/", "upload"),
        (".bashrc", "bashrc"),
        ("...mp4", "mp4"),
        ("a\0b.mp4", "a_b.mp4"),
        ("a\nb\r\tc\x7f.mp4", "a_b__c_.mp4"),
        ("gpj.\u202e4pm.exe", "gpj._4pm.exe"),
        ("<script>alert(1)</script>.mp4", "script>.mp4"),
        ("می\u200cخواهم.mp4", "می\u200cخواهم.mp4"),
        ("e\u0301te\u0301.mp4", "été.mp4"),
        ("clip.mp4. ", "clip.mp4"),
        ("NUL", "_NUL"),
        ("con.mp4", "_con.mp4"),
        ("console.mp4", "console.mp4"),
        ("--help", "--help"),
    ],
)
def test_names_are_made_harmless(told: str, name: str) -> None:
    assert file_name(told) == name


@pytest.mark.parametrize("told", ["x" * 500 + ".mp4", "é" * 300 + ".mxf", "🎬" * 100, "a." + "b" * 400])
def test_long_names_are_cut_and_keep_their_suffix(told: str) -> None:
    name = file_name(told)
    assert len(name.encode()) <= LONGEST_NAME
    assert len(name.encode()) > LONGEST_NAME - 4
    assert not told.endswith((".mp4", ".mxf")) or name.endswith(told[-4:])


def test_folders_are_made_harmless_one_by_one() -> None:
    assert folder_path("") == ()
    assert folder_path("RUSHES/.hidden/a\nb/NUL") == ("RUSHES", "hidden", "a_b", "_NUL")
    assert [len(part.encode()) for part in folder_path("é" * 200)] == [LONGEST_FOLDER]


@pytest.mark.parametrize("told", ["/", "/etc", "a//b", "a/", "..", "a/../b", "a/./b", "a/ .. /b", "/".join("a" * 17)])
def test_folders_that_are_no_plain_path_are_refused(told: str) -> None:
    with pytest.raises(ServiceError) as caught:
        folder_path(told)
    assert code(caught) == "wrong_metadata"


@pytest.mark.parametrize("told", ["", ".", "..", ".incoming", "-a", "a/b", "a b", "a" * 41, "é", "a\n"])
def test_a_batch_is_a_plain_word(told: str) -> None:
    assert batch_name("2026-11-21_14-03-22_ab12") == "2026-11-21_14-03-22_ab12"
    with pytest.raises(ServiceError) as caught:
        batch_name(told)
    assert code(caught) == "wrong_metadata"
