"""Log files, read as they grow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from services.errors import ServiceError


class Tail(NamedTuple):
    """A stretch of a log: its text, where the next stretch begins, whether there is more already."""

    text: str
    next_offset: int
    truncated: bool


def read_from(path: Path, offset: int, limit: int = 1 << 16) -> Tail:
    """Read at most `limit` bytes from `offset` on, up to the last complete line.

    An offset past the end (the file was replaced) begins anew. Raises ServiceError when the file is not there.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = offset if 0 <= offset <= size else 0
            stream.seek(start)
            block = stream.read(limit)
    except OSError as error:
        raise ServiceError(
            "no_log", f"{path} cannot be read ({error}).", "See `derush logs` for those there are."
        ) from None
    if len(block) == limit or not block.endswith(b"\n"):
        whole_lines = block.rfind(b"\n") + 1
        block = block[:whole_lines] if whole_lines or len(block) < limit else block
    return Tail(block.decode("utf-8", "replace"), start + len(block), start + len(block) < size)


def last_lines(path: Path, count: int, block: int = 1 << 16) -> Tail:
    """Read the last `count` lines, from the end, whatever the file's size."""
    try:
        with path.open("rb") as stream:
            end = position = stream.seek(0, os.SEEK_END)
            collected = b""
            while position > 0 and collected.count(b"\n") <= count:
                position = max(0, position - block)
                stream.seek(position)
                collected = stream.read(min(block, end - position)) + collected
    except OSError as error:
        raise ServiceError(
            "no_log", f"{path} cannot be read ({error}).", "See `derush logs` for those there are."
        ) from None
    lines = collected.splitlines(keepends=True)[-count:] if count else []
    return Tail(b"".join(lines).decode("utf-8", "replace"), end, False)


def newest_log(folder: Path) -> Path | None:
    """Return the log of a step's folder that was written to last."""
    return max(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns, default=None)
