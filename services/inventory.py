"""What is installed: the environments with their packages and sizes, the model files and whether they are whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from config.catalog import ModelSpec, steps
from config.catalog import models as declared_models
from config.settings import Settings
from services.background import Background
from services.environments import HOME_ENVIRONMENT, Environment, environments
from services.model_files import model_path, problem_of

_PACKAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class EnvironmentFacts:
    """An environment: `state` is built, outdated (built from older locks) or missing.

    `packages` are those that its `.in` file names, with the version that is installed; None where it is not. `size` is
    bytes, None while it is not known. `is_home`: the panel itself runs in it.
    """

    name: str
    about: str
    root: Path
    state: str
    python: str | None
    steps: tuple[str, ...]
    packages: tuple[tuple[str, str | None], ...]
    size: int | None
    is_home: bool


@dataclass(frozen=True)
class ModelFacts:
    """A model file: `state` is good, missing or damaged; `problem` says what is wrong."""

    spec: ModelSpec
    path: Path
    state: str
    problem: str | None


class Inventory:
    """Looks at what is installed. Sizes are added up in the background, anew when an environment was built anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._built: tuple[float, ...] = ()
        self._sizes = Background(self._add_up, "sizes of environments")

    def environments(self) -> list[EnvironmentFacts]:
        """Return every environment, in the order they are declared. Nothing is imported."""
        known = environments(self._settings)
        built = tuple(_changed(environment) for environment in known.values())
        if built != self._built and self._sizes.begin():
            self._built = built
        sizes = self._sizes.finding.result or {}
        return [_facts(environment, sizes.get(environment.name)) for environment in known.values()]

    def models(self, verified: str | None = None) -> list[ModelFacts]:
        """Return every model. A file is read through once, and again when it changes or `verified` does."""
        return [_model_facts(spec, self._settings.models_dir, verified) for spec in declared_models().values()]

    def _add_up(self) -> dict[str, int]:
        known = environments(self._settings)
        return {name: size_of(environment.root) for name, environment in known.items() if environment.root.is_dir()}


def size_of(folder: Path) -> int:
    """Return the bytes that the files below a folder hold, each once however many names it has."""
    return sum({(it.st_dev, it.st_ino): it.st_size for it in _files(folder)}.values())


def _files(folder: Path) -> Iterator[os.stat_result]:
    """Yield what is known of the files below a folder, without following links; what goes meanwhile is passed over."""
    for parent, _folders, names in os.walk(folder):
        for name in names:
            try:
                yield Path(parent, name).lstat()
            except OSError:
                continue


def _facts(environment: Environment, size: int | None) -> EnvironmentFacts:
    marker = environment.marker()
    return EnvironmentFacts(
        name=environment.name,
        about=environment.spec.about,
        root=environment.root,
        state="built" if environment.is_built() else "outdated" if marker else "missing",
        python=marker.get("python"),
        steps=tuple(step.id for step in steps().values() if step.environment == environment.name),
        packages=_packages(environment, _changed(environment)),
        size=size,
        is_home=environment.name == HOME_ENVIRONMENT,
    )


@lru_cache(maxsize=16)
def _packages(environment: Environment, _built: float) -> tuple[tuple[str, str | None], ...]:
    return tuple(_wanted_packages(environment))


def _wanted_packages(environment: Environment) -> Iterator[tuple[str, str | None]]:
    """Yield the packages that the environment is wanted for; of each, one small file is read."""
    places = [str(path) for path in environment.root.glob("lib/python*/site-packages")]
    wanted = environment.locks(development=False)[0].with_suffix(".in")
    for line in wanted.read_text(encoding="utf-8").splitlines():
        if named := _PACKAGE.match(line):
            found = next(iter(distributions(name=named[0], path=places)), None)
            if found or ";" not in line:  # some are wanted under some Pythons only
                yield named[0], found.version if found else None


def _changed(environment: Environment) -> float:
    """Return when an environment was built last; building makes its folder anew."""
    try:
        return environment.root.stat().st_mtime
    except OSError:
        return 0.0


def _model_facts(spec: ModelSpec, models_dir: Path, verified: str | None) -> ModelFacts:
    path = model_path(spec, models_dir)
    try:
        status = path.stat()
    except OSError:
        return ModelFacts(spec, path, "missing", "missing")
    problem = _problem(spec, models_dir, (status.st_ino, status.st_size, status.st_mtime_ns), verified)
    return ModelFacts(spec, path, "damaged" if problem else "good", problem)


@lru_cache(maxsize=128)
def _problem(spec: ModelSpec, models_dir: Path, _file: tuple[int, int, int], _verified: str | None) -> str | None:
    return problem_of(spec, models_dir)
