"""Which process is meant, for certain: a process id alone is given to another process sooner or later.

An identity is a host (with the boot and the namespace that process ids count in), a process id, and when the process
began in the kernel's own count, which no change of the clock moves.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

RUN_VARIABLE = "DERUSH_RUN"
"""Environment variable that all processes of a run carry: with it, what a dead worker started is still found."""


@lru_cache(maxsize=1)
def host() -> str:
    """Return the name of the place that process ids of this process count in: host, boot, namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id") or str(int(psutil.boot_time()))
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {boot.strip()} {namespace}".strip()


def identity(pid: int | None = None) -> dict[str, Any]:
    """Return the identity of a process (by default this one), as the store keeps it."""
    number = os.getpid() if pid is None else pid
    return {"host": host(), "pid": number, "started": _started(number)}


def is_alive(known: Mapping[str, Any]) -> bool | None:
    """Tell whether a process is still there; None where this one cannot see it: on another machine, in a container.

    What ran here before the last boot is dead.
    """
    if known.get("host") != host():
        name, _, place = str(known.get("host", "")).partition(" ")
        same_boot = place.split(" ")[0] == host().split(" ")[1]
        return False if name == socket.gethostname() and not same_boot else None
    pid = int(known["pid"])
    return _started(pid) == known["started"] and not _is_zombie(pid)


def end_group(known: Mapping[str, Any], run_id: str, grace: float = 5.0) -> None:
    """End the process group that a process led, if it is there: TERM, then KILL.

    Only members that carry the run's variable are touched: the group's number may be another's by now.
    """
    if known.get("host") != host():
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        members = list(_members(int(known["pid"]), run_id))
        for process in members:
            with suppress(psutil.Error):
                process.send_signal(number)
        psutil.wait_procs(members, timeout=grace)


def _members(group: int, run_id: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.environ().get(RUN_VARIABLE) == run_id:
                yield process


def _started(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks since boot; None when there is none."""
    if status := _read(f"/proc/{pid}/stat"):
        return status.rpartition(")")[2].split()[19]
    with suppress(psutil.Error):
        return f"{psutil.Process(pid).create_time():.2f}"
    return None


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
