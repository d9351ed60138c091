"""Which password opens a 7z archive, found without unpacking it.

7z keeps nothing to check a password by. An encrypted list of members proves one: it has a checksum. Encrypted content
ends in up to 15 zero bytes, which fill its last block of AES; under a wrong password they are noise, and each one that
comes out as zero makes the password 256 times as likely. Where the content happens to fill its last block, nothing but
unpacking tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

import py7zr
from py7zr.compressor import AESDecompressor, SupportedMethods
from py7zr.exceptions import ArchiveError, PasswordRequired

from workflow_scripts.step1.readers.common import DAMAGE, Packed, missing_password, wrong_password

BROKEN = (ArchiveError, TypeError, AttributeError, *DAMAGE)
"""What py7zr raises on a damaged archive, or on one under a wrong password."""
DOUBT = ", or the archive is damaged: 7z cannot tell the two apart"
_AES_BLOCK = 16
_ENOUGH = 4
"""Zero bytes that leave no doubt."""
_MOST_STREAMS = 8
"""Streams that are looked at: each costs a second of hashing a password on a slow machine."""
_AES = b"\x06\xf1\x07\x01"


class Opened(NamedTuple):
    """A 7z archive, its list read. `is_proven` tells whether its password is known to be right; None where it has none."""

    archive: py7zr.SevenZipFile
    is_proven: bool | None


class _Ending(NamedTuple):
    """The end of a stream of encrypted content: its last blocks, the coder's properties, how many bytes only fill it."""

    blocks: bytes
    properties: bytes
    filling: int


def open_archive(packed: Packed, file: IO[bytes]) -> Opened:
    """Open an archive; if its list of members is encrypted, with the first password that opens that. Raises ItemError."""
    try:
        return Opened(py7zr.SevenZipFile(file), None)
    except PasswordRequired:
        if not packed.passwords:
            raise missing_password(packed) from None
    for password in packed.passwords:
        try:
            return Opened(_reopened(file, password), True)
        except BROKEN:
            continue
    raise wrong_password(packed, DOUBT)


def unlock(
    packed: Packed, file: IO[bytes], archive: py7zr.SevenZipFile, unpacks: Callable[[py7zr.SevenZipFile], bool]
) -> Opened:
    """Open an archive again with the password that its encrypted content has. Raises ItemError.

    `unpacks` tells whether a member comes out whole: it is asked where several passwords seem to fit.
    """
    if not packed.passwords:
        raise missing_password(packed)
    endings = _endings(file, archive)
    fitting = [password for password in packed.passwords if _fits(password, endings)]
    if not fitting:
        raise wrong_password(packed, DOUBT)
    is_proven = sum(ending.filling for ending in endings) >= _ENOUGH
    if len(fitting) == 1:
        return Opened(_reopened(file, fitting[0]), is_proven)
    for password in fitting:
        if unpacks(_reopened(file, password)):
            return Opened(_reopened(file, password), True)
    raise wrong_password(packed, DOUBT)


def needs_password(entry: py7zr.py7zr.ArchiveFile) -> bool:
    """Tell whether a member's content is encrypted."""
    return entry.folder is not None and bool(SupportedMethods.needs_password(entry.folder.coders))


def _reopened(file: IO[bytes], password: str) -> py7zr.SevenZipFile:
    file.seek(0)
    return py7zr.SevenZipFile(file, password=password)


def _endings(file: IO[bytes], archive: py7zr.SevenZipFile) -> list[_Ending]:
    """Return the ends of the encrypted streams, as far as they tell something."""
    streams = archive.header.main_streams
    endings = []
    for index, folder in enumerate(streams.unpackinfo.folders[:_MOST_STREAMS]):
        coder, length = folder.coders[0], streams.packinfo.packsizes[index]
        filling = length - folder.unpacksizes[0]
        if coder["method"] == _AES and 0 < filling < _AES_BLOCK:
            end = archive.afterheader + streams.packinfo.packpositions[index + 1]
            begin = end - min(length, 2 * _AES_BLOCK)
            file.seek(begin)
            endings.append(_Ending(file.read(end - begin), coder["properties"], filling))
    return endings


def _fits(password: str, endings: Sequence[_Ending]) -> bool:
    """Tell whether all that only fills comes out as zeros. A block needs but the one before it to be decrypted."""
    return all(
        AESDecompressor(ending.properties, password).decompress(ending.blocks)[-ending.filling :]
        == bytes(ending.filling)
        for ending in endings
    )
