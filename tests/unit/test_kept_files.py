"""Files as somebody elsewhere may look at them: what is below three folders, nothing else, and only its beginning."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from config.settings import Settings, read_settings
from services.errors import ServiceError
from services.kept_files import MOST_ROWS, MOST_TEXT, Kept, kept, kept_now, open_kept, preview, size_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    names = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "DATA_DIR")
    made = read_settings({name: str(tmp_path / name.lower()) for name in names})
    for folder in (made.projects_dir / "p" / "docs", made.output_dir / "p" / "docs", made.archives_dir, made.data_dir):
        folder.mkdir(parents=True)
    (made.projects_dir / "p" / "docs" / "a.csv").write_text("No,In\n1,2\n")
    (made.data_dir / "derush.sqlite3").write_text("secret")
    return made


def test_a_file_below_one_of_the_folders_is_kept(settings: Settings) -> None:
    path = settings.projects_dir / "p" / "docs" / "a.csv"
    file = kept(str(path), settings)
    assert file == Kept("projects", "p/docs/a.csv") and size_of(file, settings) == 10
    with open_kept(*file, settings) as stream:
        assert stream.read() == path.read_bytes()


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "p/docs/a.csv", "", None, 7, "/", "{data}/derush.sqlite3", "{projects}", "{projects}/../x", "{projects}/caf\udce9.csv"],
)  # fmt: skip
def test_what_is_elsewhere_or_cannot_be_named_is_not(settings: Settings, path: object) -> None:
    if isinstance(path, str):
        path = path.replace("{data}", str(settings.data_dir)).replace("{projects}", str(settings.projects_dir))
    assert kept(path, settings) is None


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("projects", "../data_dir/derush.sqlite3"), ("projects", "p/../../data_dir/derush.sqlite3"), ("data", "derush.sqlite3"),
        ("projects", "/etc/passwd"), ("projects", "p"), ("projects", "p/docs"), ("projects", ""), ("projects", "p/docs/b.csv"),
        ("projects", "p/docs/a.csv\0"), ("projects", "linked.csv"), ("projects", "linked/derush.sqlite3"), ("projects", "pipe"),
        ("", "p/docs/a.csv"), ("projects", "\udcff"),
    ],
)  # fmt: skip
def test_nothing_else_can_be_opened(settings: Settings, place: str, path: str) -> None:
    (settings.projects_dir / "linked.csv").symlink_to(settings.data_dir / "derush.sqlite3")
    (settings.projects_dir / "linked").symlink_to(settings.data_dir)
    os.mkfifo(settings.projects_dir / "pipe")
    with pytest.raises(ServiceError) as refused:
        open_kept(place, path, settings)
    assert refused.value.code == "no_such_file" and refused.value.remedy


def test_a_file_that_was_moved_to_its_delivery_is_found_there(settings: Settings) -> None:
    path = settings.projects_dir / "p" / "docs" / "b.csv"
    assert kept_now(str(path), settings) is None
    (settings.output_dir / "p" / "docs" / "b.csv").write_text("x")
    assert kept_now(str(path), settings) == Kept("output", "p/docs/b.csv")
    path.write_text("x")
    assert kept_now(str(path), settings) == Kept("projects", "p/docs/b.csv")


def test_only_a_project_s_files_are_moved(settings: Settings) -> None:
    (settings.output_dir / "p" / "docs" / "b.csv").write_text("x")
    assert kept_now(str(settings.archives_dir / "p" / "docs" / "b.csv"), settings) is None
    assert kept_now("/etc/passwd", settings) is None


def shown(name: str, content: bytes) -> tuple[str, bool]:
    made = preview(Kept("projects", name), io.BytesIO(content))
    return made.text, made.is_whole


def test_a_table_is_shown_as_rows_and_only_its_beginning() -> None:
    text = "\ufeffNo,Timecode\n" + "".join(f'{n},"00:00, {n}"\n' for n in range(MOST_ROWS + 5))
    made = preview(Kept("projects", "a.CSV"), io.BytesIO(text.encode()))
    assert made.rows[0] == ("No", "Timecode") and made.rows[1] == ("0", "00:00, 0")
    assert len(made.rows) == MOST_ROWS + 1 and not made.is_whole
    few = preview(Kept("projects", "a.csv"), io.BytesIO(b"No\n1\n"))
    assert few.rows == (("No",), ("1",)) and few.is_whole
    empty = preview(Kept("projects", "a.csv"), io.BytesIO(b""))
    assert empty.rows == () and empty.is_whole


def test_json_is_shown_in_good_order() -> None:
    assert shown("a.json", '{"fps":25,"name":"été"}'.encode()) == ('{\n "fps": 25,\n "name": "été"\n}', True)
    text, is_whole = shown("a.json", json.dumps(list(range(100_000))).encode())
    assert text.startswith("[\n 0,\n 1,") and len(text) == MOST_TEXT and not is_whole
    assert shown("a.json", b"{not json") == ("{not json", True)
    assert shown("a.json", b"[" * 200_000)[1] is False
    assert "\\ud800" not in shown("a.json", b'"\\ud800"')[0]


def test_lines_are_cut_and_only_the_first_are_shown() -> None:
    text, is_whole = shown("a.jsonl", b"".join(b'{"frame":%d}\n' % n for n in range(MOST_ROWS * 3)))
    assert text.splitlines()[:2] == ['{"frame":0}', '{"frame":1}'] and len(text.splitlines()) == MOST_ROWS
    assert not is_whole
    text, is_whole = shown("a.jsonl", b"x" * 3_000_000 + b"\nlast\n")
    assert text.splitlines()[1] == "last" and len(text) < 3000 and is_whole


def test_text_that_is_none_does_no_harm() -> None:
    assert shown("a.txt", b"\xff\x00ok") == ("\ufffd\x00ok", True)
    assert shown("a.txt", b"x" * (MOST_TEXT + 1)) == ("x" * MOST_TEXT, False)


@pytest.mark.parametrize(
    ("name", "kind", "played_as"),
    [("a.mp4", "video", "video/mp4"), ("a.PNG", "image", "image/png"), ("a.svg", "none", None), ("a.html", "none", None),
     ("a", "none", None), ("a.mp4.html", "none", None), ("a.xml", "text", None)],
)  # fmt: skip
def test_only_what_cannot_run_is_given_to_the_browser_as_what_it_is(
    name: str, kind: str, played_as: str | None
) -> None:
    file = Kept("projects", f"p/{name}")
    assert (file.kind, file.played_as) == (kind, played_as)
