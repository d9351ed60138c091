"""Small real networks with the inputs and outputs of InsightFace's and OpenSeeFace's: they find what is red, or bright."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import torch
from torch.nn import functional

_PROTO = "torch.onnx._internal.torchscript_exporter.onnx_proto_utils._add_onnxscript_fn"


class Scrfd(torch.nn.Module):
    """Sees a face of 2 by 2 strides around every cell of the middle grid (16) that is red; points 1 to 5 in its corners."""

    def __init__(self, anchors: int = 2) -> None:
        super().__init__()
        self.anchors = anchors

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores, boxes, points = [], [], []
        for stride in (8, 16, 32):
            mean = functional.avg_pool2d(picture, stride)
            red = (mean[:, 0] - mean[:, 1]).clamp(0, 1).reshape(-1, 1).repeat_interleave(self.anchors, 0)
            scores.append(red if stride == 16 else red * 0)
            boxes.append(red * 0 + torch.tensor([[1.0, 1.0, 1.0, 1.0]]))
            points.append(red * 0 + torch.tensor([[-0.5, -0.5, 0.5, -0.5, 0.0, 0.0, -0.5, 0.5, 0.5, 0.5]]))
        return (*scores, *boxes, *points)


class Points106(torch.nn.Module):
    """Says that point n lies n hundredths right of the middle."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        places = torch.stack([torch.arange(106) / 100, torch.zeros(106)], 1).reshape(1, 212)
        return places + picture.mean() * 0


class Recognition(torch.nn.Module):
    """Tells 512 numbers of a face: how bright the columns of its picture are."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        columns = picture.mean((1, 2))
        return functional.interpolate(columns[:, None], size=512)[:, 0]


class OpenSeeFaceDetector(torch.nn.Module):
    """Sees a face, reaching an eighth of the frame, in the middle of what is bright."""

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        smooth = functional.avg_pool2d(picture.mean(1, keepdim=True), 4) * 0.6
        for _ in range(3):  # a hill with one top
            smooth = functional.avg_pool2d(smooth, 5, 1, 2)
        smooth = smooth.clamp(0, 2) / 2
        reach = smooth * 0 + 0.25
        return torch.cat([smooth, reach], 1), torch.cat([functional.max_pool2d(smooth, 3, 1, 1), reach], 1)


class OpenSeeFacePoints(torch.nn.Module):
    """Says that every point is in the cell (row 7, column 21) of 28, half a percent further right."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        where = torch.zeros(66, 28, 28)
        where[:, 7, 21] = 1.0
        right = torch.full((66, 28, 28), 1 / (1 + 2.718281828 ** (-16 * 0.005)))
        return torch.cat([where, right * 0 + 0.5, right])[None] + picture.mean() * 0


def save(network: torch.nn.Module, side: int, path: Path) -> None:
    """Write a network as ONNX, for pictures of `side` pixels."""
    # It would look for ONNX script in these networks by a package that is not there; the way that needs none is called old.
    with patch(_PROTO, lambda content, _: content), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(network.eval(), (torch.zeros(1, 3, side, side),), str(path), dynamo=False, opset_version=17)


def save_yolo(weights: Path, task: str = "detect", likely: float = -2.0, sure: float = 6.0) -> None:
    """Write the smallest YOLO network, untrained, as ultralytics does; it sees something in every picture.

    What it sees means nothing, but differs from place to place, so that its boxes can be told apart. `likely` is the logit
    around which its scores lie: at -10,000 it sees nothing at all. `sure` is how far they spread around it: from about 1 on
    most scores are exactly 0 or 1, at 0.02 each is another.
    """
    import_module("workflow_scripts.step5.engines.yolo")  # its switches come before ultralytics
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel, PoseModel

    torch.manual_seed(3)
    kind, text = (PoseModel, "yolo11n-pose.yaml") if task == "pose" else (DetectionModel, "yolo11n.yaml")
    model = kind(text, nc=3, verbose=False)
    model.args, model.task, model.names = get_cfg(), task, {0: "red", 1: "green", 2: "blue"}
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # one look at noise gives every layer outputs of about 1
    with torch.no_grad():
        model.train()(functional.interpolate(torch.rand(2, 3, 20, 20), size=(160, 160), mode="bilinear"))
        for head in model.model[-1].cv3:
            head[-1].weight *= sure
            head[-1].bias.fill_(likely)
    for norm in norms:
        norm.momentum = 0.03
    torch.save({"model": model.eval().half(), "train_args": {}}, weights)
