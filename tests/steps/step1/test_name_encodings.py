"""Names whose character set an archive does not say are read as they were written, and the guess is recorded."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.steps.step1.conftest import archive_record, endings, tree
from workflow_scripts.step1.name_encodings import decoder_for

FRENCH = ["Répétition générale.mp4", "été à la plage.mov", "Noël.mp4", "ÉTÉ.mov", "À bientôt.mp4", "naïf.mov"]
GERMAN = ["Straße Übung.mp4", "Größe.mov", "Fußgänger Ö.mp4"]
JAPANESE = [
    "撮影データ.mp4",
    "東京の夜.mov",
    "クリップ01.mp4",
    "カメラＡ_001.mp4",
    "新しいフォルダー/表.mp4",
    "撮影.mp4",
]
CHINESE = ["素材一.mp4", "第二天拍摄.mov", "采访.mp4", "婚礼视频/第一段.mp4", "新建文件夹/视频1.mov", "北京.mp4"]


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp850", FRENCH),
        ("cp1252", FRENCH),
        ("cp850", GERMAN),
        ("cp1252", GERMAN),
        ("cp932", JAPANESE),
        ("gbk", CHINESE),
    ],
)
def test_names_are_read_as_they_were_written(encoding, names):
    """All of an archive's names together, and each of them where it is the only one."""
    decoder = decoder_for([name.encode(encoding) for name in names])
    assert [decoder(name.encode(encoding)) for name in names] == names
    assert decoder.legacy == encoding
    for name in names:
        assert decoder_for([name.encode(encoding)])(name.encode(encoding)) == name


@pytest.mark.parametrize("names", [["a.mp4"], ["été.mp4", "撮影.mov"], []])
def test_plain_and_utf8_names_are_no_guess(names):
    decoder = decoder_for([name.encode() for name in names])
    assert decoder.legacy is None
    assert [decoder(name.encode()) for name in names] == names


def test_what_nobody_would_write_is_read_as_the_specification_says():
    raw = b"x\xdb.mp4"
    assert decoder_for([raw])(raw) == raw.decode("cp437")


def test_a_person_may_say_it():
    raw = "Ответ.mp4".encode("cp1252", "replace") + b"\x82"
    assert decoder_for([raw], "cp850")(raw) == raw.decode("cp850")


def test_bytes_that_do_not_decode_are_marked():
    assert decoder_for([b"a\xff.mp4"], "utf-8")(b"a\xff.mp4") == "a\ufffd.mp4"


def test_the_names_of_a_tar_are_judged_together(source, work, step1):
    """`T\u0082t` alone could be anything; beside the others it is French."""
    names = ["Forêt.mp4", "Répétition générale.mp4", "plain.mp4"]
    with tarfile.open(source / "x.tar", "w", format=tarfile.GNU_FORMAT, encoding="cp850") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))

    code, events = step1()

    assert code == 0
    assert set(tree(work / "x")) == set(names)
    assert archive_record(work / "x")["name_encodings"] == ["cp850"]
    assert [event["code"] for event in events if event["event"] == "warning"] == ["names_guessed"]


def test_the_names_of_a_zip_from_windows_are_read_as_they_were_written(source, work, step1):
    _zip_with_bare_names(source / "x.zip", [name.encode("cp850") for name in FRENCH])
    step1()
    assert set(tree(work / "x")) == set(FRENCH)
    assert archive_record(work / "x")["name_encodings"] == ["cp850"]


def test_the_setting_wins(source, work, step1):
    _zip_with_bare_names(source / "x.zip", ["été.mp4".encode("cp1252")])
    step1(STEP1_NAME_ENCODING="cp437")
    assert set(tree(work / "x")) == {"Θt Θ.mp4".replace(" ", "")}


def _zip_with_bare_names(path: Path, names: list[bytes]) -> None:
    """Write names as programs do that know no UTF-8."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr("x" * (len(name) - 4) + f"{number:04}", b"x")
    content = path.read_bytes()
    for number, name in enumerate(names):
        content = content.replace(b"x" * (len(name) - 4) + b"%04d" % number, name)
    path.write_bytes(content)


def test_clips_of_a_folder_with_odd_names_are_all_taken_in(source, work, step1):
    """Among a person's own files no name refuses anything: it is repaired, with a record."""
    card = source / "card"
    card.mkdir()
    names = [
        b"caf\xe9 cr\xe8me.mov", b"CON.mov", b"a\nb.mov", "été.mov".encode(), "e\u0301te\u0301.mov".encode(), b"Plain.mov", b"plain.mov",
    ]  # fmt: skip
    for number, name in enumerate(names):
        Path(os.fsdecode(os.fsencode(card) + b"/" + name)).write_bytes(b"%d" % number)

    code, events = step1()

    assert (code, endings(events)) == (0, {"card": ("done", None)})
    taken = tree(work / "card")
    assert sorted(taken.values()) == [b"%d" % number for number in range(len(names))]
    assert taken["café crème.mov"] == b"0"
    assert {entry["reason"] for entry in archive_record(work / "card")["changed"]} >= {
        "reserved_windows_name", "control_character", "duplicate_member",
    }  # fmt: skip
    assert not archive_record(work / "card")["skipped"]
