"""`derush watch`: a run for whatever comes to a folder."""

from __future__ import annotations

import signal
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

from config.contract import Exit
from config.settings import load_settings
from services.arrivals import arrivals
from services.cli.options import to_person
from services.cli.store import open_store
from services.errors import ServiceError
from services.launching import launch, named_briefly, plan_for, steps_named
from services.options import Options


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

    Runs go on in the background, one after the other as MAX_CONCURRENT_RUNS allows: `derush status --watch` follows them.
    What is still being copied is left alone until it is whole; what was taken in before costs a look.
    """
    settings = load_settings()
    options = Options(kind=kind, min_size_mb=min_size, keywords=tuple(keyword or ()))
    chosen = steps_named(steps)
    store = open_store(settings)
    plan_for(places, workflow, chosen)  # what is asked for wrongly is said now, not when something comes
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    to_person.print(f"Watching {', '.join(map(str, places))}. Ctrl-C ends it; runs go on.", soft_wrap=True)
    with suppress(KeyboardInterrupt), closing(arrivals(places, settings, options)) as coming:
        for paths, left_out in coming:
            for said in left_out:
                to_person.print(f"{datetime.now():%H:%M} {said}", soft_wrap=True)
            if not paths:
                continue
            names = named_briefly(paths)
            try:
                run = launch(store, settings, plan_for(paths, workflow, chosen), options).run
            except ServiceError as error:  # a folder that is gone again ends no watch
                to_person.print(f"{datetime.now():%H:%M} {names}: {error.message} {error.remedy}", soft_wrap=True)
            else:
                to_person.print(f"{datetime.now():%H:%M} {names}: run {run.id}", soft_wrap=True)
    return Exit.OK


def _as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
