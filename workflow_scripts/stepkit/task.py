"""One item at work: its progress, its artefacts, whether it is up to date."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.catalog import models
from config.contract import Remediable
from config.scratch import Scratch, sweep
from workflow_scripts.stepkit.console import ProgressLine
from workflow_scripts.stepkit.events import PROGRESS_INTERVAL, Pace, now
from workflow_scripts.stepkit.files import publish, sha256_of
from workflow_scripts.stepkit.items import Item
from workflow_scripts.stepkit.packages import packages
from workflow_scripts.stepkit.projects import Project, Video, video_of
from workflow_scripts.stepkit.records import Key, Made, Record

if TYPE_CHECKING:
    from workflow_scripts.stepkit.step import Step

log = logging.getLogger(__name__)


class Task:
    """The work on one item, given by `Step.work_on`."""

    def __init__(self, step: Step, item: Item) -> None:
        self.item = item
        self.metrics: dict[str, float | int | str] = {}
        self.status = "done"
        self.message = ""
        self.provisional = False
        """Set it when the result is good but not what was asked for: it is recorded, and never counts as up to date."""
        self._step = step
        self._made: list[Made] = []
        self._numbers = count()
        self._key: Key | None = None
        self._subject: tuple[Project, str] | None = None
        self._scratch: Scratch | None = None
        self._pace = Pace(PROGRESS_INTERVAL)
        self._line = ProgressLine(f"{step.id}  {item.path.name}")
        self._started = time.monotonic()

    @property
    def label(self) -> str:
        """The item for a person: its file name, behind its project's where it has one."""
        owner = self.item.project
        return self.item.path.name if owner in (None, self.item.path) else f"{owner.name}/{self.item.path.name}"

    @property
    def force(self) -> bool:
        """Whether it is to be done again even where it is up to date."""
        return self._step.force or self.item.force

    @property
    def video(self) -> Video:
        """The video that the item (a proxy) is. Raises ItemError when it is no proxy."""
        return video_of(self.item.path)

    @property
    def project(self) -> Project:
        """The project that the item belongs to or is."""
        return Project(self.item.project) if self.item.project else self.video.project

    def progress(self, done: float, total: float, unit: str, message: str = "") -> None:
        """Say how far the item is, in `unit` (frames, bytes, seconds, files). Call it as often as it is handy."""
        if self._pace.is_due() or done >= total:
            self._step.events.emit(
                "progress", item=self.item.key, done=done, total=total, unit=unit, message=message
            )  # fmt: skip
            self._line.show(done, total, unit)

    def warning(self, code: str, message: str) -> None:
        """Report something a person should know though the work goes on."""
        log.warning("%s: %s", self.item.path.name, message)
        self._step.events.emit("warning", item=self.item.key, code=code, message=message)

    def discovered(self, kind: str, path: Path, project: Path) -> None:
        """Report an item that this one brought for a later step."""
        self._step.events.emit("discovered", item=self.item.key, kind=kind, path=str(path), project=str(project))

    def settle(self, status: str, message: str) -> None:
        """End the item as `up_to_date` or `skipped`, with the reason."""
        self.status, self.message = status, message

    def is_up_to_date(
        self,
        *,
        inputs: Iterable[Path],
        parameters: Mapping[str, Any],
        models: Iterable[str] = (),
        subject: tuple[Project, str] | None = None,
    ) -> bool:
        """Tell whether there is nothing to do: the artefacts were made from the same and are unchanged.

        Also true in a dry run, where nothing is ever to do. `parameters` are those that change what is written;
        `models` are names of models.toml; `subject` is whose record is meant (by default the item's video).
        What is written after this call is recorded under the same key when the item ends well.
        """
        owner, name = self._subject = subject or (self.video.project, self.video.stem)
        if self.would_do(owner, name):
            return True
        record = Record(owner, name)
        self._key = Key(
            self._step.id,
            self._step.version,
            dict(parameters),
            {model: _model_sha256(model) for model in models},
            {record.relative(path): record.fingerprint(path) for path in inputs},
        )
        if not self.force and record.is_current(self._key):
            self.settle("up_to_date", "unchanged")
            if not self._step.dry_run:
                record.recover(self._step.id)
        elif self._step.dry_run:
            self.settle("skipped", "would be done")
        return self.status != "done"

    def would_do(self, owner: Project, name: str) -> bool:
        """Settle in a dry run what is to be done in any case; tell whether it was. No input is read to know that."""
        if self._step.dry_run and (self.force or not Record(owner, name).was_done(self._step.id)):
            self.settle("skipped", "would be done")
        return self.status != "done"

    @contextmanager
    def output(self, kind: str, final: Path, sha256: str | None = None) -> Iterator[Path]:
        """Give a temporary path to write an artefact to; on leaving it is flushed, hashed and put in its place.

        `sha256`, where it is known already, spares reading it again. Nothing is left of it when the block raises. The
        artefact is recorded when the item ends well.
        """
        temporary = self.scratch / f"output{next(self._numbers)}{final.suffix}"
        yield temporary
        sha256 = sha256 or sha256_of(temporary)
        publish(temporary, final)
        status = final.stat()
        below = final.relative_to(self.project.path) if final.is_relative_to(self.project.path) else final
        self._made.append(Made(kind, str(below), status.st_size, status.st_mtime_ns, sha256))
        self._step.events.emit(
            "artefact", item=self.item.key, kind=kind, path=str(final), bytes=status.st_size, sha256=sha256
        )  # fmt: skip

    @property
    def scratch(self) -> Path:
        """A private folder on the project's file system, removed when the item ends, however it ends.

        Its name is the item's and the step's: of two processes at the same item one waits here for the other.
        """
        if self._scratch is None:
            self._scratch = Scratch(self._root, self._scratch_name())
        return self._scratch.folder()

    @property
    def _root(self) -> Path:
        """Where the item's scratch folder belongs: its project, or the work directory where it has none yet."""
        project = self.item.project or (self.video.project.path if self.item.kind == "video" else None)
        return project or self._step.work_dir

    def _scratch_name(self) -> str:
        root = self._root
        # An original is named as it was delivered: it moves in the course of the work.
        moves = self.item.kind == "original" and self.item.project is not None and self.item.path.is_relative_to(root)
        subject = Project(root).delivered_name(self.item.path) if moves else self.item.path
        return f"{self._step.id}-{hashlib.sha256(os.fsencode(subject)).hexdigest()[:12]}"

    def sweep(self) -> None:
        """Remove what processes that were killed left of this item, and of others in its place."""
        if not self._step.dry_run:
            sweep(self._root)

    def clean(self) -> None:
        """Remove the item's temporary files and its line of progress."""
        self._line.clear()
        if self._scratch is not None:
            self._scratch.remove()

    def finish(self) -> None:
        """Record what was made."""
        if self.status == "done" and self._key is not None and self._subject is not None:
            facts = {
                "finished_at": now(),
                "seconds": round(time.monotonic() - self._started, 3),
                "host": platform.node(),
                "python": platform.python_version(),
                "packages": packages(self._step.id),
                "device": self._step.arguments.device,
                "metrics": self.metrics,
                "provisional": self.provisional,
            }
            Record(*self._subject).settle(self._key, self._made, facts)

    def fail(self, error: Remediable) -> None:
        """Record why it failed, where it is known whose record that is."""
        if self._subject is not None and self._subject[0].path.is_dir() and not self._step.dry_run:
            Record(*self._subject).fail(self._step.id, {**error.record(), "failed_at": now()})

    @property
    def seconds(self) -> float:
        """Seconds since the item was begun."""
        return time.monotonic() - self._started


def _model_sha256(name: str) -> str:
    return models()[name].sha256
