"""Networks in ONNX Runtime, on one thread of the CPU or on a CUDA device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Floats
from workflow_scripts.step5.engines import OutOfMemory
from workflow_scripts.stepkit import PrerequisiteMissing

_QUIET = 3
_CUDA = "CUDAExecutionProvider"


class Session:
    """One network. `inputs` and `outputs` are (name, shape) in the model's order; a free dimension is a word or None."""

    def __init__(self, path: Path, device: str, remedy: str) -> None:
        self._path, self._remedy, self._device = path, remedy, device
        self._session = self._opened(device)
        self.inputs = [(value.name, value.shape) for value in self._session.get_inputs()]
        self.outputs = [(value.name, value.shape) for value in self._session.get_outputs()]

    def to_cpu(self) -> bool:
        """Go on without the GPU; False where it is on the CPU already."""
        if self._device == "cpu":
            return False
        self._device, self._session = "cpu", self._opened("cpu")
        return True

    def _opened(self, device: str) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        try:
            return ort.InferenceSession(str(self._path), options, providers=_providers(device))
        except PrerequisiteMissing:
            raise
        except Exception as error:  # its own classes of errors have no common one but this
            sentence = f"The model {self._path} cannot be used: {str(error).splitlines()[0]:.200}"
            raise PrerequisiteMissing("model_unusable", sentence, self._remedy) from error

    def __call__(self, values: NDArray[np.generic]) -> list[Floats]:
        """Return the outputs for the first input. Raises OutOfMemory when the device has no room for them."""
        try:
            answers: list[Floats] = self._session.run(None, {self.inputs[0][0]: values})
        except Exception as error:
            if "out of memory" in str(error).lower() or "failed to allocate" in str(error).lower():
                raise OutOfMemory(str(error)) from error
            raise
        return answers


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    """Return what the runtime is to run on. Raises PrerequisiteMissing for CUDA in a build without."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if _CUDA not in ort.get_available_providers():
        raise PrerequisiteMissing(
            "cuda_missing", "The ONNX Runtime of this environment has no CUDA.",
            "Install onnxruntime-gpu in tracking_env in the place of onnxruntime, or take the engine out of STEP5_GPU_ENGINES.",
        )  # fmt: skip
    return [(_CUDA, {"device_id": device.partition(":")[2] or "0"}), "CPUExecutionProvider"]
