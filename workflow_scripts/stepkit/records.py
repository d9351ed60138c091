"""What was done to a video, by which step and from what: `<project>/.derush/<stem>.json`.

A step's artefacts are up to date when the key they were made under (step, version, parameters, models, content of the
inputs) is unchanged and the files still are what was recorded. The same records become the archive's provenance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from workflow_scripts.stepkit.files import sha256_of, write_json
from workflow_scripts.stepkit.projects import Project

SCHEMA = "derush.record/1"


@dataclass(frozen=True)
class Made:
    """One artefact as it was when it took its place. `path` is relative to the project."""

    kind: str
    path: str
    bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Key:
    """Everything that decides what a step's artefacts hold."""

    step: str
    version: int
    parameters: Mapping[str, Any]
    models: Mapping[str, str]
    inputs: Mapping[str, str]

    def digest(self) -> str:
        """Return the key as one sha256."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


_STEP = {"step": str, "version": int, "parameters": dict, "models": dict, "inputs": dict, "key": str, "artefacts": list}
_MADE = {"kind": str, "path": str, "bytes": int, "mtime_ns": int, "sha256": str}


def _is_record(known: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether all is there that is relied on, in the form it is relied on."""
    return (
        _has(known, {"schema": str, "steps": dict, "fingerprints": dict})
        and known["schema"] == SCHEMA
        and isinstance(known.get("failures", {}), dict)
        and all(
            _has(step, _STEP) and all(_has(made, _MADE) for made in step["artefacts"])
            for step in known["steps"].values()
        )
        and all(_is_fingerprint(seen) for seen in known["fingerprints"].values())
    )


def _has(known: object, members: Mapping[str, type]) -> TypeGuard[dict[str, Any]]:
    return isinstance(known, dict) and all(isinstance(known.get(name), kind) for name, kind in members.items())


def _is_fingerprint(seen: object) -> bool:
    return isinstance(seen, list) and len(seen) == 3 and isinstance(seen[2], str)


class Record:
    """The record of one subject (a video, or the project itself under the name `project/<name>`)."""

    def __init__(self, project: Project, subject: str) -> None:
        self._project = project
        self._path = project.internal / f"{subject}.json"

    def read(self) -> dict[str, Any]:
        """Return the whole record; an absent or damaged one is empty: then the work is simply done again."""
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            known = None
        return known if _is_record(known) else {"schema": SCHEMA, "steps": {}, "fingerprints": {}}

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Give the record to change; it is written on leaving. Two steps may be at work on one video: they take turns."""
        with self._project.locked(".lock"):
            known = self.read()
            yield known
            write_json(self._path, known)

    def fingerprint(self, path: Path, on_bytes: Callable[[int], object] | None = None) -> str:
        """Return a file's sha256; it is read again only when its size or modification time changed.

        `on_bytes` gets how much was read so far.
        """
        name, status = self.relative(path), path.stat()
        seen = [status.st_size, status.st_mtime_ns]
        known = self.read()
        for step in known["steps"].values():
            for made in step["artefacts"]:
                if made["path"] == name and [made["bytes"], made["mtime_ns"]] == seen:
                    return str(made["sha256"])
        remembered = known["fingerprints"].get(name)
        if remembered and remembered[:2] == seen:
            return str(remembered[2])
        sha256 = sha256_of(path, on_bytes)
        with self.change() as changing:
            changing["fingerprints"][name] = [*seen, sha256]
        return sha256

    def relative(self, path: Path) -> str:
        """Return a path as the record names it: relative to the project where it is below it."""
        return str(path.relative_to(self._project.path)) if path.is_relative_to(self._project.path) else str(path)

    def was_done(self, step: str) -> bool:
        """Tell whether the step was ever done, whatever became of its artefacts and inputs."""
        return step in self.read()["steps"]

    def is_current(self, key: Key) -> bool:
        """Tell whether the step's artefacts were made under this key, for good, and are still there, unchanged."""
        done = self.read()["steps"].get(key.step)
        return (
            bool(done)
            and not done.get("provisional")
            and done["key"] == key.digest()
            and all(self._is_unchanged(made) for made in done["artefacts"])
        )

    def _is_unchanged(self, made: Mapping[str, Any]) -> bool:
        path = self._project.path / made["path"]
        if ".." in path.parts:
            return False  # no step writes that: a record leads nowhere else
        try:
            status = path.stat()
        except (OSError, ValueError):  # not there, or a name that no file has
            return False
        if status.st_size != made["bytes"]:
            return False
        return bool(status.st_mtime_ns == made["mtime_ns"] or self.fingerprint(path) == made["sha256"])

    def settle(self, key: Key, artefacts: Sequence[Made], facts: Mapping[str, Any]) -> None:
        """Record that the step is done under this key; `facts` (time, device, host…) are for provenance only."""
        with self.change() as known:
            known.get("failures", {}).pop(key.step, None)
            known["steps"][key.step] = {
                **asdict(key), "key": key.digest(), "artefacts": [asdict(made) for made in artefacts], **facts,
            }  # fmt: skip

    def recover(self, step: str) -> None:
        """Forget why the step could not be done: what it made before is what it would make now."""
        if step in self.read().get("failures", {}):
            with self.change() as known:
                known.get("failures", {}).pop(step, None)

    def fail(self, step: str, error: Mapping[str, Any]) -> None:
        """Record why the step could not be done the last time; forgotten when it is."""
        with self.change() as known:
            known.setdefault("failures", {})[step] = dict(error)
