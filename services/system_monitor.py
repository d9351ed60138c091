"""The machine: processor, memory, GPUs and disks, looked at by one thread for everybody who asks."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import pynvml

from config.settings import Settings
from services.executions import utc_now
from services.room import nearest_existing

SAMPLE_SECONDS = 2.0
"""Between two looks; the processor's load is the mean over this time."""
IDLE_SECONDS = 30.0
"""When nobody has asked for this long, the looking stops."""
_FIRST_SAMPLE_SECONDS = 0.1
_STALE_SECONDS = 10.0
_PATIENCE_SECONDS = 2.0
_WATCHED = frozenset({"CACHE_ROOT_DIR", "ARCHIVES_DIR"})


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU: how busy it is (0 to 100), its memory in bytes, its temperature in °C; None what it does not tell."""

    index: int
    name: str
    utilisation: int | None
    memory_used: int | None
    memory_total: int | None
    temperature: int | None


@dataclass(frozen=True)
class Disk:
    """A file system that holds places of the settings (`places`, by their names), `path` being the first of them.

    `free` and `total` are bytes. `is_low`: it holds CACHE_ROOT_DIR or ARCHIVES_DIR, and less than DISK_WARNING_GB is
    free. `is_missing`: the place is not there (a disk that is not mounted) or does not tell.
    """

    places: tuple[str, ...]
    path: Path
    free: int
    total: int
    is_low: bool
    is_missing: bool = False

    @property
    def used_fraction(self) -> float:
        """How full it is, from 0 to 1."""
        return 1 - self.free / self.total if self.total else 0.0


@dataclass(frozen=True)
class Machine:
    """The machine as it was at `at` (UTC, ISO 8601).

    `cpu_percent` is of all `cores` together, 0 to 100; `load` is the mean length of the run queue over 1, 5 and 15
    minutes; `memory_used` and `memory_total` are bytes. `gpus` and `disks` are empty where none answers in time.
    """

    at: str
    cores: int
    cpu_percent: float
    load: tuple[float, float, float]
    memory_used: int
    memory_total: int
    gpus: tuple[Gpu, ...]
    disks: tuple[Disk, ...]


def machine(settings: Settings) -> Machine:
    """Return the machine as it was at most a few seconds ago. The first to ask waits a moment; never longer than 2 s."""
    return _monitor(settings).machine()


@lru_cache(maxsize=8)
def _monitor(settings: Settings) -> Monitor:
    return Monitor(settings)


class Monitor:
    """Looks at the machine every SAMPLE_SECONDS, as long as somebody asks."""

    def __init__(self, settings: Settings, idle_seconds: float = IDLE_SECONDS) -> None:
        self._settings = settings
        self._idle_seconds = idle_seconds
        self._news = threading.Condition()
        self._latest: Machine | None = None
        self._made = self._asked = self._began = -_STALE_SECONDS
        self._thread: threading.Thread | None = None

    def machine(self) -> Machine:
        """Return the last look, or what can be said at once while a disk or a driver does not answer."""
        with self._news:
            self._asked = time.monotonic()
            if self._thread is None:
                self._began = self._asked
                self._thread = threading.Thread(target=self._watch, name="system monitor", daemon=True)
                self._thread.start()
            self._news.wait_for(self._is_fresh, max(0.0, self._began + _PATIENCE_SECONDS - self._asked))
            if self._latest and self._is_fresh():
                return self._latest
        return _look(psutil.cpu_percent(_FIRST_SAMPLE_SECONDS), (), ())

    @property
    def is_looking(self) -> bool:
        """Whether the thread is at work."""
        return self._thread is not None

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._made < _STALE_SECONDS

    def _watch(self) -> None:
        seconds = _FIRST_SAMPLE_SECONDS
        try:
            with _nvml():
                while self._goes_on():
                    look = _look(psutil.cpu_percent(seconds), gpus(), disks(self._settings))
                    self._publish(look)
                    seconds = SAMPLE_SECONDS
        finally:
            with self._news:
                if self._thread is threading.current_thread():  # it ended by a mistake: the next to ask begins anew
                    self._thread = None

    def _goes_on(self) -> bool:
        """Tell whether somebody still asks; else the next to ask starts another thread."""
        with self._news:
            is_idle = time.monotonic() - self._asked > self._idle_seconds
            if is_idle:
                self._thread = None
            return not is_idle

    def _publish(self, look: Machine) -> None:
        with self._news:
            self._latest, self._made = look, time.monotonic()
            self._news.notify_all()


def _look(cpu_percent: float, gpus: tuple[Gpu, ...], disks: tuple[Disk, ...]) -> Machine:
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    return Machine(utc_now(), os.cpu_count() or 1, cpu_percent, psutil.getloadavg(), used, memory.total, gpus, disks)


@contextmanager
def _nvml() -> Iterator[None]:
    """Open NVIDIA's library for as long as the machine is looked at; without it there are no GPUs."""
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
    try:
        yield
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that NVML shows; none without its library, its driver or `nvmlInit`."""
    found = (_gpu(index) for index in range(_ask(pynvml.nvmlDeviceGetCount) or 0))
    return tuple(gpu for gpu in found if gpu)


def _gpu(index: int) -> Gpu | None:
    """Ask one GPU; None when it is lost. A part of a GPU (MIG) has no utilisation, some boards have no sensor."""
    handle = _ask(pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return None
    rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    temperature = _ask(pynvml.nvmlDeviceGetTemperatureV, handle, pynvml.NVML_TEMPERATURE_GPU)
    if temperature is None:  # a driver from before 2025
        temperature = _ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
    return Gpu(
        index=index,
        name=str(_ask(pynvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"),
        utilisation=None if rates is None else int(rates.gpu),
        memory_used=None if memory is None else int(memory.used),
        memory_total=None if memory is None else int(memory.total),
        temperature=temperature,
    )


def _ask(read: Callable[..., Any], *arguments: object) -> Any:
    """Return what NVML says, None where it does not."""
    try:
        return read(*arguments)
    except pynvml.NVMLError:
        return None


def disks(settings: Settings) -> tuple[Disk, ...]:
    """Return the file systems of the places that Derush writes to, each once. A disk that hangs keeps the caller waiting."""
    places = {
        "CACHE_ROOT_DIR": settings.cache_root, "PROJECTS_DIR": settings.projects_dir, "OUTPUT_DIR": settings.output_dir,
        "ARCHIVES_DIR": settings.archives_dir, "DATA_DIR": settings.data_dir,
    }  # fmt: skip
    missing: list[Disk] = []
    systems: dict[int, dict[str, Path]] = {}
    for name, path in places.items():
        device = _device(name, path)
        if device is None:
            missing.append(Disk((name,), path, free=0, total=0, is_low=False, is_missing=True))
        else:
            systems.setdefault(device, {})[name] = path
    return (*missing, *(_disk(held, settings.disk_warning_gb) for held in systems.values()))


def _device(name: str, path: Path) -> int | None:
    """Return the number of the file system that a path is or will be on; None when it cannot be told."""
    try:
        # Below the mount point of a disk that is not mounted stands another disk: that one is not meant.
        if name == "CACHE_ROOT_DIR" and not path.is_dir():
            return None
        return nearest_existing(path).stat().st_dev
    except OSError:
        return None


def _disk(held: dict[str, Path], warning_gb: float) -> Disk:
    places, first = tuple(held), next(iter(held.values()))
    try:
        usage = shutil.disk_usage(nearest_existing(first))
    except OSError:
        return Disk(places, first, free=0, total=0, is_low=False, is_missing=True)
    is_low = usage.free < warning_gb * 1e9 and not _WATCHED.isdisjoint(places)
    return Disk(places, first, usage.free, usage.total, is_low)
