"""Which engine runs, and where: decided from the settings and what this machine has, before any work."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from config.settings import Settings
from workflow_scripts.step5.engines import ENGINES, EngineSpec
from workflow_scripts.stepkit import PrerequisiteMissing, UsageError, prerequisites

AUTO = "auto"
log = logging.getLogger(__name__)


def check_gpu_settings(settings: Settings, device: str) -> None:
    """Raise UsageError when the settings and the command line contradict each other about the GPU."""
    if settings.tracking_disable_gpu and settings.step5_enable_gpu:
        raise UsageError(
            "gpu_contradiction", "TRACKING_DISABLE_GPU=true and STEP5_ENABLE_GPU=true contradict each other.",
            "Set one of the two to false.",
        )  # fmt: skip
    if settings.tracking_disable_gpu and device == "cuda":
        raise UsageError(
            "gpu_contradiction", "TRACKING_DISABLE_GPU=true and --device cuda contradict each other.",
            "Set TRACKING_DISABLE_GPU=false, or leave --device out.",
        )  # fmt: skip
    if settings.step5_enable_gpu:
        _check_gpu_engines(settings.step5_gpu_engines)


def _check_gpu_engines(names: tuple[str, ...]) -> None:
    """Raise UsageError unless the engines that are to use the GPU exist and can."""
    unable = [name for name in names if name not in ENGINES or not ENGINES[name].on_gpu]
    if not names or unable:
        listed = f"lists {', '.join(unable)}, which cannot use it" if unable else "lists no engine"
        able = ", ".join(name for name, spec in ENGINES.items() if spec.on_gpu) or "none in this version"
        raise UsageError(
            "gpu_engines", f"STEP5_ENABLE_GPU=true asks for the GPU, and STEP5_GPU_ENGINES {listed}.",
            f"Engines with a GPU path: {able}. List only these, or set STEP5_ENABLE_GPU=false.",
        )  # fmt: skip


def choose_engine(name: str, settings: Settings, device: str) -> EngineSpec:
    """Return the engine that `name` means; `auto` is the best that this machine and its models allow.

    Raises UsageError for an unknown engine, or one that cannot run on `device`; PrerequisiteMissing when what it needs is
    not there: a named engine is never replaced by another.
    """
    if name == AUTO:
        spec = _best(settings)
    elif name in ENGINES:
        spec = ENGINES[name]
        if missing := missing_for(spec, settings):
            raise missing
    else:
        accepted = ", ".join((AUTO, *ENGINES))
        raise UsageError("unknown_engine", f"There is no tracking engine {name!r}.", f"Accepted: {accepted}.")
    if device == "cuda" and not spec.on_gpu:
        sentence = f"The tracking engine {spec.name} runs on the CPU only, and --device cuda was asked for."
        raise UsageError("no_gpu_path", sentence, "Leave --device out.")
    return spec


def _best(settings: Settings) -> EngineSpec:
    passed_over = []
    for spec in ENGINES.values():
        missing = missing_for(spec, settings)
        if missing is None:
            return spec
        passed_over.append(missing)
    raise passed_over[-1]  # that of the engine that needs least


def missing_for(spec: EngineSpec, settings: Settings) -> PrerequisiteMissing | None:
    """Return the first thing an engine needs and has not, or None."""
    return next(_missing(spec, settings), None)


def _missing(spec: EngineSpec, settings: Settings) -> Iterator[PrerequisiteMissing]:
    checks = [*map(prerequisites.module, spec.modules), *map(prerequisites.model, spec.models)]
    return (missing for check in checks if (missing := check(settings)))


def announce(chosen: EngineSpec, asked: str, settings: Settings) -> None:
    """Say in the log which engine runs and, for `auto`, which better one could not and why."""
    for spec in ENGINES.values() if asked == AUTO else ():
        if spec is chosen:
            break
        missing = missing_for(spec, settings)
        log.warning("auto passes over the engine %s: %s", spec.name, missing)
    why = "the best that can run here" if asked == AUTO else "as asked"
    log.info("Tracking engine: %s (%s), %s, on the CPU", chosen.name, why, chosen.about)
