"""How what came out of an archive lies in its project. Pure.

A single folder around everything is taken off. What is delivered under a name that Derush keeps for itself in a
project (`docs`, `sources`, `.derush`) is set aside under another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from workflow_scripts.step1.names import free_name
from workflow_scripts.stepkit.projects import INTERNAL

_RESERVED = frozenset({"docs", "sources", INTERNAL})


def single_root(paths: Iterable[PurePosixPath]) -> str | None:
    """Return the folder that holds everything, or None when there is none."""
    tops = {(path.parts[0], len(path.parts) > 1) for path in paths}
    top, is_folder = next(iter(tops)) if len(tops) == 1 else ("", False)
    return top if is_folder else None


def renames(tops: Collection[str]) -> dict[str, str]:
    """Return the new names of those top-level entries that bear a reserved name, in any case."""
    reserved = sorted(top for top in tops if top.casefold() in _RESERVED)
    return {top: free_name(f"{top.lstrip('.')} (delivered)", tops) for top in reserved}


def settled(path: PurePosixPath, root: str | None, renamed: dict[str, str]) -> PurePosixPath:
    """Return where a file lies in the project once the root is taken off and reserved names are changed."""
    below = path.relative_to(root) if root else path
    return PurePosixPath(renamed.get(below.parts[0], below.parts[0]), *below.parts[1:])
