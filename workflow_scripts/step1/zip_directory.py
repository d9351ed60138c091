"""The central directory of a zip: what is in it, and where. PKWARE's APPNOTE 6.3.10, sections 4.3 to 4.5.

The standard library reads no zip in several parts, and none of more than 4 GiB that macOS makes (its sizes and offsets
are cut to 32 bits), so the list is read here. Members are where the directory says, and each member's own header has to
say the same (`zip_content`): an archive that two programs read in two ways is how things are smuggled in.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
TAIL = 22 + 0xFFFF + 20
"""Bytes at the end that hold the record of the end, with the longest comment, and zip64's locator."""

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_WIDE_END = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_FULL, _FULL_SHORT = 0xFFFFFFFF, 0xFFFF
_WRAP = 1 << 32
_ZIP64, _UNICODE_PATH, _AES = 0x0001, 0x7075, 0x9901
_UTF8 = 0x800


class ZipDamaged(ValueError):
    """The archive contradicts itself, or ends early."""


class Aes(NamedTuple):
    """WinZip's encryption of a member: AE-`version` (1 or 2), and the length of its key in bytes."""

    version: int
    key_length: int


class Entry(NamedTuple):
    """A member as the directory has it.

    `offset` of its own header, and `limit` that its data may not pass, are bytes in the whole archive. Of `size` the
    last 32 bits count: some writers have no room for more. `stored_name` is the name as it also stands in its own header.
    """

    name: bytes
    is_utf8: bool
    stored_name: bytes
    flags: int
    method: int
    time: int
    crc: int
    packed: int
    size: int
    attributes: int
    disk: int
    offset: int
    limit: int
    aes: Aes | None


class _End(NamedTuple):
    """What the archive's end says: the directory's part, length and offset; `position` of the end is in the whole."""

    position: int
    first_disk: int
    length: int
    offset: int
    is_wide: bool


def number_of_disks(tail: bytes) -> int:
    """Return how many parts a zip has, by the last TAIL bytes of its last part; 0 when no zip ends there."""
    at = _end_in(tail)
    if at is None:
        return 0
    place = at - _LOCATOR.size
    if place >= 0 and tail.startswith(b"PK\x06\x07", place):
        return int(_LOCATOR.unpack_from(tail, place)[3])
    return int(_END.unpack_from(tail, at)[1]) + 1


def read_directory(file: IO[bytes], starts: Sequence[int]) -> list[Entry]:
    """Return the members, in the directory's order. `starts` are the offsets at which the parts begin.

    Raises ZipDamaged and struct.error.
    """
    end = _read_end(file, starts)
    if end.first_disk >= len(starts) or end.length > end.position:
        raise ZipDamaged("its list of members is not where it should be")
    position = end.position - end.length
    missed = position - starts[end.first_disk] - end.offset
    is_wrapped = missed > 0 and missed % _WRAP == 0 and not end.is_wide
    if missed and not is_wrapped:
        raise ZipDamaged("its list of members is not where it says")
    file.seek(position)
    entries = list(_entries(file, end.length))
    if is_wrapped:
        return [_with_high_bits(entry) for entry in _limited(_unwrapped(file, entries, position), position)]
    return _limited([_placed(entry, starts) for entry in entries], position)


def _end_in(tail: bytes) -> int | None:
    """Return where the record of the end begins: the last one whose comment fills the rest, else the last."""
    at = last = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    while at >= 0:
        if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at = tail.rfind(b"PK\x05\x06", 0, at + 3)
    return last if last >= 0 else None


def _read_end(file: IO[bytes], starts: Sequence[int]) -> _End:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    at = _end_in(tail)
    if at is None:
        raise ZipDamaged("its end is missing")
    _mark, _disk, first, _here, _count, length, offset, _comment = _END.unpack_from(tail, at)
    place = at - _LOCATOR.size
    if place >= 0 and tail.startswith(b"PK\x06\x07", place):
        return _read_wide_end(file, starts, size - len(tail) + place, tail[place:at])
    return _End(size - len(tail) + at, first, length, offset, is_wide=False)


def _read_wide_end(file: IO[bytes], starts: Sequence[int], place: int, locator: bytes) -> _End:
    """Read zip64's record of the end, which its locator at `place` points to."""
    _mark, disk, offset, _disks = _LOCATOR.unpack(locator)
    at = starts[disk] + offset if disk < len(starts) else place
    file.seek(min(at, place))
    record = file.read(_WIDE_END.size)
    if not record.startswith(b"PK\x06\x06"):
        raise ZipDamaged("its 64-bit end is missing")
    first, length, offset = _WIDE_END.unpack(record)[5], *_WIDE_END.unpack(record)[8:]
    return _End(at, first, length, offset, is_wide=True)


def _entries(file: IO[bytes], length: int) -> Iterator[Entry]:
    """Yield the members as they are listed, on `length` bytes."""
    left = length
    while left > 0:
        head = file.read(_ENTRY.size)
        fields = _ENTRY.unpack(head)
        rest = file.read(sum(fields[10:13]))
        left -= len(head) + len(rest)
        if fields[0] != b"PK\x01\x02" or len(rest) != sum(fields[10:13]) or left < 0:
            raise ZipDamaged("its list of members is broken")
        yield _entry(fields, rest)


def _entry(fields: tuple[int, ...], rest: bytes) -> Entry:
    flags, method, time, _date, crc, packed, size, name_length, extra_length = fields[3:12]
    _comment, disk, _internal, attributes, offset = fields[12:]
    stored_name = rest[:name_length]
    extra = extra_fields(rest[name_length : name_length + extra_length])
    size, packed, offset, disk = wide_fields(extra, size, packed, offset, disk)
    name = _unicode_path(extra.get(_UNICODE_PATH, b""), stored_name)
    aes, method = _aes(extra.get(_AES, b"")) if method == 99 else (None, method)
    return Entry(
        name or stored_name, bool(name or flags & _UTF8), stored_name, flags, method, time, crc, packed, size, attributes,
        disk, offset, 0, aes,
    )  # fmt: skip


def extra_fields(extra: bytes) -> dict[int, bytes]:
    """Return the records behind a name, by their kind; of two of one kind the first. What is cut off is left out."""
    records: dict[int, bytes] = {}
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        records.setdefault(kind, extra[4 : 4 + length])
        extra = extra[4 + length :]
    return records


def wide_fields(
    extra: dict[int, bytes], size: int, packed: int, offset: int = 0, disk: int = 0
) -> tuple[int, int, int, int]:
    """Return size, packed size, offset and part; those that did not fit from zip64's record, which has them in this order."""
    if _ZIP64 not in extra:
        return size, packed, offset, disk
    record, at = extra[_ZIP64], 0
    values = [size, packed, offset]
    for index, value in enumerate(values):
        if value == _FULL and len(record) >= at + 8:
            (values[index],) = struct.unpack_from("<Q", record, at)
            at += 8
    if disk == _FULL_SHORT and len(record) >= at + 4:
        (disk,) = struct.unpack_from("<L", record, at)
    return values[0], values[1], values[2], disk


def _unicode_path(record: bytes, stored_name: bytes) -> bytes:
    """Return the name in UTF-8 that Info-ZIP puts beside one that is not, if it still belongs to it."""
    belongs = len(record) > 5 and record[0] == 1 and struct.unpack_from("<L", record, 1)[0] == zlib.crc32(stored_name)
    return record[5:] if belongs else b""


def _aes(record: bytes) -> tuple[Aes, int]:
    """Read WinZip's record: version, "AE", strength from 1 to 3, the method inside."""
    version, _vendor, strength, method = struct.unpack_from("<H2sBH", record)
    if version not in (1, 2) or strength not in (1, 2, 3):
        raise ZipDamaged("its encryption is of no known kind")
    return Aes(version, 8 + 8 * strength), method


def _placed(entry: Entry, starts: Sequence[int]) -> Entry:
    if entry.disk >= len(starts):
        raise ZipDamaged("a member lies in a part that does not exist")
    return entry._replace(offset=starts[entry.disk] + entry.offset)


def _limited(entries: Sequence[Entry], directory: int) -> list[Entry]:
    """Say of each member where the next thing in the archive begins: two that overlap are a bomb or a trick."""
    places = sorted({entry.offset for entry in entries})
    following = dict(zip(places, [*places, directory][1:], strict=True))
    if len(places) < len(entries) or (places and not 0 <= places[0] <= places[-1] < directory):
        raise ZipDamaged("two of its members lie in the same place, or one outside")
    return [entry._replace(limit=following[entry.offset]) for entry in entries]


def _unwrapped(file: IO[bytes], entries: Sequence[Entry], directory: int) -> list[Entry]:
    """Give offsets their high bits back: macOS writes members one behind the other, each under a header with its name."""
    placed, position = [], 0
    for entry in entries:
        short_by = max(0, position - entry.offset)
        offset = entry.offset + -(-short_by // _WRAP) * _WRAP
        while not _begins_at(file, offset, entry):
            offset += _WRAP
            if offset >= directory:
                raise ZipDamaged("a member is not where the list says")
        placed.append(entry._replace(offset=offset))
        position = offset + LOCAL_HEADER.size + len(entry.stored_name)
    return placed


def _begins_at(file: IO[bytes], offset: int, entry: Entry) -> bool:
    file.seek(offset)
    header = file.read(LOCAL_HEADER.size + len(entry.stored_name))
    return header.startswith(b"PK\x03\x04") and header[LOCAL_HEADER.size :] == entry.stored_name


def _with_high_bits(entry: Entry) -> Entry:
    """Give a packed size its high bits back: it fills the room up to the next member but for a few bytes."""
    room = entry.limit - entry.offset - LOCAL_HEADER.size - len(entry.stored_name) - entry.packed
    return entry._replace(packed=entry.packed + max(0, room) // _WRAP * _WRAP)
