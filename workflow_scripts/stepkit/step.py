"""The frame of every step script: arguments, log, items, events, survival, exit code.

with Step("STEP3", arguments, require=[…]) as step:
    for item in step.items():
        with step.work_on(item) as task:
            if task.is_up_to_date(inputs=[…], parameters={…}):
                continue
            …
return step.exit_code
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from config.catalog import models, steps
from config.contract import PROTOCOL, Exit, Remediable
from config.settings import Settings, SettingsError, load_settings
from workflow_scripts.stepkit.errors import Interrupted, ItemError, PrerequisiteMissing, UsageError, from_os_error
from workflow_scripts.stepkit.events import Events
from workflow_scripts.stepkit.files import sha256_of
from workflow_scripts.stepkit.items import Item, items_from_file, items_from_input, videos_of
from workflow_scripts.stepkit.logs import log_path, open_log
from workflow_scripts.stepkit.prerequisites import Prerequisite, free_gigabytes, model_missing, nearest_existing
from workflow_scripts.stepkit.projects import Project, projects_below
from workflow_scripts.stepkit.task import Task

log = logging.getLogger(__name__)
Loaded = TypeVar("Loaded")


class Step:
    """One run of a step's script, alone or driven.

    `version` counts up when the step's artefacts change for the same input: then they are made anew.
    `find` gives the items of a project when none are named; `find_all` replaces the walk over the projects (STEP1).
    """

    def __init__(
        self,
        step_id: str,
        arguments: argparse.Namespace,
        *,
        version: int = 1,
        require: Sequence[Prerequisite] = (),
        find: Callable[[Project], Iterable[Item]] = videos_of,
        find_all: Callable[[Step], Iterable[Item]] | None = None,
        log_name: str | None = None,
    ) -> None:
        self.id = step_id
        self.version = version
        self.arguments = arguments
        self.exit_code: int = Exit.OK
        self.totals: Counter[str] = Counter()
        self._require = require
        self._find = find
        self._find_all = find_all
        self._log_name = log_name or Path(sys.argv[0]).stem
        self._loaded: dict[object, Any] = {}
        self._models: dict[str, Path] = {}

    def __enter__(self) -> Step:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        try:
            self.settings: Settings = load_settings()
        except SettingsError as error:
            sys.exit(_wrong_settings(error))
        self._log_path = log_path(self.log_folder, self._log_name)
        if not self._only_looks:
            open_log(self._log_path)
        self.events = Events(self.arguments.events)
        self.events.emit(
            "hello", protocol=PROTOCOL, step=self.id, version=self.version, pid=os.getpid(),
            device=self.arguments.device, log=str(self._log_path),
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.exit_code = self._exit_code(error)
        if not self._only_looks:
            counted = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(self.totals.items()))
            log.info("%s ends: %s", self.id, counted or "nothing to do")
        if not isinstance(error, Interrupted) or "nobody reads" not in str(error):
            self.events.emit("goodbye", totals=dict(self.totals), exit_code=self.exit_code)
        return not isinstance(error, SystemExit)

    def _exit_code(self, error: BaseException | None) -> int:
        """Say on the console what ended the step, and return its exit code."""
        if error is None:
            return Exit.SOME_FAILED if self.totals["failed"] else Exit.OK
        if isinstance(error, KeyboardInterrupt):
            log.warning("%s interrupted: nothing half done is left, run it again to go on", self.id)
            return Exit.INTERRUPTED
        if isinstance(error, (PrerequisiteMissing, UsageError)):
            log.error("%s %s", error.message, error.remedy)
            self.events.emit("error", **error.record())
            return Exit.PREREQUISITE if isinstance(error, PrerequisiteMissing) else Exit.USAGE
        log.error("A mistake in Derush itself", exc_info=error)
        log.error("Please report it with the log %s", self._log_path)
        return Exit.BUG

    @property
    def log_folder(self) -> Path:
        """Where the step's logs go."""
        chosen = self.arguments.log_dir
        return Path(chosen) if chosen else self.settings.logs_dir / steps()[self.id].log_folder

    @property
    def _only_looks(self) -> bool:
        """Whether no item will be worked on: then there is nothing to keep a log of."""
        return bool(self.arguments.list or self.arguments.check)

    @property
    def work_dir(self) -> Path:
        """The folder of the projects."""
        return Path(self.arguments.work_dir).absolute() if self.arguments.work_dir else self.settings.projects_dir

    @property
    def force(self) -> bool:
        """Whether what is up to date is done again."""
        return bool(self.arguments.force)

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be done, only said."""
        return bool(self.arguments.dry_run)

    @property
    def is_driven(self) -> bool:
        """Whether items come as lines on standard input."""
        return bool(self.arguments.videos == "-")

    def items(self) -> Iterator[Item]:
        """Check the prerequisites, then yield the items: those given, or those found.

        Raises PrerequisiteMissing. With `--list` the items are printed, and none is yielded; with `--check` neither.
        """
        if self.arguments.list:
            for item in self._found():
                print(item.line())
            return
        for check in self._require:
            if missing := check(self.settings):
                raise missing
        if not self.arguments.check:
            self._warn_of_little_space()
            yield from self._chosen()

    def _warn_of_little_space(self) -> None:
        if not steps()[self.id].needs_space:
            return
        places = {"CACHE_ROOT_DIR": self.settings.cache_root, "ARCHIVES_DIR": self.settings.archives_dir}
        disks = {nearest_existing(place).stat().st_dev: name for name, place in places.items()}
        for name in disks.values():  # two settings on one disk are one warning
            place, free = places[name], free_gigabytes(places[name])
            if free < self.settings.disk_warning_gb:
                message = f"{name} ({place}) has {free:.0f} GB free, less than DISK_WARNING_GB={self.settings.disk_warning_gb:g}"
                if not self.is_driven:  # a run says once what each of its workers finds
                    log.warning(message)
                self.events.emit("warning", item=None, code="little_space", message=message)

    def _chosen(self) -> Iterable[Item]:
        kind = steps()[self.id].item
        if self.is_driven:
            return items_from_input(kind)
        if self.arguments.videos:
            return items_from_file(Path(self.arguments.videos), kind)
        found = list(self._found())
        if not found:
            log.warning("Nothing to work on below %s", self.work_dir)
        return found

    def _found(self) -> Iterable[Item]:
        if self._find_all is not None:
            return self._find_all(self)
        named = [Project(Path(path).absolute()) for path in self.arguments.projects or []]
        return [item for project in named or projects_below(self.work_dir) for item in self._find(project)]

    def leave_out(self, item: Item, code: str, message: str) -> None:
        """Say that an item was found and is not taken, and why: as a warning, or with `--list` as a line beside the items."""
        if self.arguments.list:
            skipped = {"skipped": {"code": code, "message": message}}
            print(replace(item, facts={**item.facts, **skipped}).line())
        else:
            log.warning("%s: %s", item.path, message)
            self.events.emit("warning", item=item.key, code=code, message=message)

    @contextmanager
    def work_on(self, item: Item) -> Iterator[Task]:
        """Work on one item: whatever goes wrong inside ends this item alone, with a code, a sentence and a remedy."""
        task = Task(self, item)
        error: Remediable | None = None
        self.events.emit("item_started", item=item.key)
        try:
            task.sweep()
            yield task
            task.finish()
        except ItemError as failure:
            error = failure
        except Remediable:
            raise  # what the step cannot do for any item ends the step
        except OSError as failure:
            log.exception("%s", item.path.name)
            error = from_os_error(failure)
        except Exception as failure:
            log.exception("%s", item.path.name)
            sentence = f"A mistake in Derush itself: {failure!r}."
            error = ItemError("bug", sentence, f"Please report it with the log {self._log_path}.")
        finally:
            task.clean()
        if error:
            with suppress(OSError):  # a full disk takes no note of itself
                task.fail(error)
        self._end(task, error)

    def _end(self, task: Task, error: Remediable | None) -> None:
        status = "failed" if error else task.status
        self.totals[status] += 1
        if error:
            log.error("%s failed (%s): %s %s", task.label, error.code, error.message, error.remedy)
        else:
            log.info("%s: %s in %.2f s %s", task.label, status.replace("_", " "), task.seconds, task.message)
        self.events.emit(
            "item_done", item=task.item.key, status=status, seconds=round(task.seconds, 3), metrics=task.metrics,
            message=task.message, error=error.record() if error else None,
        )  # fmt: skip

    def once(self, loader: Callable[[], Loaded]) -> Loaded:
        """Call `loader` the first time, and return the same result ever after: a model is loaded once a worker.

        Loaders are told apart by their code (a partial by its function), so a lambda in a loop counts as one.
        """
        function = getattr(loader, "func", loader)
        key = getattr(function, "__code__", function)
        if key not in self._loaded:
            self._loaded[key] = loader()
        return self._loaded[key]  # type: ignore[no-any-return]

    def model_path(self, name: str) -> Path:
        """Return a model's file, verified by its sha256 as are those beside it.

        Raises PrerequisiteMissing when one is absent or damaged.
        """
        if name not in self._models:
            for spec in reversed(models()[name].files):
                path = self.settings.models_dir / spec.file
                if not path.is_file() or sha256_of(path) != spec.sha256:
                    raise model_missing(name, path)
            self._models[name] = path
        return self._models[name]


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(f"signal {number}")


def _wrong_settings(error: SettingsError) -> int:
    print(f"Wrong settings:\n{error}\nCorrect them in .env or in the environment.", file=sys.stderr)
    return Exit.USAGE
