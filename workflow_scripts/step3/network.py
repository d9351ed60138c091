"""TransNetV2 (Souček and Lokoč, 2020, https://arxiv.org/abs/2008.04838) ready to be asked: OpenVINO on the CPU, torch on CUDA.

Torch is imported only where it is needed: for CUDA, and where the network is not kept as OpenVINO reads it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import openvino

from workflow_scripts.step3.converted import Part, Parts, kept_file, kept_or_made
from workflow_scripts.step3.windows import (
    CONTEXT,
    HEIGHT,
    STRIDE,
    WIDTH,
    Middles,
    Pixels,
    Probabilities,
    batches,
    windows,
)
from workflow_scripts.stepkit import PrerequisiteMissing

_CUDA_BATCH = 8
"""Windows a call. On the CPU it is one: more are no faster (docs/performance.md)."""
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_WINDOW = [1, CONTEXT + STRIDE + CONTEXT, HEIGHT, WIDTH, 3]


class Network:
    """A loaded TransNetV2 on its device (`cpu` or `cuda`), computing in `precision` (`f32`, `bf16` or `f16`)."""

    def __init__(self, middles: Middles, device: str, precision: str, batch: int) -> None:
        self.device = device
        self.precision = precision
        self._batch = batch
        self._middles = middles

    def curves(self, frames: Iterable[bytes]) -> Iterator[tuple[Probabilities, Probabilities]]:
        """Yield the next probabilities (0 to 1) of the single-frame and the many-hot curve, as the frames come.

        `frames` are rgb24 images of 48x27, as bytes. A pair covers as many times 50 frames as a batch has windows; the
        last one reaches up to 49 frames beyond the video's end.
        """
        for batch in batches(windows(frames), self._batch):
            both = self._middles(batch).reshape(-1, 2)
            yield both[:, 0], both[:, 1]


def load(
    weights: Path, sha256: str, wanted: str, precision: str = "auto", batch: int | None = None
) -> Network:  # fmt: skip
    """Load the network from its file of weights, whose sha256 was verified; `wanted` is auto (CUDA where there is some), cpu or cuda.

    `precision` is f32, or auto, bf16 or f16: half precision where the device has instructions for it, f32 else; auto
    takes f16 on CUDA, and the CPU has bf16 alone. `batch` is how many windows go through a GPU at a time.
    Raises PrerequisiteMissing when CUDA is wanted and there is none.
    """
    has_cuda = wanted != "cpu" and _has_cuda()
    if wanted == "cuda" and not has_cuda:
        raise PrerequisiteMissing(
            "cuda_missing", "CUDA was asked for, and torch finds no CUDA device in this environment.",
            "Use --device auto or cpu, or build the environments with TORCH_VARIANT=cuda on a machine with an NVIDIA GPU.",
        )  # fmt: skip
    if has_cuda:
        from workflow_scripts.step3 import torch_network

        precision = "f16" if precision == "auto" else precision
        return Network(torch_network.on_cuda(weights, precision), "cuda", precision, batch or _CUDA_BATCH)
    precision = "f32" if precision == "f32" else _fast_precision()
    kept = kept_file(weights.parent, sha256)
    return Network(kept_or_made(kept, partial(_convert, weights), partial(_on_cpu, precision)), "cpu", precision, 1)


def _has_cuda() -> bool:
    """Ask torch, unless NVIDIA's driver is not there at all: then torch need not be imported to know."""
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _convert(weights: Path) -> Parts:
    from workflow_scripts.step3 import torch_network

    return torch_network.convert(weights)


def _on_cpu(precision: str, parts: Parts) -> Middles:
    """Compile the parts, only the middle in this precision. Raises RuntimeError or ValueError for what is not this network."""
    wanted = ("f32", precision, "f32")
    front, middle, end = (_compiled(part, exactness) for part, exactness in zip(parts, wanted, strict=True))
    if list(front.input(0).shape) != _WINDOW or list(end.output(0).shape) != [1, STRIDE, 2]:
        raise ValueError("it is another network")

    def middles(batch: Pixels) -> Probabilities:
        shortcut, first, colours = front([batch]).values()
        probabilities: Probabilities = end([first, colours, *middle([shortcut]).values()])[0]
        return probabilities

    return middles


def _compiled(part: Part, precision: str) -> openvino.CompiledModel:
    wanted = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # pinned, the workers of several steps would share some cores and leave others idle
    }  # fmt: skip
    core = openvino.Core()
    return core.compile_model(core.read_model(part.graph, part.constants), "CPU", wanted)


def _fast_precision() -> str:
    """Return bf16 where this CPU has instructions for it (AVX512_BF16, AMX), else f32."""
    return "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
