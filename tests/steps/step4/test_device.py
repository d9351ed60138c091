"""What is done when memory runs out, and which languages are known by name."""

from __future__ import annotations

import pytest

from workflow_scripts.step4.device import ladder, whisper_ladder, within_memory
from workflow_scripts.step4.languages import NAMES, language_code


def test_whisper_goes_down_to_less_and_says_so() -> None:
    tried: list[tuple[str, str, int]] = []
    said: list[str] = []

    def work(device: str, compute_type: str, beam: int) -> str:
        tried.append((device, compute_type, beam))
        if device == "cuda":  # as CTranslate2 and cuBLAS say it: in errors of no kind of their own
            full = "CUDA failed with error out of memory", "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"
            raise RuntimeError(full[len(tried) % 2])
        return "said"

    rungs = whisper_ladder("cuda", "float16")
    assert within_memory(rungs, work, said.append) == "said"
    assert tried == [("cuda", "float16", 5), ("cuda", "float16", 1), ("cuda", "int8", 1), ("cpu", "int8", 5)]
    assert said[0] == "cuda (float16, 5) ran out of memory; going on with cuda (float16, 1)." and len(said) == 3


def test_on_a_processor_there_is_nowhere_to_go() -> None:
    assert whisper_ladder("cpu", "int8") == [("cpu", "int8", 5)] and ladder("cpu") == [("cpu", 8)]


def test_other_errors_are_not_tried_again() -> None:
    tried: list[str] = []

    def work(device: str, _batch: int) -> None:
        tried.append(device)
        raise RuntimeError("the model is damaged")

    with pytest.raises(RuntimeError, match="damaged"):
        within_memory([("cuda", 8), ("cpu", 8)], work, tried.append)
    assert tried == ["cuda"]


def test_every_language_that_whisper_knows_has_a_name() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert NAMES.keys() == set(_LANGUAGE_CODES)
    assert all(language_code(name) == code == language_code(code.upper()) for code, name in NAMES.items())


@pytest.mark.parametrize(
    ("told", "code"),
    [("French", "fr"), (" Haitian  Creole ", "ht"), ("mandarin", "zh"), ("klingon", None), (None, None)],
)
def test_languages_are_known_by_name_and_code(told: str | None, code: str | None) -> None:
    assert language_code(told) == code
