"""Zips written byte by byte, for what no library writes: every method, ZipCrypto, parts, macOS above 4 GiB, contradictions."""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import inflate64
from backports import zstd

LIMIT = 1 << 32


@dataclass(frozen=True)
class Raw:
    """A member as it is to be written. `listed` are fields that the directory alone has otherwise; `hole` zeros follow it.

    `extra` are records behind the name in the directory.
    """

    name: str
    content: bytes
    method: int = 8
    password: bytes | None = None
    listed: tuple[tuple[str, object], ...] = ()
    streamed: bool = False
    hole: int = 0
    extra: bytes = b""


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def _deflated64(content: bytes) -> bytes:
    packer = inflate64.Deflater()
    return packer.deflate(content) + packer.flush()


def _lzma(content: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}]
    packed = lzma.compress(content, lzma.FORMAT_RAW, filters=filters)
    return struct.pack("<BBHBL", 9, 20, 5, (2 * 5 + 0) * 9 + 3, 1 << 20) + packed


METHODS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes, 8: deflated, 9: _deflated64, 12: bz2.compress, 14: _lzma, 93: zstd.compress, 95: lzma.compress,
}  # fmt: skip


def zip_crypted(packed: bytes, password: bytes, check: int) -> bytes:
    """Encrypt as APPNOTE 6.1 says: twelve bytes of noise that end in the check, then what is packed."""
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = _crc_step(byte, keys[0])
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) % LIMIT
        keys[2] = _crc_step(keys[1] >> 24, keys[2])

    for byte in password:
        update(byte)
    encrypted = bytearray()
    for byte in os.urandom(11) + bytes([check]) + packed:
        state = keys[2] & 0xFFFF | 2
        encrypted.append(byte ^ (state * (state ^ 1) >> 8 & 0xFF))
        update(byte)
    return bytes(encrypted)


def _crc_step(byte: int, crc: int) -> int:
    """One step of the checksum, without the inversion at its ends that zlib's has."""
    return zlib.crc32(bytes([byte]), crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def write_zip(path: Path, members: Sequence[Raw], *, wide: bool = False, part_size: int | None = None) -> list[Path]:
    """Write a zip; with `wide` as zip64, with `part_size` in parts of so many bytes. Returns its files in their order."""
    with path.open("wb") as file:
        file.write(b"PK\x07\x08" if part_size else b"")
        entries = []
        for member in members:
            entries.append((member, file.tell(), *_written(file, member, wide=wide)))
        begin = file.tell()
        size = part_size or LIMIT * 8
        for member, offset, packed, crc in entries:
            place = offset % size
            file.write(_listed(member, packed, crc, place, offset // size, wide=wide))
        end = file.tell()
        disk, first = end // size, begin // size
        place = begin % size
        if wide:
            file.write(struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, disk, first, len(entries), len(entries), end - begin, place))  # fmt: skip
            file.write(struct.pack("<4sLQL", b"PK\x06\x07", disk, end % size, _disks(file.tell() + 42, size)))
        here = file.tell()
        full = wide and 0xFFFFFFFF
        file.write(struct.pack(
            "<4s4H2LH", b"PK\x05\x06", _disks(here + 22, size) - 1, first, len(entries) % 65536, len(entries) % 65536,
            full or (end - begin) % LIMIT, full or place % LIMIT, 0,
        ))  # fmt: skip
    return _cut(path, part_size) if part_size else [path]


def _disks(length: int, size: int) -> int:
    return -(-length // size)


def _written(file, member: Raw, *, wide: bool) -> tuple[int, int]:
    """Write a member with its own header; returns its packed size and checksum."""
    crc = zlib.crc32(member.content)
    packed = METHODS[member.method](member.content) if member.method in METHODS else member.content
    if member.password is not None:
        packed = zip_crypted(packed, member.password, _TIME >> 8 if member.streamed else crc >> 24)
    name = member.name.encode()
    sizes = (0, 0, 0) if member.streamed else (crc, len(packed), len(member.content))
    extra = b""
    if wide and not member.streamed:
        extra = struct.pack("<2H2Q", 1, 16, len(member.content), len(packed))
        sizes = (crc, 0xFFFFFFFF, 0xFFFFFFFF)
    file.write(struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, _flags(member), member.method, _TIME, _DATE, *sizes, len(name), len(extra)))  # fmt: skip
    file.write(name + extra + packed)
    if member.streamed:
        file.write(struct.pack("<4s3L", b"PK\x07\x08", crc, len(packed), len(member.content)))
    if member.hole:
        file.seek(member.hole, os.SEEK_CUR)
    return len(packed) + member.hole, crc


def _listed(member: Raw, packed: int, crc: int, offset: int, disk: int, *, wide: bool) -> bytes:
    listed = replace(member, **dict(member.listed))  # type: ignore[arg-type]
    crc = zlib.crc32(listed.content) if listed.content != member.content else crc
    name, size = listed.name.encode(), len(listed.content)
    fields, extra = (packed % LIMIT, size % LIMIT, offset % LIMIT), b""
    if wide:
        fields, extra = (0xFFFFFFFF,) * 3, struct.pack("<2H3Q", 1, 24, size, packed, offset)
    extra += listed.extra
    return struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 3 << 8 | 45, 20, _flags(listed), listed.method, _TIME, _DATE, crc, *fields[:2],
        len(name), len(extra), 0, disk, 0, 0o100644 << 16, fields[2],
    ) + name + extra  # fmt: skip


def _flags(member: Raw) -> int:
    return (
        0x800 | (member.password is not None) | member.streamed << 3 | (member.method == 14) << 1
    )  # LZMA: with its end


def _cut(path: Path, size: int) -> list[Path]:
    """Cut a zip into `.z01`, `.z02` … and `.zip`."""
    whole = path.read_bytes()
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    names = [path.with_suffix(f".z{number:02}") for number in range(1, len(pieces))] + [path]
    for name, piece in zip(names, pieces, strict=True):
        name.write_bytes(piece)
    return names


_TIME, _DATE = 0x6C32, 0x5975
