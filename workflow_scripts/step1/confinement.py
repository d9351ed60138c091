"""Work on hostile bytes in a child process of its own, with limits set by the kernel.

A library that is made to eat memory, to hang or to crash takes only its archive with it, and that has a name.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from workflow_scripts.step1.system_calls import die_with_parent, keep_freed_memory
from workflow_scripts.stepkit.errors import ItemError, from_os_error

log = logging.getLogger(__name__)

BYTES_PER_SECOND = 2_000_000
"""The slowest that a disk on a network reads or writes: bytes add to the time that unpacking may take at this rate."""
SECONDS_PER_FILE = 0.1
"""What a file adds to the time: making one takes that long on a slow disk on a network."""
_DESCRIPTORS = 1024
_INTERVAL = 0.2
"""Seconds between two words of progress."""

Progress = Callable[[float, float, int], None]
"""Called with bytes done, bytes in all as far as known, files done."""
Work = Callable[[Progress], dict[str, Any]]
_fork = multiprocessing.get_context("fork")  # nothing to import again: ready in milliseconds


@dataclass(frozen=True)
class Confines:
    """What the child may take: bytes of memory, bytes of one file, seconds beside those its work gives it."""

    memory: int
    file: int
    seconds: float


class Confined:
    """A piece of work under way in a child process; use it in a `with` block, at whose end the child is gone."""

    def __init__(self, work: Work, confines: Confines) -> None:
        self._confines = confines
        self._told, theirs = _fork.Pipe(duplex=False)
        self._child = _fork.Process(target=_child, args=(work, confines, self._told, theirs), daemon=True)
        self._child.start()
        theirs.close()

    def __enter__(self) -> Confined:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.join()
        self._told.close()

    def result(self, progress: Callable[[float, float], None] = lambda _done, _total: None) -> dict[str, Any]:
        """Wait for what the work returns, which has to be JSON.

        Raises ItemError that the work raised, or extraction_timeout, archive_too_hungry and extraction_died.
        """
        try:
            return _listened(self._told, self._confines.seconds, progress)
        except EOFError:
            self._child.join()
            raise _died(self._child.exitcode or 0) from None


def _listened(told: Connection, seconds: float, progress: Callable[[float, float], None]) -> dict[str, Any]:
    """Pass progress on until the child says how it ended. Raises EOFError when it never does."""
    started, allowed = time.monotonic(), seconds
    while told.poll(max(0.0, started + allowed - time.monotonic())):
        said = json.loads(told.recv_bytes())
        if "error" in said:
            raise ItemError(**said["error"])
        if "bug" in said:
            raise RuntimeError(said["bug"])
        if "result" in said:
            result: dict[str, Any] = said["result"]
            return result
        done, total, files = said["progress"]
        progress(done, total)
        allowed = seconds + done / BYTES_PER_SECOND + files * SECONDS_PER_FILE
    raise ItemError(
        "extraction_timeout", f"Unpacking was given up after {allowed:.0f} s.",
        "If the archive is sound and the disk slow, raise STEP1_TIMEOUT_SEC.",
    )  # fmt: skip


def _died(exit_code: int) -> ItemError:
    if exit_code == -signal.SIGKILL:  # nobody else kills it: the kernel does when memory runs out
        return _too_hungry()
    return ItemError(
        "extraction_died", f"The program that unpacks the archive broke off (exit code {exit_code}).",
        "Unpack it yourself and give Derush the folder; please report the archive.",
    )  # fmt: skip


def _too_hungry() -> ItemError:
    return ItemError(
        "archive_too_hungry", "The archive asks for more memory than it may have.",
        "If it was packed with a huge dictionary on purpose, raise STEP1_MEMORY_GB; or have it packed anew.",
    )  # fmt: skip


def _child(work: Work, confines: Confines, ours: Connection, theirs: Connection) -> None:
    """What the child does: it says how far it is, and at its end one word of how it went."""
    die_with_parent()
    keep_freed_memory()
    ours.close()  # so that a parent that is gone is noticed
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _lower(resource.RLIMIT_FSIZE, max(confines.file, 1 << 30))
    _lower(resource.RLIMIT_AS, confines.memory)
    theirs.send_bytes(json.dumps(_said(work, theirs)).encode())


def _said(work: Work, told: Connection) -> dict[str, Any]:
    try:
        return {"result": work(_paced(told))}
    except ItemError as error:
        return {"error": error.record()}
    except MemoryError:
        return {"error": _too_hungry().record()}
    except OSError as failure:
        log.exception("Unpacking failed")
        return {"error": from_os_error(failure).record()}
    except Exception as failure:
        log.exception("Unpacking failed")
        return {"bug": repr(failure)}


def _paced(told: Connection) -> Progress:
    due = 0.0

    def progress(done: float, total: float, files: int) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + _INTERVAL
            told.send_bytes(json.dumps({"progress": [done, total, files]}).encode())

    return progress


def _lower(limit: int, value: int) -> None:
    """Set a limit, unless a stricter one is set already."""
    strictest = min(each for each in (*resource.getrlimit(limit), value) if each != resource.RLIM_INFINITY)
    with suppress(ValueError, OSError):  # some systems do not know all of them
        resource.setrlimit(limit, (strictest, strictest))
