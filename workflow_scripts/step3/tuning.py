"""`config/step3_transnet.json`: how STEP3 works, for those who have tuned it; it need not be there.

A value on the command line wins over the file, the file over the settings.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.stepkit.errors import UsageError

log = logging.getLogger(__name__)

_NO_EFFECT = ("num_workers", "torchscript", "torchscript_auto_fallback", "warmup", "warmup_batches")
"""Known from older installations. How many videos go at a time is POOL_CPU's business, the runtime is chosen here."""
_PRECISIONS = {"float16": "f16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Tuning:
    """What the file says; None or `auto` where it says nothing."""

    threshold: float | None = None
    min_scene_frames: int | None = None
    device: str = "auto"
    precision: str = "auto"
    ffmpeg_threads: int = 0
    batch_size: int | None = None


def _is_number(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _is_whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is it or (value == it and isinstance(it, str)) for it in values)


def _is_exactly(only: int) -> Callable[[Any], bool]:
    return _is_whole(only, only)


_ACCEPTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "threshold": (_is_number(0, 1), "a number from 0 to 1"),
    "min_scene_frames": (_is_whole(1, 10_000), "a whole number from 1 to 10000"),
    "device": (_is_one_of("auto", "cpu", "cuda"), "auto, cpu or cuda"),
    "mixed_precision": (_is_one_of(True, False), "true or false"),
    "amp_dtype": (_is_one_of("float16", "bfloat16"), "float16 or bfloat16"),
    "ffmpeg_threads": (_is_whole(0, 64), "a whole number from 0 to 64"),
    "batch_size": (_is_whole(1, 64), "a whole number from 1 to 64"),
    "window": (_is_exactly(100), "100 alone, as the network was trained"),
    "stride": (_is_exactly(50), "50 alone, as the network was trained"),
    "padding": (_is_exactly(25), "25 alone, as the network was trained"),
}


def is_accepted(key: str, value: Any) -> bool:
    """Tell whether a known key can have this value."""
    return _ACCEPTED[key][0](value)


def read_tuning(path: Path) -> Tuning:
    """Read the file; an absent one says nothing. Raises UsageError for one that cannot be read, and for wrong values."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Tuning()
    except (OSError, ValueError) as error:
        raise UsageError("wrong_tuning", f"{path} cannot be read ({error}).", "Mend it, or remove it.") from None
    if not isinstance(said, dict):
        raise UsageError("wrong_tuning", f"{path} is no JSON object.", "Mend it, or remove it.")
    for key, value in said.items():
        _check(path, key, value)
    return Tuning(
        said.get("threshold"), said.get("min_scene_frames"), said.get("device", "auto"), _precision(said),
        said.get("ffmpeg_threads", 0), said.get("batch_size"),
    )  # fmt: skip


def _check(path: Path, key: str, value: Any) -> None:
    if key in _NO_EFFECT:
        log.info("%s: %s has no effect any more", path.name, key)
        return
    if key not in _ACCEPTED:
        raise UsageError("wrong_tuning", f"{path.name} has no key {key}.", f"Known: {', '.join(_ACCEPTED)}.")
    if not is_accepted(key, value):
        raise UsageError("wrong_tuning", f"{path.name}: {key} is {value!r:.100}.", f"Accepted: {_ACCEPTED[key][1]}.")


def _precision(said: Mapping[str, Any]) -> str:
    """Return what `mixed_precision` and `amp_dtype` come to: auto where neither is there."""
    if said.get("mixed_precision") is False:
        return "f32"
    return _PRECISIONS[said["amp_dtype"]] if "amp_dtype" in said else "auto"
