"""Named pools: how many tasks of a kind may be at work at a time, and what each task takes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import lru_cache

from config.catalog import POOLS, StepSpec
from config.settings import Settings

Amounts = Mapping[str, int]
COMMAND_TAKES: Amounts = {"cpu": 1}
"""What a plan's command takes: it says nothing about itself."""


class Pools:
    """What is free of each pool. Only one thread takes and gives back."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self._free = dict(sizes)

    def has_room(self, amounts: Amounts) -> bool:
        """Tell whether a task that takes this much may begin. One that takes more than there is may when all is free."""
        return all(self._free[pool] >= min(amount, self.sizes[pool]) for pool, amount in amounts.items())

    def take(self, amounts: Amounts) -> None:
        """Take it; ask `has_room` before."""
        for pool, amount in amounts.items():
            self._free[pool] -= min(amount, self.sizes[pool])

    def give_back(self, amounts: Amounts) -> None:
        """Give back what was taken."""
        for pool, amount in amounts.items():
            self._free[pool] += min(amount, self.sizes[pool])


def pools_of(settings: Settings) -> Pools:
    """Return the pools of this machine, as the settings size them."""
    sizes = {
        "cpu": settings.pool_cpu or os.cpu_count() or 1,
        "gpu": gpu_count() if settings.pool_gpu is None else settings.pool_gpu,
        "disk": settings.pool_disk,
        "api": settings.pool_api,
    }
    assert set(sizes) == set(POOLS)
    return Pools(sizes)


@lru_cache(maxsize=1)
def gpu_count() -> int:
    """Return how many NVIDIA GPUs the driver shows; 0 where there is none."""
    try:
        ended = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return ended.stdout.count("GPU ") if ended.returncode == 0 else 0


def share_of_cores(size: int, waiting: int, workers: int) -> int | None:
    """Return how many cores an item of `size` bytes is to use, while `waiting` bytes of its kind come after it.

    Threads that share a core cost more than they bring, so where what waits keeps a step's other workers busy for as
    long as the item takes, it gets its part of the cores. What would end alone is not held to any number: None.
    """
    beside = min(workers, 1 + waiting // max(1, size))
    return None if beside < 2 else max(1, (os.cpu_count() or 1) // beside)


def takes(spec: StepSpec, settings: Settings, device: str, gpus: int) -> Amounts:
    """Return what a task of a step takes, by the way it will work under these settings.

    `device` is what the run asked for (auto, cpu, cuda), `gpus` the size of that pool.
    """
    way = "cpu"
    if "api" in spec.takes and settings.step4_use_lemonfox and settings.lemonfox_api_key:
        way = "api"
    elif "gpu" in spec.takes and gpus and device != "cpu" and _may_use_gpu(spec.id, settings):
        way = "gpu"
    return spec.takes[way]


def _may_use_gpu(step_id: str, settings: Settings) -> bool:
    if step_id == "STEP4":
        return not settings.audio_disable_gpu and settings.audio_profile != "cpu_only"
    if step_id == "STEP5":
        return settings.step5_enable_gpu and not settings.tracking_disable_gpu
    return True
