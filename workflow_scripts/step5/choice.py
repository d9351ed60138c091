"""Which engines run, and where: decided from the settings and what this machine has, before any work."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from config.settings import Settings
from workflow_scripts.step5.engines import AUTOMATIC, ENGINES, JOIN, OBJECTS, Engine, EngineSpec, ModelPath
from workflow_scripts.stepkit import PrerequisiteMissing, UsageError, prerequisites

AUTO = "auto"
_WORKER_GB = 1.0
"""Memory of a worker with torch in it, and of its decoder, in GB."""
_GIVEN = {
    "step5_yolo_weights": "Name a weights file, such as ultralytics' yolo11n.pt (AGPL-3.0, "
    "https://github.com/ultralytics/assets/releases), in STEP5_YOLO_WEIGHTS, or put yolo11n.pt into MODELS_DIR.",
    "step5_insightface_models": "Set STEP5_INSIGHTFACE_MODELS to a folder with an SCRFD model, such as det_10g.onnx.",
    "step5_openseeface_models": "Set STEP5_OPENSEEFACE_MODELS to the folder `models` of OpenSeeFace.",
}
"""What to do about a setting that names a file or folder which is not there."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The engines that run together, which of them on a GPU, and the one that looks for objects where no face is."""

    engines: tuple[EngineSpec, ...]
    on_gpu: frozenset[str] = frozenset()
    fallback: EngineSpec | None = None

    @property
    def all(self) -> tuple[EngineSpec, ...]:
        """All engines that are loaded."""
        return (*self.engines, self.fallback) if self.fallback else self.engines

    @property
    def looks_on_gpu(self) -> bool:
        """Whether an engine that looks at every frame runs on a GPU: not the one for objects alone."""
        return any(spec.name in self.on_gpu for spec in self.engines)

    @property
    def name(self) -> str:
        """The engines' names as a person writes them."""
        return JOIN.join(spec.name for spec in self.engines)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the catalogue's models that are loaded, each once."""
        return tuple(dict.fromkeys(model for spec in self.all for model in spec.models))

    @property
    def given(self) -> tuple[str, ...]:
        """Settings that name the files of a person's own that are loaded."""
        return tuple(setting for spec in self.all for setting in spec.given)

    def load(self, model_path: ModelPath, gpu: int = 0) -> Engine:
        """Load the engines, those on a GPU on that of this number. Raises PrerequisiteMissing."""
        from workflow_scripts.step5.engines.joined import Joined, ObjectsWhereNoFace

        loaded = [spec.load(model_path, f"cuda:{gpu}" if spec.name in self.on_gpu else "cpu") for spec in self.all]
        faces = loaded[: len(self.engines)]
        engine: Engine = faces[0] if len(faces) == 1 else Joined(faces)
        return ObjectsWhereNoFace(engine, loaded[-1]) if self.fallback else engine


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
        able = ", ".join(name for name, spec in ENGINES.items() if spec.on_gpu)
        raise UsageError(
            "gpu_engines", f"STEP5_ENABLE_GPU=true asks for the GPU, and STEP5_GPU_ENGINES {listed}.",
            f"Engines with a GPU path: {able}. List only these, or set STEP5_ENABLE_GPU=false.",
        )  # fmt: skip


def choose(asked: str, settings: Settings, device: str) -> Choice:
    """Return what `asked` means: engines' names joined by `+`; `auto` is the best that this machine and its models allow.

    Raises UsageError for an unknown engine, or one that cannot run on `device`; PrerequisiteMissing when what it needs is
    not there: a named engine is never replaced by another.
    """
    engines = (_best(settings),) if asked == AUTO else tuple(_named(name) for name in asked.split(JOIN))
    if len(set(engines)) < len(engines):
        raise UsageError("engine_twice", f"An engine is named twice in {asked!r}.", "Name each once.")
    fallback = ENGINES[OBJECTS] if settings.step5_object_fallback and ENGINES[OBJECTS] not in engines else None
    loaded = (*engines, fallback) if fallback else engines
    chosen = Choice(engines, _on_gpu(loaded, settings, device), fallback)
    for spec in chosen.all:
        if missing := missing_for(spec, settings):
            raise missing
    if chosen.on_gpu and not gpus():
        raise PrerequisiteMissing(
            "cuda_missing", "The GPU was asked for, and torch finds no CUDA device in this environment.",
            "Use --device cpu or STEP5_ENABLE_GPU=false, or build the environments with TORCH_VARIANT=cuda on a machine "
            "with an NVIDIA GPU.",
        )  # fmt: skip
    return chosen


def _named(name: str) -> EngineSpec:
    if name in ENGINES:
        return ENGINES[name]
    accepted = ", ".join((AUTO, *ENGINES))
    remedy = f"Accepted: {accepted}; several joined by {JOIN}."
    raise UsageError("unknown_engine", f"There is no tracking engine {name!r}.", remedy)


def _on_gpu(engines: tuple[EngineSpec, ...], settings: Settings, device: str) -> frozenset[str]:
    """Return the engines that run on a GPU: with `--device cuda` all that can, else those that the settings name."""
    able = frozenset(spec.name for spec in engines if spec.on_gpu)
    if device == "cuda":
        if not able:
            names = JOIN.join(spec.name for spec in engines)
            sentence = f"The tracking engine {names} runs on the CPU only, and --device cuda was asked for."
            raise UsageError("no_gpu_path", sentence, "Leave --device out.")
        return able
    wanted = settings.step5_enable_gpu and device == "auto"
    return able & frozenset(settings.step5_gpu_engines) if wanted else frozenset()


@lru_cache(maxsize=1)
def gpus() -> int:
    """Return how many CUDA devices torch can use in this environment."""
    try:
        return int(importlib.import_module("torch").cuda.device_count())
    except (ImportError, OSError):
        return 0


def _best(settings: Settings) -> EngineSpec:
    passed_over = []
    for spec in (ENGINES[name] for name in AUTOMATIC):
        missing = missing_for(spec, settings)
        if missing is None:
            return spec
        passed_over.append(missing)
    raise passed_over[-1]  # that of the engine that needs least


def missing_for(spec: EngineSpec, settings: Settings) -> PrerequisiteMissing | None:
    """Return the first thing an engine needs and has not, or None."""
    return next(_missing(spec, settings), None)


def _missing(spec: EngineSpec, settings: Settings) -> Iterator[PrerequisiteMissing]:
    checks: list[Callable[[Settings], PrerequisiteMissing | None]] = [
        *map(prerequisites.module, spec.modules), *map(prerequisites.model, spec.models),
        *(partial(_given_missing, name) for name in spec.given),
    ]  # fmt: skip
    return (missing for check in checks if (missing := check(settings)))


def _given_missing(name: str, settings: Settings) -> PrerequisiteMissing | None:
    path = given_path(name, settings)
    if path is not None and path.exists():
        return None
    sentence = f"{name.upper()} is not set." if path is None else f"{path} ({name.upper()}) is not there."
    return PrerequisiteMissing("model_missing", sentence, _GIVEN[name])


def given_path(name: str, settings: Settings) -> Path | None:
    """Return the file or folder that a setting names."""
    path: Path | None = getattr(settings, name)
    if path is None and name == "step5_yolo_weights":
        return settings.models_dir / "yolo11n.pt"
    return path


def worker_count(settings: Settings) -> int:
    """Return how many processes may track one video on the CPU: TRACKING_CPU_WORKERS, else by cores and free memory."""
    if settings.tracking_cpu_workers:
        return settings.tracking_cpu_workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(_free_gigabytes() / _WORKER_GB)))


def gpu_of_each_worker(chosen: Choice, settings: Settings) -> list[int]:
    """Return the GPU's number for each worker there is to be: one worker a GPU where one looks at every frame, else `worker_count`.

    Those share the GPUs where only the engine for objects uses them; where none does the numbers mean nothing.
    """
    there = gpus() if chosen.on_gpu else 1
    count = there if chosen.looks_on_gpu else worker_count(settings)
    return [number % there for number in range(count)]


def workers_for(settings: Settings, share: int | None, most: int) -> int:
    """Return how many of `most` workers look at a video whose `share` of the cores the runner told (None: it did not).

    Who sets TRACKING_CPU_WORKERS has that many.
    """
    return most if settings.tracking_cpu_workers or share is None else min(share, most)


def _free_gigabytes() -> float:
    """Return the memory that can be had without swapping, in GB; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1e6
    except (OSError, StopIteration):
        return float("inf")


def announce(chosen: Choice, asked: str, settings: Settings) -> None:
    """Say in the log which engines run and, for `auto`, which better one could not and why."""
    for spec in (ENGINES[name] for name in AUTOMATIC) if asked == AUTO else ():
        if spec in chosen.engines:
            break
        missing = missing_for(spec, settings)
        log.warning("auto passes over the engine %s: %s", spec.name, missing)
    why = "the best that can run here" if asked == AUTO else "as asked"
    for spec in chosen.engines:
        where = "on the GPU" if spec.name in chosen.on_gpu else "on the CPU"
        log.info("Tracking engine: %s (%s), %s, %s", spec.name, why, spec.about, where)
    if chosen.fallback:
        where = "on the GPU" if chosen.fallback.name in chosen.on_gpu else "on the CPU"
        log.info("Where no face is: %s, %s, %s", chosen.fallback.name, chosen.fallback.about, where)
