"""What a file is, told by its content and never by its suffix.

Signatures: zip APPNOTE 4.3.7, 7z "7zFormat.txt" (signature header), RAR 4 and 5 technical notes, POSIX ustar (magic at
byte 257), RFC 1952 (gzip), the bzip2 and xz format notes, RFC 8878 (zstd).
"""

from __future__ import annotations

import bz2
import lzma
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from zlib_ng import gzip_ng, zlib_ng

from workflow_scripts.step1.zip_directory import TAIL, number_of_disks

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_HEAD = 512
_BLOCK = 1 << 18
_TAR_MAGIC = slice(257, 262)


class _LargeReads:
    """A file that gives decompressors more than the 8 KiB they ask for: they take what they get, and come less often."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw

    def read(self, _size: int) -> bytes:
        return self._raw.read(_BLOCK)


def _with_large_reads(opener: Callable[[Any], Any]) -> Callable[[IO[bytes]], Any]:
    return lambda raw: opener(_LargeReads(raw))


_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda raw: gzip_ng.GzipNGFile(fileobj=raw),  # type: ignore[no-untyped-call]
    b"BZh": _with_large_reads(bz2.BZ2File),
    b"\xfd7zXZ\x00": _with_large_reads(lzma.LZMAFile),
    b"\x28\xb5\x2f\xfd": _with_large_reads(zstd.ZstdFile),
}
_CONTAINERS = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
"""A member, the end of an empty archive, the mark that a split one begins with."""
_OFFICE_MARKS = (b"[Content_Types].xml", b"mimetype")
"""First members of Office (OPC) and OpenDocument/EPUB files: documents that are zip inside."""

ZstdDecompressor = zstd.ZstdDecompressor

BROKEN_STREAM = (OSError, EOFError, zlib.error, cast("type[Exception]", zlib_ng.error), lzma.LZMAError, zstd.ZstdError)
"""What the decompressors raise for data that is damaged or cut off."""


def archive_format(path: Path) -> str | None:
    """Return zip, tar, 7z or rar; None for anything else. Raises OSError when the file cannot be read."""
    with path.open("rb") as raw:
        head = raw.read(_HEAD)
        if head.startswith(_ZIP_MARKS):
            return None if _is_document(head) else "zip"
        for magic, name in _CONTAINERS.items():
            if head.startswith(magic):
                return name
        raw.seek(0)
        if _is_tar(raw, head):
            return "tar"
        return "zip" if path.suffix.lower() == ".zip" and _parts_told(raw) > 1 else None


def parts_told(path: Path) -> int:
    """Return in how many parts a zip says that it is, by its last part; 0 for anything else. Raises OSError."""
    with path.open("rb") as raw:
        return _parts_told(raw) if path.suffix.lower() == ".zip" else 0


def decompressed(raw: IO[bytes]) -> IO[bytes]:
    """Return a stream of a tar's own bytes, whichever compression it came in."""
    head = raw.read(8)
    raw.seek(0)
    opener = _opener(head)
    return raw if opener is None else cast("IO[bytes]", opener(raw))


def _opener(head: bytes) -> Callable[[IO[bytes]], Any] | None:
    return next((opener for magic, opener in _COMPRESSIONS.items() if head.startswith(magic)), None)


def _is_tar(raw: IO[bytes], head: bytes) -> bool:
    opener = _opener(head)
    if opener is not None:
        try:
            head = opener(raw).read(_HEAD)
        except BROKEN_STREAM:
            return True  # something compressed that is damaged: the reader says so by name
    return head[_TAR_MAGIC] == b"ustar"


def _parts_told(raw: IO[bytes]) -> int:
    """Count a zip's parts by its end: the last part of a split one, called `.zip`, begins anywhere in a member."""
    raw.seek(max(0, raw.seek(0, os.SEEK_END) - TAIL))
    return number_of_disks(raw.read())


def _is_document(head: bytes) -> bool:
    """Tell an office document or e-book by the first member's name (length at byte 26, name at byte 30)."""
    if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
        return False
    (length,) = struct.unpack_from("<H", head, 26)
    return head[30 : 30 + length] in _OFFICE_MARKS
