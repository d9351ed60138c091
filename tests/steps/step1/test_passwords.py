"""Passwords: where they come from, which is tried on what, 7z's, and that none of them is ever seen."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios

import py7zr
import pytest

from tests.conftest import wait_until
from tests.steps.step1.conftest import SCRIPT, endings, tree
from tests.steps.step1.zips import Raw, write_zip
from workflow_scripts.step1.passwords import Passwords, parsed

CLIP = os.urandom(60_000)
SECRET = "S3cret été"


def seven(path, contents, password=SECRET, **how):
    with py7zr.SevenZipFile(path, "w", password=password, **how) as archive:
        for name, content in contents.items():
            archive.writestr(content, name)
    return path


def error_of(events):
    return next(event["error"] for event in events if event["event"] == "item_done")


@pytest.mark.parametrize(
    ("text", "archive", "passwords"),
    [
        ("", "x.zip", ()),
        ("one\ntwo\none\n", "x.zip", ("one", "two")),
        ("\ufeffone\r\n\r\n two \r\n", "x.zip", ("one", " two ")),
        ("all\nx.zip\tits own\ny.zip\tanother's", "x.zip", ("its own", "all")),
        ("12_*.zip\tits own", "12_Camille x.ZIP", ("its own",)),
        ("12_*.zip\tits own", "13_Camille.zip", ()),
        ("e\u0301te\u0301.zip\tits own", "Été.zip", ("its own",)),
        ("a[1].zip\tits own", "a[1].zip", ("its own",)),
        ("x.7z\tits own", "x.7z.001", ("its own",)),
        ("x.part1.rar\tits own", "x.part1.rar", ("its own",)),
        ("# no comment", "x.zip", ("# no comment",)),
        ("a\x0bb\u2028c", "x.zip", ("a\x0bb\u2028c",)),
    ],
)
def test_which_passwords_are_tried(text, archive, passwords):
    assert Passwords(parsed(text)).of(archive) == passwords


def test_they_are_not_in_what_a_log_would_show():
    assert SECRET not in repr(Passwords(parsed(SECRET)))


def test_a_file_that_cannot_be_read_stops_the_step(source, step1, tmp_path):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP)])
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert step1(STEP1_PASSWORDS_FILE=str(tmp_path / "nowhere"))[0] == 3
    assert step1("--check", STEP1_PASSWORDS_FILE=str(tmp_path / "binary"))[0] == 3


def test_from_a_file_and_from_the_environment(source, work, step1, tmp_path):
    seven(source / "first.7z", {"a.mp4": CLIP}, "for the first")
    seven(source / "second.7z", {"a.mp4": CLIP}, "for the second")
    seven(source / "third.7z", {"a.mp4": CLIP}, "for all")
    listed = tmp_path / "passwords.txt"
    listed.write_text("first.7z\tfor the first\nfor all\n")

    code, events = step1(STEP1_PASSWORDS_FILE=str(listed), STEP1_PASSWORDS="second.7z\tfor the second")

    assert code == 0, endings(events)
    assert {path.name for path in work.iterdir()} >= {"first", "second", "third"}


@pytest.mark.parametrize("list_too", [False, True], ids=["content", "list too"])
@pytest.mark.parametrize("filters", [None, [{"id": py7zr.FILTER_COPY}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}]], ids=["packed", "stored"])  # fmt: skip
def test_7z_comes_out(list_too, filters, source, work, step1):
    contents = {"a.mp4": CLIP, "b.txt": b"", "c.mp4": CLIP[:77]}
    seven(source / "x.7z", contents, header_encryption=list_too, filters=filters)

    assert step1(STEP1_PASSWORDS=f"wrong\n{SECRET}\nalso wrong")[0] == 0

    assert tree(work / "x") == contents


@pytest.mark.parametrize("list_too", [False, True], ids=["content", "list too"])
def test_missing_wrong_and_damaged_7z_are_three_errors(list_too, source, step1, work):
    archive = seven(source / "x.7z", {"a.mp4": CLIP, "b.mp4": CLIP[:501]}, header_encryption=list_too)
    packed = bytearray(archive.read_bytes())
    packed[20_000] ^= 1
    (source / "changed.7z").write_bytes(packed)

    _code, without = step1()
    _code, wrong = step1(STEP1_PASSWORDS="wrong\nwrong too")
    _code, right = step1(STEP1_PASSWORDS=SECRET)

    assert set(endings(without).values()) == {("failed", "missing_password")}
    assert set(endings(wrong).values()) == {("failed", "wrong_password")}
    assert "none of the 2 known passwords" in error_of(wrong)["message"]
    assert endings(right) == {"x.7z": ("done", None), "changed.7z": ("failed", "damaged_archive")}
    assert {path.name for path in work.iterdir()} == {".derush", "x"}


@pytest.mark.parametrize("passwords", ["wrong\nwrong too\n" + SECRET, SECRET], ids=["of three", "alone"])
def test_stored_7z_content_that_fills_its_last_block(passwords, source, work, step1):
    """Then nothing tells a password but the content's checksum."""
    stored = [{"id": py7zr.FILTER_COPY}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}]
    seven(source / "x.7z", {"a.mp4": CLIP[:48_000]}, filters=stored)
    assert 48_000 % 16 == 0

    _code, wrong = step1(STEP1_PASSWORDS="wrong")
    code, _events = step1(STEP1_PASSWORDS=passwords)

    assert error_of(wrong)["code"] == "wrong_password"
    assert "or the archive is damaged" in error_of(wrong)["message"]
    assert code == 0
    assert tree(work / "x") == {"a.mp4": CLIP[:48_000]}


def test_a_password_is_never_seen(source, work, step1, tmp_path, capfd):
    seven(source / "right.7z", {"a.mp4": CLIP}, header_encryption=True)
    write_zip(source / "right.zip", [Raw("b.mp4", CLIP, 8, SECRET.encode())])
    seven(source / "wrong.7z", {"a.mp4": CLIP}, "another")
    (source / "damaged.7z").write_bytes((source / "right.7z").read_bytes()[:-9])
    write_zip(source / "damaged.zip", [Raw("c.mp4", CLIP, 8, SECRET.encode(), listed=(("content", b"else"),))])

    _code, events = step1(STEP1_PASSWORDS=SECRET)

    assert len({code for _status, code in endings(events).values()}) == 3
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != source]
    assert any(path.suffix == ".log" for path in written)
    shown = [str(events), *capfd.readouterr(), *(path.read_bytes().decode("latin-1") for path in written)]
    for spelled in (SECRET, SECRET.encode().decode("latin-1"), "S3cret"):
        assert not any(spelled in text for text in shown)


def test_a_person_at_a_terminal_is_asked(source, work, places, tmp_path):
    seven(source / "a.7z", {"a.mp4": CLIP})
    seven(source / "b.7z", {"b.mp4": CLIP})

    said = at_a_terminal([str(source)], places, ["wrong", SECRET])

    assert tree(work / "a") == {"a.mp4": CLIP}
    assert tree(work / "b") == {"b.mp4": CLIP}  # the same password is not asked for again
    assert said.count("Its password") == 2
    assert "S3cret" not in said


def test_an_empty_answer_goes_on_without(source, work, places):
    seven(source / "a.7z", {"a.mp4": CLIP})
    write_zip(source / "b.zip", [Raw("b.mp4", CLIP)])

    said = at_a_terminal([str(source)], places, [""])

    assert "missing_password" in said
    assert tree(work / "b") == {"b.mp4": CLIP}


def at_a_terminal(arguments, environment, answers):
    """Run STEP1 on a terminal of its own, give an answer each time it asks, and return all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *(each for argument in arguments for each in ("--source-dir", argument))],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one call, before Python runs on
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = bytearray()
    waiting = [f"{answer}\n".encode() for answer in answers]

    def has_ended():
        try:
            shown.extend(os.read(ours, 65536))
        except BlockingIOError:
            pass
        except OSError:
            return True  # nobody has the terminal open any more
        if waiting and shown.count(b"Its password") > len(answers) - len(waiting):
            os.write(ours, waiting.pop(0))
        return False

    try:
        wait_until(has_ended, seconds=60, what="the end of STEP1")
        process.wait(timeout=20)
    finally:
        process.kill()
        os.close(ours)
    return shown.decode()
