"""The file of tuning: what it says is obeyed, what it cannot say is refused by name."""

from __future__ import annotations

import json

import pytest

from workflow_scripts.step3.tuning import Tuning, read_tuning
from workflow_scripts.stepkit.errors import UsageError


def written(tmp_path, said):
    path = tmp_path / "step3_transnet.json"
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    return path


def test_no_file_says_nothing(tmp_path):
    assert read_tuning(tmp_path / "none.json") == Tuning()


def test_a_file_of_an_older_installation_is_read(tmp_path):
    said = {
        "threshold": 0.4, "window": 100, "stride": 50, "padding": 25, "device": "cpu", "ffmpeg_threads": 2,
        "mixed_precision": True, "amp_dtype": "float16", "num_workers": 1, "torchscript": False, "warmup": True,
        "warmup_batches": 2, "torchscript_auto_fallback": True, "batch_size": 4,
    }  # fmt: skip
    assert read_tuning(written(tmp_path, said)) == Tuning(0.4, None, "cpu", "f16", 2, 4)


@pytest.mark.parametrize(
    ("said", "precision"),
    [({}, "auto"), ({"mixed_precision": True}, "auto"), ({"mixed_precision": False, "amp_dtype": "bfloat16"}, "f32"),
     ({"amp_dtype": "bfloat16"}, "bf16")],
)  # fmt: skip
def test_mixed_precision_decides_what_is_computed_in(tmp_path, said, precision):
    assert read_tuning(written(tmp_path, said)).precision == precision


@pytest.mark.parametrize(
    "said",
    [
        "no json", "[]", {"threshold": 2}, {"threshold": True}, {"threshold": "0.5"}, {"window": 200}, {"stride": 25},
        {"device": "tpu"}, {"mixed_precision": 1}, {"batch_size": 0}, {"thresold": 0.5}, '{"threshold": NaN}',
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, said):
    with pytest.raises(UsageError) as refused:
        read_tuning(written(tmp_path, said))
    assert "step3_transnet.json" in refused.value.message and refused.value.remedy
