"""Watched folders: what has come and is whole, as STEP1's script says it; only that knows what it can take."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from config.catalog import steps
from config.settings import Settings
from services.commands import Child
from services.environments import environments
from services.errors import CommandFailed
from services.options import Options
from services.worker import step_command

_TOGETHER = 1.0
"""Seconds within which what is found counts as found together: a card's clips become one run, not fifty."""
_REMEDY = "Its message stands above; mend that and watch again."


class Arrived(NamedTuple):
    """What was found at one look: paths of archives, clips and folders of clips; and, in sentences, what is left out."""

    paths: list[Path]
    left_out: list[str]


def arrivals(places: Sequence[Path], settings: Settings, options: Options) -> Generator[Arrived, None, None]:
    """Yield what is in the places, then what comes to them once it is whole.

    Each archive, clip and folder that lies in a place is one of its own. It goes on until the generator is closed.
    Raises CommandFailed when the script that watches ends by itself.
    """
    step = steps()["STEP1"]
    environment = environments(settings)[step.environment]
    named = [word for place in places for word in ("--source-dir", str(place.absolute()))]
    command = step_command(step, environment, "--list", "--watch", *named, *options.filters())
    child = Child(command, changes=environment.variables, stderr=None)
    try:
        assert child.process.stdout is not None
        lines = _lines(child.process.stdout)
        while batch := _batch(lines):
            found = [json.loads(line) for line in batch]
            yield Arrived(
                [Path(entry["path"]) for entry in found if "skipped" not in entry],
                [f"{Path(entry['path']).name}: {entry['skipped']['message']}" for entry in found if "skipped" in entry],
            )
        raise CommandFailed(command, child.process.wait(), "(its messages stand above)", _REMEDY)
    finally:
        child.stop()


def _lines(stream: IO[bytes]) -> queue.SimpleQueue[bytes | None]:
    """Read a stream in a thread of its own; None comes last."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="arrivals", daemon=True).start()
    return lines


def _batch(lines: queue.SimpleQueue[bytes | None]) -> list[bytes]:
    """Wait for a line, and for those that follow at once; empty at the end."""
    batch: list[bytes] = []
    line = lines.get()
    while line is not None:
        batch.append(line)
        try:
            line = lines.get(timeout=_TOGETHER)
        except queue.Empty:
            return batch
    if batch:
        lines.put(None)  # said again, to whoever asks next
    return batch
