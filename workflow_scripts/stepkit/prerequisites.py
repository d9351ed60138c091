"""What must be there before a step starts. Each check returns the error that names the remedy, or None."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from config.catalog import models
from config.settings import Settings
from workflow_scripts.stepkit.errors import PrerequisiteMissing
from workflow_scripts.stepkit.media import ffmpeg_binary

Prerequisite = Callable[[Settings], "PrerequisiteMissing | None"]


def module(name: str) -> Prerequisite:
    """Require a module that the step's environment must have; it is looked for, not imported."""

    def check(_settings: Settings) -> PrerequisiteMissing | None:
        if importlib.util.find_spec(name.partition(".")[0]):
            return None
        return PrerequisiteMissing(
            "module_missing", f"The module {name} is not in this environment.",
            "Run the step under its own environment, or rebuild that with `derush envs rebuild`.",
        )  # fmt: skip

    return check


def model(name: str) -> Prerequisite:
    """Require a model's file, by its size here and by its sha256 when it is loaded."""

    def check(settings: Settings) -> PrerequisiteMissing | None:
        spec = models()[name]
        path = settings.models_dir / spec.file
        if path.is_file() and path.stat().st_size == spec.bytes:
            return None
        return model_missing(name, path)

    return check


def model_missing(name: str, path: Path) -> PrerequisiteMissing:
    """Make the error for a model that is absent or damaged."""
    return PrerequisiteMissing(
        "model_missing", f"The model {name} is missing or damaged ({path}).", f"Run `derush models fetch {name}`."
    )


def ffmpeg() -> Prerequisite:
    """Require an ffmpeg that can be started."""

    def check(settings: Settings) -> PrerequisiteMissing | None:
        try:
            ffmpeg_binary(settings)
        except PrerequisiteMissing as missing:
            return missing
        return None

    return check


def folder(choose: Callable[[Settings], Path], name: str, *, create: bool = True) -> Prerequisite:
    """Require a folder that can be written; `name` is the setting it comes from."""

    def check(settings: Settings) -> PrerequisiteMissing | None:
        path = choose(settings)
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            usable = path.is_dir() and os.access(path, os.W_OK | os.X_OK)
        except OSError:
            usable = False
        if usable:
            return None
        return PrerequisiteMissing(
            "folder_missing", f"{name} ({path}) is not there or cannot be written.",
            f"Mount it, or set {name} to a folder that can be written.",
        )  # fmt: skip

    return check


def free_gigabytes(path: Path) -> float:
    """Return the free space, in GB (10⁹ bytes), of the file system that holds `path` or its nearest existing parent."""
    return shutil.disk_usage(nearest_existing(path)).free / 1e9


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())
