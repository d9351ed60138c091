from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from config.settings import REPOSITORY, Settings, read_settings
from services import filesystem_service
from services.errors import ServiceError
from services.filesystem_service import allowed, is_local, listing, open_folder, roots
from workflow_scripts.step1.volumes import lead_of
from workflow_scripts.stepkit.projects import VIDEO_SUFFIXES


@pytest.fixture
def settings(tmp_path: Path, rushes: Path) -> Settings:
    return read_settings({"BROWSE_ROOTS": str(rushes), "UPLOADS_DIR": str(tmp_path / "uploads")})


def shown(path: Path, settings: Settings) -> list[str]:
    return [entry.name for entry in listing(str(path), settings).entries]


def test_the_roots_are_the_named_folders_and_the_uploads(tmp_path: Path, rushes: Path, settings: Settings) -> None:
    assert roots(settings) == [rushes, tmp_path / "uploads"]
    assert [entry.path for entry in listing(None, settings).entries] == [rushes]  # nothing was uploaded yet
    (tmp_path / "uploads").mkdir()
    rushes.rmdir()
    assert [(entry.path, entry.problem) for entry in listing(None, settings).entries] == [
        (rushes, "missing"),
        (tmp_path / "uploads", ""),
    ]


def test_by_default_the_samples_the_home_folder_and_the_uploads_are_roots() -> None:
    assert roots(read_settings({})) == [REPOSITORY / "samples", Path.home().resolve(), REPOSITORY / "uploads"]


def test_a_root_of_a_user_that_there_is_not_is_left_out(tmp_path: Path) -> None:
    settings = read_settings({"BROWSE_ROOTS": "~no-such-user-here", "UPLOADS_DIR": str(tmp_path)})
    assert roots(settings) == [tmp_path]


def test_folders_come_first_and_numbers_by_their_value(rushes: Path, settings: Settings) -> None:
    for name in ("clip 10.mp4", "clip 2.mp4", "Clip 1.mp4", "a.txt", ".hidden", "é.mov"):
        (rushes / name).touch()
    for name in ("zoo", "day 10", "day 9", ".git"):
        (rushes / name).mkdir()
    assert shown(rushes, settings) == [
        "day 9",
        "day 10",
        "zoo",
        "a.txt",
        "Clip 1.mp4",
        "clip 2.mp4",
        "clip 10.mp4",
        "é.mov",
    ]


def test_every_kind_and_size_is_told(rushes: Path, settings: Settings) -> None:
    for number, name in enumerate(["a.zip", "b.TAR.GZ", "c.MXF", "d.gz", "e", "f.7z", "g.tar"]):
        (rushes / name).write_bytes(b"x" * number)
    (rushes / "folder").mkdir()
    found = {entry.name: (entry.kind, entry.size) for entry in listing(str(rushes), settings).entries}
    assert found == {
        "folder": ("folder", None),
        "a.zip": ("archive", 0),
        "b.TAR.GZ": ("archive", 1),
        "c.MXF": ("video", 2),
        "d.gz": ("other", 3),
        "e": ("other", 4),
        "f.7z": ("archive", 5),
        "g.tar": ("archive", 6),
    }


def test_of_an_archive_in_parts_one_can_be_taken_and_the_others_name_the_archive(
    rushes: Path, settings: Settings
) -> None:
    parts = {
        "a.7z.001": "", "a.7z.002": "a.7z", "b.ZIP.001": "", "b.ZIP.0002": "b.ZIP", "c.tar.gz.001": "",
        "c.tar.gz.002": "c.tar.gz", "d.zip": "", "d.z01": "d.zip", "e.part1.rar": "", "e.part2.rar": "e.rar",
        "f.part01.rar": "", "f.part10.rar": "f.rar", "g.rar": "", "g.r00": "g.rar",
    }  # fmt: skip
    others = ["clip.mp4.001", "clip.mp4.002", "take.002", "report.2024"]
    for name in [*parts, *others]:
        (rushes / name).touch()
    found = {entry.name: entry for entry in listing(str(rushes), settings).entries}
    assert {name: found[name].part_of for name in found} == parts | dict.fromkeys(others, "")
    assert {name for name, entry in found.items() if entry.kind == "archive"} == {
        name for name, whole in parts.items() if not whole
    }
    assert {name for name, entry in found.items() if entry.part_of} == {
        name for name in found if lead_of(rushes / name)
    }


def test_videos_are_what_the_steps_take_for_videos() -> None:
    assert filesystem_service.VIDEO_SUFFIXES == VIDEO_SUFFIXES


def test_the_way_leads_from_the_root_down(rushes: Path, settings: Settings) -> None:
    deep = rushes / "day 1" / "cam A"
    deep.mkdir(parents=True)
    assert listing(str(deep), settings).way == ((str(rushes), rushes), ("day 1", rushes / "day 1"), ("cam A", deep))


def test_links_lead_on_below_the_roots_only(tmp_path: Path, rushes: Path, settings: Settings) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mp4").touch()
    (rushes / "day 1").mkdir()
    (rushes / ".hidden").mkdir()
    for name, target in {
        "inside": rushes / "day 1",
        "out": tmp_path / "outside",
        "file out": tmp_path / "outside" / "secret.mp4",
        "to hidden": rushes / ".hidden",
        "up": "..",
        "gone": rushes / "nothing",
        "circle": "circle",
    }.items():
        (rushes / name).symlink_to(target)
    assert shown(rushes, settings) == ["day 1", "inside"]
    assert listing(str(rushes / "inside"), settings).path == rushes / "day 1"
    for name in ("out", "up", "to hidden", "file out"):
        with pytest.raises(ServiceError) as caught:
            allowed(str(rushes / name), settings)
        assert caught.value.code == "path_not_allowed"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("/", "path_not_allowed"),
        ("/etc/passwd", "path_not_allowed"),
        ("/no/such/thing", "path_not_allowed"),
        ("{root}/../outside", "path_not_allowed"),
        ("{root}/day/../../outside", "path_not_allowed"),
        ("{root}-and-more", "path_not_allowed"),
        ("{root}/.hidden", "path_not_allowed"),
        ("{root}/.hidden/clip.mp4", "path_not_allowed"),
        ("rushes", "path_not_allowed"),
        ("", "path_not_allowed"),
        ("{root}/nothing", "no_such_path"),
        ("{root}/circle", "no_such_path"),
        ("{root}/a\0b", "no_such_path"),
        ("~no-such-user-here/x", "no_such_path"),
        ("{root}/" + "x" * 5000, "no_such_path"),
    ],
)
def test_nothing_else_is_reached(tmp_path: Path, rushes: Path, settings: Settings, text: str, code: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "rushes-and-more").mkdir()
    (rushes / ".hidden").mkdir()
    (rushes / ".hidden" / "clip.mp4").touch()
    (rushes / "circle").symlink_to("circle")
    for ask in (allowed, listing):
        with pytest.raises(ServiceError) as caught:
            ask(text.format(root=rushes), settings)
        assert caught.value.code == code
        assert caught.value.remedy


def test_a_long_folder_is_cut_and_says_how_much_there_is(
    rushes: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem_service, "MOST_ENTRIES", 5)
    for number in range(12):
        (rushes / f"{number}.mp4").touch()
    found = listing(str(rushes), settings)
    assert [entry.name for entry in found.entries] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.mp4"]
    assert found.total == 12


def test_what_is_neither_file_nor_folder_is_left_out(rushes: Path, settings: Settings) -> None:
    os.mkfifo(rushes / "pipe.mp4")
    assert shown(rushes, settings) == []


def test_a_name_that_is_no_utf8_is_shown_and_cannot_be_taken(rushes: Path, settings: Settings) -> None:
    (rushes / os.fsdecode(b"caf\xe9.mp4")).touch()
    assert [(entry.name, entry.problem) for entry in listing(str(rushes), settings).entries] == [
        ("caf?.mp4", "not_utf8")
    ]


def test_a_file_is_no_folder_to_look_into(rushes: Path, settings: Settings) -> None:
    (rushes / "clip.mp4").touch()
    assert allowed(str(rushes / "clip.mp4"), settings) == rushes / "clip.mp4"
    with pytest.raises(ServiceError) as caught:
        listing(str(rushes / "clip.mp4"), settings)
    assert caught.value.code == "folder_unreadable"


def test_a_folder_without_the_right_to_read_it_says_so(
    rushes: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = rushes / "locked"
    locked.mkdir(mode=0)
    if os.geteuid() == 0:  # root may read everything: the kernel's refusal is played
        can, look = os.access, os.scandir
        monkeypatch.setattr(os, "access", lambda path, mode: can(path, mode) and (path != locked or mode == os.F_OK))
        monkeypatch.setattr(os, "scandir", lambda path: look(path if path != locked else refuse(path)))
    try:
        assert [entry.problem for entry in listing(str(rushes), settings).entries] == ["unreadable"]
        with pytest.raises(ServiceError) as caught:
            listing(str(locked), settings)
        assert caught.value.code == "folder_unreadable" and "Permission denied" in caught.value.message
    finally:
        locked.chmod(stat.S_IRWXU)


def refuse(path: Path) -> Path:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize(
    ("remote", "host", "local"),
    [
        ("127.0.0.1", "127.0.0.1:8770", True),
        ("127.0.0.1", "localhost", True),
        ("::1", "[::1]:8770", True),
        ("::ffff:127.0.0.1", "localhost:8770", True),
        ("127.0.0.1", "derush.studio.lan", False),
        ("192.168.1.7", "localhost:8770", False),
        ("192.168.1.7", "192.168.1.7:8770", False),
        (None, "localhost", False),
        ("127.0.0.1", "", False),
        ("localhost", "localhost", False),
    ],
)
def test_who_sits_at_this_machine(remote: str | None, host: str, local: bool) -> None:
    assert is_local(remote, host) is local


def test_a_folder_is_opened_as_it_is_named(tmp_path: Path, opener: Path) -> None:
    folder = tmp_path / "logs; rm -rf $HOME"
    folder.mkdir()
    open_folder(folder)
    assert opener.read_text() == str(folder)


def test_an_opener_that_fails_is_not_taken_for_one_that_opened(
    tmp_path: Path, opener: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENER_EXIT", "4")
    with pytest.raises(ServiceError) as caught:
        open_folder(tmp_path)
    assert caught.value.code == "cannot_open_folder" and str(tmp_path) in caught.value.remedy


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has its screen always")
def test_without_a_screen_the_path_is_offered_to_copy(
    tmp_path: Path, opener: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ServiceError) as caught:
        open_folder(tmp_path)
    assert str(tmp_path) in caught.value.remedy
    assert not opener.exists()


def test_a_folder_that_is_not_there_is_not_opened(tmp_path: Path, opener: Path) -> None:
    with pytest.raises(ServiceError):
        open_folder(tmp_path / "nothing")
    assert not opener.exists()
