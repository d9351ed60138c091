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
BEAM = 5
"""Hypotheses that Whisper follows: its own default."""
_FULL = ("out of memory", "ALLOC_FAILED")
"""What torch, CTranslate2 and cuBLAS say, in errors of different kinds."""
Rung = TypeVar("Rung", bound=tuple[object, ...])
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


def whisper_ladder(device: str, compute_type: str) -> list[tuple[str, str, int]]:
    """Return the devices, kinds of numbers and beams to transcribe with, likewise."""
    on_cpu = (CPU, "int8", BEAM)
    if device == CPU:
        return [on_cpu]
    return [(device, compute_type, BEAM), (device, compute_type, 1), (device, "int8", 1), on_cpu]


def within_memory(rungs: Sequence[Rung], work: Callable[..., Result], on_retreat: Callable[[str], None]) -> Result:
    """Call `work` with the parts of a rung, a device first; with the next rung each time that memory runs out.

    `on_retreat` is told in a sentence. Raises what `work` raised when the last rung is too much as well.
    """
    import torch

    for rung, less in pairwise(rungs):
        try:
            return work(*rung)
        except (RuntimeError, MemoryError) as error:
            if not _is_full(error):
                raise
        # Outside the handler: the exception would keep alive what the failed attempt holds.
        if rung[0] == CUDA:
            torch.cuda.empty_cache()
        on_retreat(f"{_told(rung)} ran out of memory; going on with {_told(less)}.")
    return work(*rungs[-1])


def _is_full(error: Exception) -> bool:
    import torch

    full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return full or any(sign.lower() in str(error).lower() for sign in _FULL)


def _told(rung: tuple[object, ...]) -> str:
    return f"{rung[0]} ({', '.join(map(str, rung[1:]))})"
