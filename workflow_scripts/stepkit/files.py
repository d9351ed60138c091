"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK = 1 << 20


def sha256_of(path: Path, on_bytes: Callable[[int], object] | None = None) -> str:
    """Return a file's sha256 in hexadecimal, read in blocks of 1 MiB; `on_bytes` gets how much was read so far."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            done += len(block)
            if on_bytes:
                on_bytes(done)
    return digest.hexdigest()


def flush_to_disk(path: Path) -> None:
    """Wait until a file's or folder's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, final: Path) -> None:
    """Put a finished temporary file in its place: flushed first, renamed in one step. Both on one file system."""
    flush_to_disk(temporary)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(final)
    flush_to_disk(final.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document to its place, whole or not at all. Writers of one path take turns: whoever calls sees to it.

    The temporary file is named by the path, so that what a kill left of it is overwritten by the next writer.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
