"""Which device the networks run on, and what is done when its memory is too small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from config.settings import Settings
from workflow_scripts.stepkit import PrerequisiteMissing

CPU = "cpu"
CUDA = "cuda"
BATCHES = {CPU: (8,), CUDA: (32, 8, 1)}
"""Windows of ten seconds at a time: at first, and after each time that memory did not do."""
Result = TypeVar("Result")


def choose_device(asked: str, settings: Settings) -> str:
    """Return cpu or cuda. Raises PrerequisiteMissing when cuda was asked for by name and is not there."""
    import torch

    if asked == CUDA and not torch.cuda.is_available():
        raise PrerequisiteMissing(
            "no_cuda", "--device cuda was asked for, and there is no CUDA.", "Leave --device out."
        )
    if asked == CPU or settings.audio_disable_gpu or settings.audio_profile == "cpu_only":
        return CPU
    return CUDA if torch.cuda.is_available() else CPU


def wants_amp(settings: Settings) -> bool:
    """Tell whether mixed precision is to be used on a GPU: AUDIO_PROFILE=gpu_no_amp rules it out."""
    return settings.audio_profile != "gpu_no_amp" and (
        settings.audio_enable_amp or settings.audio_profile == "gpu_optimized"
    )


def ladder(device: str) -> list[tuple[str, int]]:
    """Return the devices and batches to work with, from the fastest to the one that takes least memory of a GPU."""
    kinds = [device] if device == CPU else [device, CPU]
    return [(kind, batch) for kind in kinds for batch in BATCHES[kind]]


def within_memory(
    rungs: Sequence[tuple[str, int]], work: Callable[[str, int], Result], on_retreat: Callable[[str], None]
) -> Result:
    """Call `work` with a device and a batch; with the next pair each time that memory runs out.

    `on_retreat` is told in a sentence. Raises torch.OutOfMemoryError when the last pair is too much as well.
    """
    import torch

    for (device, batch), (less_device, less_batch) in pairwise(rungs):
        try:
            return work(device, batch)
        except torch.OutOfMemoryError:
            pass
        # Outside the handler: the exception would keep alive what the failed attempt holds.
        if device == CUDA:
            torch.cuda.empty_cache()
        on_retreat(f"{device} ran out of memory with a batch of {batch}; going on with {less_batch} on {less_device}.")
    return work(*rungs[-1])
