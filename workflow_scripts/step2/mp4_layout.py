"""The order of a file's top-level boxes (ISO/IEC 14496-12): is it an mp4 that plays while it is still loading?"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def is_fast_start_mp4(path: Path) -> bool:
    """Tell an mp4 (not QuickTime) whose index (`moov`) lies before its media (`mdat`)."""
    with path.open("rb") as stream:
        first = True
        for kind, brand in _boxes(stream):
            if first and (kind != b"ftyp" or brand == b"qt  "):
                return False
            first = False
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
    return False


def _boxes(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield each top-level box's type and the four bytes after its header (the brand, in `ftyp`)."""
    end = stream.seek(0, os.SEEK_END)
    position = 0
    while position + 8 <= end:
        stream.seek(position)
        header = stream.read(20)
        size, kind = struct.unpack_from(">I4s", header)
        yield kind, header[8:12]
        if size == 1 and len(header) >= 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        if size < 8:  # 0: the box reaches to the end of the file; 1 to 7: no box at all
            return
        position += size
