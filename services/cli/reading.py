"""How far the reading of many bytes is, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def reading_progress(total: int, screen: Console) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much of `total` bytes is read, how fast, and the time left; gives what hears the bytes."""
    if not (screen.is_terminal and total):
        yield lambda _count: None
        return
    # Imported here: a quick verification, which reads nothing, runs several times in a run.
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = TextColumn("Reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task("", total=total)
        yield lambda count: progress.advance(bar, count)
