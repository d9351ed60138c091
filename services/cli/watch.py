"""`derush watch`: a run for whatever comes to a folder."""

from __future__ import annotations

import signal
import threading
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Literal

import typer

from config.contract import Exit
from config.settings import load_settings
from services.arrivals import arrivals
from services.cli.options import to_person
from services.cli.store import open_store
from services.errors import ServiceError
from services.executions import Store
from services.launching import launch, named_briefly, plan_for, steps_named
from services.options import Options
from services.responses import GlobalStatus
from services.status import global_status
from services.statuses import ENDED
from services.survival import Orphans

_LOOK_EVERY = 2.0
"""Seconds between two looks at the runs that go on."""


def watch(
    places: Annotated[list[Path], typer.Argument(help="Folders in which archives and clips arrive.")],
    steps: Annotated[str | None, typer.Option("--steps", metavar="1-3,6", help="Only these steps.")] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", help="Another workflow than `full`, see `derush plan --help`.")
    ] = None,
    kind: Annotated[
        Literal["all", "archives", "videos"], typer.Option("--kind", help="Only archives, or only loose videos.")
    ] = "all",
    min_size: Annotated[
        float | None, typer.Option("--min-size", metavar="MB", min=0, max=1e6, help="Leave out what is smaller.")
    ] = None,
    keyword: Annotated[
        list[str] | None, typer.Option("--keyword", metavar="TEXT", help="Only what has this in its name (repeatable).")
    ] = None,
) -> int:
    """Start a run for what is in folders, and for whatever comes to them once it is whole, until Ctrl-C.

    Each archive, clip and folder that lies in such a folder is a delivery of its own.

    Runs go on in the background, one after the other as MAX_CONCURRENT_RUNS allows; how each ends is said here, and
    `derush status --watch` follows them.
    What is still being copied is left alone until it is whole; what was taken in before costs a look.
    """
    settings = load_settings()
    options = Options(kind=kind, min_size_mb=min_size, keywords=tuple(keyword or ()))
    chosen = steps_named(steps)
    store = open_store(settings)
    plan_for(places, workflow, chosen)  # what is asked for wrongly is said now, not when something comes
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    _say(f"Watching {', '.join(map(str, places))}. Ctrl-C ends it; runs go on.")
    with suppress(KeyboardInterrupt), closing(arrivals(places, settings, options)) as coming, Endings(store) as endings:
        for paths, left_out in coming:
            for said in left_out:
                _say(said)
            if not paths:
                continue
            names = named_briefly(paths)
            try:
                run = launch(store, settings, plan_for(paths, workflow, chosen), options).run
            except ServiceError as error:  # a folder that is gone again ends no watch
                _say(f"{names}: {error.message} {error.remedy}")
            else:
                _say(f"{names}: run {run.id}")
                endings.follow(run.id, names)
    return Exit.OK


class Endings:
    """Says how runs end, from a thread of its own, for as long as the `with` block lasts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._going: dict[str, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="endings", daemon=True)

    def follow(self, run_id: str, names: str) -> None:
        """Say when this run ends; `names` is what it works on."""
        self._going[run_id] = names

    def __enter__(self) -> Endings:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        orphans = Orphans(self._store)
        while not self._over.wait(_LOOK_EVERY):
            orphans.look()  # a run whose supervisor was killed ends too
            for run_id in list(self._going):
                try:
                    if self._store.run_of(run_id).status in ENDED:
                        _say(f"{self._going[run_id]}: {_told(global_status(self._store, run_id))}")
                        del self._going[run_id]
                except ServiceError as error:
                    if error.code == "no_such_execution":  # somebody deleted it from the history
                        del self._going[run_id]  # anything else passes: it is looked for again


def _told(run: GlobalStatus) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in run.counts.items())
    more = "" if run.status == "succeeded" else f"; derush show {run.execution_id}"
    return f"{run.status} ({counts or 'nothing to do'}){more}"


def _say(sentence: str) -> None:
    # Names of files are no markup, whatever brackets they have.
    to_person.print(f"{datetime.now():%H:%M} {sentence}", soft_wrap=True, markup=False, highlight=False)


def _as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
