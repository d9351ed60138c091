"""Networks in OpenVINO on one thread of the CPU: the same numbers in every worker and, in 32-bit floats, on every machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workflow_scripts.step5.detections import Floats
from workflow_scripts.stepkit import PrerequisiteMissing

Network = Callable[[NDArray[np.generic]], dict[str, Floats]]
"""Answers an array with the outputs by name."""
_PLAIN = {
    "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # it would pin the thread of every worker to the same core
}  # fmt: skip


def read_onnx(name: str, path: Path) -> ov.Model:
    """Read a model of the catalogue. Raises PrerequisiteMissing for a file that holds none."""
    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        sentence = f"The model {name} ({path}) cannot be read: {str(error).splitlines()[-1]:.200}"
        raise PrerequisiteMissing("model_unusable", sentence, f"Run `derush models fetch {name}`.") from error


def picture_network(model: ov.Model, height: int, width: int) -> Network:
    """Compile a network whose input is one picture (1, 3, height, width) for pictures (height, width, 3) of bytes."""
    shaped = model.clone()
    shaped.reshape([1, 3, height, width])
    steps = ov.preprocess.PrePostProcessor(shaped)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    ask = compiled(steps.build())
    return lambda picture: ask(picture[None])


def quickest_precision() -> str:
    """Return bf16 where the processor computes in it by itself, twice as fast as in f32; else f32."""
    return "bf16" if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def compiled(model: ov.Model, precision: str = "f32") -> Network:
    """Compile a network of one input, to compute in f32 or bf16. What it answers is valid until it is asked again."""
    names = [output.any_name if output.names else str(place) for place, output in enumerate(model.outputs)]
    request = (
        ov.Core().compile_model(model, "CPU", {**_PLAIN, "INFERENCE_PRECISION_HINT": precision}).create_infer_request()
    )

    def ask(values: NDArray[np.generic]) -> dict[str, Floats]:
        answers = request.infer({0: values}, share_inputs=True, share_outputs=True)
        return {name: answers[place] for place, name in enumerate(names)}

    return ask
