"""Which packages a step works with: the versions of those its environment asks for, for provenance."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

from config.catalog import steps
from config.settings import REPOSITORY

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@lru_cache(maxsize=1)
def packages(step: str) -> dict[str, str]:
    """Return the versions of the packages that a step's environment asks for by name, as far as they are installed here.

    What these ask for in turn is in the lock of that environment. The names of installed folders say the versions, so
    that no package's metadata is read. An environment that is declared elsewhere asks for none.
    """
    try:
        listed = (REPOSITORY / "envs" / f"{steps()[step].environment}.in").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    asked = {_folded(name[0]) for line in listed if (name := _REQUIREMENT.match(line))}
    found = (path.name.removesuffix(".dist-info") for place in sys.path for path in Path(place).glob("*.dist-info"))
    versions = {_folded(name): version for name, _, version in (each.rpartition("-") for each in found)}
    return {name: versions[name] for name in sorted(asked & versions.keys())}


def _folded(name: str) -> str:
    """Write a package's name in the one way that counts (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()
