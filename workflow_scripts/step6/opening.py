"""The one way reduced and raw files are opened and made: plain, gzip or zstd, told apart by content and never by name."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BUFFER = 1 << 20
_GZIP_LEVEL, _ZSTD_LEVEL = 6, 9
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError)
"""What reading raises when compressed content is cut or damaged."""
_READERS: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),
    b"\x28\xb5\x2f\xfd": lambda stream: zstd.ZstdFile(stream, "r"),
}
# Neither the time nor a name goes in: the same content is the same bytes.
_WRITERS: Mapping[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda stream: gzip.GzipFile("", "wb", _GZIP_LEVEL, stream, mtime=0),
    "zstd": lambda stream: zstd.ZstdFile(stream, "w", level=_ZSTD_LEVEL),
}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read what it holds, whatever it is compressed with."""
    with path.open("rb", buffering=_BUFFER) as stream:
        start = stream.read(4)
        stream.seek(0)
        reader = next((reader for magic, reader in _READERS.items() if start.startswith(magic)), None)
        if reader is None:
            yield stream
            return
        with reader(stream) as inner:
            yield inner


@contextmanager
def writing(path: Path, compression: str) -> Iterator[BinaryIO]:
    """Open a new file to write: `compression` is none, gzip or zstd."""
    with path.open("wb", buffering=_BUFFER) as stream:
        if compression == "none":
            yield stream
            return
        with _WRITERS[compression](stream) as outer:
            yield outer
