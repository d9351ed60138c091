"""Keeping an eye on folders: the system says when something changes, and now and then one looks anyway."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from watchdog.events import (
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from workflow_scripts.stepkit.errors import Interrupted

log = logging.getLogger(__name__)

EVERY = 30.0
"""Seconds after which one looks though nothing was told: of a disk on a network only its own machine's changes are."""
SOON = 2.0
"""Seconds after which one looks again where something was left for later."""
_BURST = 0.5
"""Seconds that changes may go on before one looks: copying tells of each block."""
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileClosedEvent, DirMovedEvent, DirDeletedEvent,
]  # fmt: skip
"""Looking itself opens files, which tells of nothing here."""


class Watch(FileSystemEventHandler):
    """Waits for changes below folders, or of files; use it in a `with` block."""

    def __init__(self, places: Iterable[Path]) -> None:
        self._changed = threading.Event()
        self._observer = Observer()
        for place in places:
            is_folder = place.is_dir()
            folder = place if is_folder else place.parent
            self._observer.schedule(self, str(folder), recursive=is_folder, event_filter=_EVENTS)
        try:
            self._observer.start()
        except OSError as error:  # too many folders for the system's limit
            log.warning("Changes are looked for every %g s only: %s", EVERY, error)

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002
        """Take note that something changed; called by the observer's thread."""
        self._changed.set()

    def wait(self, *, soon: bool) -> bool:
        """Wait until it is time to look again, at most some seconds where `soon`; False when told to end."""
        try:
            self._changed.wait(SOON if soon else EVERY)
            time.sleep(_BURST)
        except Interrupted:
            return False
        self._changed.clear()
        return True

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
