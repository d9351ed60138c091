"""The CAM++ speaker network, in the layer names of the published checkpoint.

Source: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023 (arXiv:2303.00332); checkpoint ``campplus_cn_en_common`` of 3D-Speaker (Apache-2.0).
Attribute names follow that checkpoint, so that its state dictionary loads strictly.

Importing this module imports torch: only the loader of the offline engine does it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 80  # Kaldi filterbank bins
DIMENSION = 192
_SEGMENT = 100  # frames of one local context in the masking layer, as in the paper: 2 s behind the stride of 2
_BLOCKS = ((12, 1), (24, 2), (16, 2))  # (layers, dilation) of the three dense blocks
_GROWTH = 32
_BOTTLENECK = 128


def _normalised(channels: int, affine: bool = True, relu: bool = True) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(batchnorm=nn.BatchNorm1d(channels, affine=affine))
    if relu:
        layers["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


class _Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut; the stride is along frequency only."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            projection = nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


class _Head(nn.Module):
    """The 2-D front end: (batch, 80, frames) to (batch, 320, frames)."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(_Residual(channels, 2), _Residual(channels, 1))
        self.layer2 = nn.Sequential(_Residual(channels, 2), _Residual(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x.unsqueeze(1))))
        x = self.layer2(self.layer1(x))
        return functional.relu(self.bn2(self.conv2(x))).flatten(1, 2)


class _ContextMask(nn.Module):
    """A dilated convolution whose output is masked by its global and local context."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(_BOTTLENECK, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(_BOTTLENECK, _BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(_BOTTLENECK // 2, _GROWTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        local = functional.avg_pool1d(x, _SEGMENT, stride=_SEGMENT, ceil_mode=True)
        context = x.mean(-1, keepdim=True) + local.repeat_interleave(_SEGMENT, dim=-1)[..., : x.shape[-1]]
        mask = torch.sigmoid(self.linear2(functional.relu(self.linear1(context))))
        return self.linear_local(x) * mask


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _normalised(channels)
        self.linear1 = nn.Conv1d(channels, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _normalised(_BOTTLENECK)
        self.cam_layer = _ContextMask(dilation)

    def forward(self, x: Tensor) -> Tensor:
        grown = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return torch.cat([x, grown], dim=1)


class _Unit(nn.Module):
    """A convolution with normalisation after it, as ``linear`` and ``nonlinear``."""

    def __init__(self, convolution: nn.Conv1d, nonlinear: nn.Sequential) -> None:
        super().__init__()
        self.linear = convolution
        self.nonlinear = nonlinear

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinear(self.linear(x))


class _Transit(_Unit):
    """Normalisation first, then a convolution that halves the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.nonlinear(x))


class _Statistics(nn.Module):
    """(batch, channels, frames) to the mean and standard deviation over frames, (batch, 2 x channels, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(-1), x.std(-1)], dim=-1).unsqueeze(-1)


def _trunk(channels: int) -> nn.Sequential:
    """Everything behind the head, which gives ``channels`` channels."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["tdnn"] = _Unit(nn.Conv1d(channels, 128, 5, stride=2, padding=2, bias=False), _normalised(128))
    channels = 128
    for number, (depth, dilation) in enumerate(_BLOCKS, start=1):
        widths = [channels + index * _GROWTH for index in range(depth + 1)]
        dense = {f"tdnnd{index}": _DenseLayer(width, dilation) for index, (width, _) in enumerate(pairwise(widths), 1)}
        layers[f"block{number}"] = nn.Sequential(OrderedDict(dense))
        channels = widths[-1] // 2
        layers[f"transit{number}"] = _Transit(nn.Conv1d(widths[-1], channels, 1, bias=False), _normalised(widths[-1]))
    layers["out_nonlinear"] = _normalised(channels)
    layers["stats"] = _Statistics()
    final = _normalised(DIMENSION, affine=False, relu=False)
    layers["dense"] = _Unit(nn.Conv1d(channels * 2, DIMENSION, 1, bias=False), final)
    return nn.Sequential(layers)


class CamPlusPlus(nn.Module):
    """Maps mean-normalised log filterbanks (batch, frames, 80) to speaker embeddings (batch, 192).

    At least 3 frames are needed (the statistics are taken over half as many); cosine compares embeddings.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = _Head()
        self.xvector = _trunk(FEATURES // 8 * 32)

    def forward(self, features: Tensor) -> Tensor:
        """Return embeddings, (batch, 192), of log filterbanks, (batch, frames of 10 ms, 80)."""
        return self.xvector(self.head(features.transpose(1, 2))).squeeze(-1)
