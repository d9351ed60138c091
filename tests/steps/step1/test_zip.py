"""Zip in all its forms: methods, encryption, 64 bits, macOS above 4 GiB, and archives that contradict themselves."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib

import pytest
import pyzipper

from tests.steps.step1.conftest import endings, tree
from tests.steps.step1.zips import LIMIT, METHODS, Raw, write_zip
from workflow_scripts.step1.zip_content import content
from workflow_scripts.step1.zip_directory import read_directory

CLIP = os.urandom(70_000) + b"text that packs well " * 5_000


def error_of(events):
    return next(event["error"] for event in events if event["event"] == "item_done")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_out(method, source, work, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP, method), Raw("b.mp4", b"", method), Raw("c.mp4", CLIP[:9], method, streamed=True)])  # fmt: skip

    assert step1()[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP, "b.mp4": b"", "c.mp4": CLIP[:9]}


def test_a_method_nobody_reads_is_named(source, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP, 98)])

    assert endings(step1()[1]) == {"x.zip": ("failed", "unsupported_compression")}


def test_zip64_comes_out(source, work, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP), Raw("b.mp4", CLIP, 0)], wide=True)

    assert step1()[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP, "b.mp4": CLIP}


class _Pipe(io.RawIOBase):
    """A stream that cannot go back: what is written to it has its sizes behind each member."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self):
        return True

    def write(self, block):
        self.written += block
        return len(block)


def test_what_java_writes_comes_out(source, work, step1):
    """A jar: its mark in the first member's extra field, sizes behind the members, no system, no modes."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body, extra in (
            ("META-INF/", b"", b"\xfe\xca\0\0"), ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n", b""), ("a.mp4", CLIP, b""),
        ):  # fmt: skip
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr, info.extra = 0, 0, extra
            info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
            archive.writestr(info, body)
            info.external_attr = 0  # writestr puts a mode in
    assert struct.unpack_from("<H", pipe.written, 6)[0] & 0x8, "sizes stand behind"
    (source / "x.zip").write_bytes(pipe.written)

    assert step1()[0] == 0

    assert tree(work / "x") == {"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\n", "a.mp4": CLIP}


def test_macos_above_4_gib_is_read(tmp_path):
    """Its zips have no zip64: offsets and sizes lose their high bits. A hole stands for what is packed."""
    archive = tmp_path / "x.zip"
    write_zip(
        archive,
        [
            Raw("a.mp4", CLIP),
            Raw("large.mp4", b"", 0, hole=LIMIT + 5),
            Raw("b.mp4", CLIP, streamed=True),
            Raw("larger.mp4", b"", 0, hole=2 * LIMIT + 70_000),
            Raw("c.mp4", CLIP[:100]),
        ],
    )
    assert archive.stat().st_blocks < 10_000  # what is not written costs nothing

    with archive.open("rb") as file:
        entries = {entry.name: entry for entry in read_directory(file, [0])}
        read = {name: b"".join(content(file, entries[name], None)) for name in (b"a.mp4", b"b.mp4", b"c.mp4")}

    assert read == {b"a.mp4": CLIP, b"b.mp4": CLIP, b"c.mp4": CLIP[:100]}
    assert [entry.packed for name, entry in entries.items() if b"large" in name] == [LIMIT + 5, 2 * LIMIT + 70_000]


def test_the_name_in_unicode_beside_another_counts_if_it_belongs_to_it(source, work, step1):
    """As Info-ZIP writes it: the checksum of the stored name, then the name in UTF-8."""
    records = {}
    for stored, right in (("t.mp4", True), ("o.mp4", False)):
        record = struct.pack("<BL", 1, zlib.crc32(stored.encode()) ^ (not right)) + "été.mp4".encode()
        records[stored] = struct.pack("<2H", 0x7075, len(record)) + record
    write_zip(source / "x.zip", [Raw(name, CLIP, extra=extra) for name, extra in records.items()])

    assert step1()[0] == 0

    assert sorted(tree(work / "x")) == ["o.mp4", "été.mp4"]


def test_a_bomb_of_deflate64_is_stopped(source, work, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", bytes(300 << 20), 9)])

    assert endings(step1()[1]) == {"x.zip": ("failed", "archive_bomb")}
    assert [path.name for path in work.iterdir()] == [".derush"]


@pytest.mark.parametrize(
    "listed",
    [
        {"name": "b.mp4"},
        {"method": 0},
        {"content": CLIP + b"more"},
        {"content": CLIP[:-1] + b"?"},
        {"password": b"none"},
    ],
    ids=["name", "method", "size", "checksum", "encryption"],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["known", "streamed"])
def test_a_member_that_contradicts_the_list_is_refused(listed, streamed, source, work, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP, listed=tuple(listed.items()), streamed=streamed)])

    code, events = step1(STEP1_PASSWORDS="any")

    assert (code, endings(events)) == (1, {"x.zip": ("failed", "damaged_archive")})
    assert [path.name for path in work.iterdir()] == [".derush"]


def test_members_that_overlap_are_refused(source, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP), Raw("b.mp4", CLIP)])
    packed = bytearray((source / "x.zip").read_bytes())
    second = packed.rindex(b"PK\x01\x02")
    packed[second + 42 : second + 46] = bytes(4)  # both lie where the first does
    (source / "x.zip").write_bytes(packed)

    assert endings(step1()[1]) == {"x.zip": ("failed", "damaged_archive")}


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("method", [pyzipper.ZIP_STORED, pyzipper.ZIP_DEFLATED, pyzipper.ZIP_LZMA])
def test_aes_comes_out(bits, version, method, source, work, step1):
    _aes(source / "x.zip", {"a.mp4": CLIP, "b.mp4": b""}, method=method, nbits=bits, force_wz_aes_version=version)

    assert step1(STEP1_PASSWORDS="wrong\nword pass ")[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP, "b.mp4": b""}


@pytest.mark.parametrize("streamed", [False, True], ids=["checked by checksum", "checked by time"])
def test_zip_crypto_comes_out(streamed, source, work, step1):
    members = [Raw("a.mp4", CLIP, 8, b"word", streamed=streamed), Raw("b.mp4", CLIP[:5], 0, b"word", streamed=streamed)]
    write_zip(source / "x.zip", members)

    assert step1(STEP1_PASSWORDS="wrong\nword")[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP, "b.mp4": CLIP[:5]}


def test_among_hundreds_of_passwords_the_right_one_is_found(source, work, step1):
    """Of 600 wrong ones two or so pass the one byte that a single ZipCrypto member has to tell by."""
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP, 0, b"the one")])
    listed = source.parent / "list.txt"
    listed.write_text("\n".join([*(f"wrong {number}" for number in range(600)), "the one"]))

    assert step1(STEP1_PASSWORDS_FILE=str(listed))[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "cp850"])
def test_a_password_is_tried_as_every_windows_wrote_it(encoding, source, work, step1):
    _aes(source / "x.zip", {"a.mp4": CLIP}, password="été".encode(encoding))

    assert step1(STEP1_PASSWORDS="été")[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP}


def test_missing_wrong_and_damaged_are_three_errors(source, step1, work):
    _aes(source / "aes.zip", {"a.mp4": CLIP})
    write_zip(source / "crypto.zip", [Raw("a.mp4", CLIP, 0, b"word pass "), Raw("b.mp4", CLIP, 0, b"word pass ")])
    packed = bytearray((source / "aes.zip").read_bytes())
    packed[30_000] ^= 1
    (source / "changed.zip").write_bytes(packed)
    packed = bytearray((source / "crypto.zip").read_bytes())
    packed[30_000] ^= 1
    (source / "changed crypto.zip").write_bytes(packed)

    _code, without = step1()
    _code, wrong = step1(STEP1_PASSWORDS="wrong")
    _code, right = step1(STEP1_PASSWORDS="word pass ")

    assert set(endings(without).values()) == {("failed", "missing_password")}
    assert set(endings(wrong).values()) == {("failed", "wrong_password")}
    assert endings(right) == {
        "aes.zip": ("done", None), "crypto.zip": ("done", None),
        "changed.zip": ("failed", "damaged_archive"), "changed crypto.zip": ("failed", "damaged_archive"),
    }  # fmt: skip


def test_one_zip_crypto_member_leaves_a_doubt_that_is_said(source, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP, 0, b"word")])
    packed = bytearray((source / "x.zip").read_bytes())
    packed[30_000] ^= 1
    (source / "x.zip").write_bytes(packed)

    error = error_of(step1(STEP1_PASSWORDS="word")[1])

    assert error["code"] == "damaged_archive"
    assert "or its password is wrong" in error["message"]


def test_a_member_with_another_password_is_named(source, step1, work):
    members = [Raw(f"{number}.mp4", CLIP[: 100 + number], 0, b"word") for number in range(4)]
    write_zip(source / "x.zip", [*members, Raw("other.mp4", CLIP, 0, b"another")])

    error = error_of(step1(STEP1_PASSWORDS="word")[1])

    assert error["code"] == "wrong_password"
    assert "other.mp4" in error["message"]
    assert [path.name for path in work.iterdir()] == [".derush"]


def test_only_what_is_wanted_needs_a_password(source, work, step1):
    write_zip(source / "x.zip", [Raw("a.mp4", CLIP), Raw("__MACOSX/._a.mp4", CLIP, 8, b"word")])

    assert step1()[0] == 0

    assert tree(work / "x") == {"a.mp4": CLIP}


def _aes(path, contents, *, password=b"word pass ", method=pyzipper.ZIP_DEFLATED, **strength):
    with pyzipper.AESZipFile(path, "w", compression=method) as archive:
        archive.setpassword(password)
        archive.setencryption(pyzipper.WZ_AES, **strength)
        for name, content in contents.items():
            archive.writestr(name, content)
