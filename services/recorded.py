"""What a project's records say is there: the files that steps left, with size, time and sha256.

Records are read as a stranger's: nothing in one is followed that leads out of its project, by `..` or over a link.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeGuard

from config.catalog import steps

INTERNAL = ".derush"
_ARCHIVE = f"{INTERNAL}/project/archive.json"
_SCHEMAS = {"derush.record/1", "derush.archive/1"}
_LARGEST_RECORD = 64 << 20
"""Bytes; the record of an archive of 100,000 members has a third of that."""
_SHA256 = re.compile("[0-9a-f]{64}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe that somebody put there must not be waited for


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was recorded: what, and what to do about it. `path` is relative to the project."""

    code: str
    message: str
    remedy: str
    step: str | None = None
    path: str | None = None

    def record(self) -> dict[str, str | None]:
        """Return it as programs read it."""
        return asdict(self)


@dataclass(frozen=True)
class Note:
    """Something that is right, and that a person should know of. `path` is relative to the project."""

    code: str
    message: str
    path: str

    def record(self) -> dict[str, str]:
        """Return it as programs read it."""
        return asdict(self)


@dataclass(frozen=True)
class Content:
    """What a file holds: its size in bytes, and its sha256."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class RecordedFile:
    """One file that a step left. It stands at the first of `places` that there is, relative to the project.

    `again` is the command that makes it again, once those of `in_the_way` are moved away; `otherwise` is what else there
    is to do, where a person replaced the file.
    `replaced_by` is what a person put in its place and a later step took in: it is as right there.
    """

    step: str
    places: tuple[str, ...]
    bytes: int
    mtime_ns: int | None
    sha256: str
    again: str
    in_the_way: tuple[str, ...] = ()
    otherwise: str = ""
    replaced_by: Content | None = None

    def replaced(self, place: str) -> Note:
        """Return that another file stands at one of its places, put there by a person and taken in."""
        return Note("replaced_by_hand", f"{place} is not the delivered file: it was replaced by hand.", place)

    def problem(self, code: str, place: str, message: str) -> Problem:
        """Return what is wrong with it at one of its places, and how to have it again.

        A step by itself replaces what is missing or has another size; STEP1 only what is missing.
        """
        is_replaced = code == "missing" or (code == "size_differs" and self.step != "STEP1")
        first = () if is_replaced else (place,)
        away = " and ".join((*first, *self.in_the_way))
        remedy = f"Move {away} away, then run `{self.again}`." if away else f"Run `{self.again}`."
        if self.otherwise and (code != "missing" or self.replaced_by):
            remedy = f"{remedy} {self.otherwise}"
        return Problem(code, f"{place} {message}", remedy, self.step, place)


@dataclass
class Records:
    """What the records of one project say.

    `originals` are the sha256 of the videos that STEP2 took in; `taken_in` has them by the original's last place, each
    with the place of STEP2's facts about it.
    """

    count: int = 0
    files: list[RecordedFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    originals: set[str] = field(default_factory=set)
    taken_in: dict[str, tuple[str, str]] = field(default_factory=dict)


def read_records(project: Path, wanted: frozenset[str] | None = None) -> Records:
    """Read the records of a project: of all steps, or of the `wanted` ones with the failures recorded for them."""
    records = Records()
    for path in _record_paths(project):
        records.count += 1
        try:
            known = read_document(project, path)
            if known.get("schema") not in _SCHEMAS:
                raise ValueError("its schema is not known")
            _Reader(project, path, known, wanted, records).read()
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            records.problems.append(_damaged(project, path, f"{type(error).__name__}: {error}"))
    return records


def _record_paths(project: Path) -> Iterator[str]:
    """Yield the videos' records, then the project's own: what STEP2 took in is known when the archive's is read."""
    for below in (INTERNAL, f"{INTERNAL}/project"):
        yield from sorted(f"{below}/{path.name}" for path in (project / below).glob("*.json"))


def _damaged(project: Path, path: str, why: str, step: str | None = None) -> Problem:
    if path == _ARCHIVE:
        remedy = "Move it away: the archive is extracted anew when it is given again."
    else:
        remedy = f"Move it away, then run `{_run(project)} --steps 2-7`: what it recorded is made again."
    return Problem("record_damaged", f"{path} is damaged ({why[:200]}).", remedy, step, path)


class _Reader:
    """One record on its way into `records`."""

    def __init__(
        self, project: Path, path: str, known: Mapping[str, Any], wanted: frozenset[str] | None, records: Records
    ) -> None:
        self._project, self._path, self._known, self._wanted, self._records = project, path, known, wanted, records

    def read(self) -> None:
        """Take in what the record says. Raises ValueError, LookupError, TypeError or AttributeError where it is damaged."""
        if self._known["schema"] == "derush.archive/1":
            self._read_archive()
            return
        for step, done in self._known["steps"].items():
            if step not in steps():
                raise ValueError(f"there is no step {step}")
            if step == "STEP2":
                self._read_original(done.get("parameters", {}).get("original", {}))
            for made in _entries(done["artefacts"]):
                self._add(step, partial(self._artefact, step, made))
        for step, error in self._known.get("failures", {}).items():
            self._add_failure(step, error)

    def _read_original(self, original: Mapping[str, Any]) -> None:
        sha256 = str(original.get("sha256"))
        self._records.originals.add(sha256)
        self._records.taken_in[str(original.get("path"))] = sha256, f"docs/{Path(self._path).stem}_source.json"

    def _read_archive(self) -> None:
        source = shlex.quote(self._known["archive"]["path"])
        for member in _entries(self._known["members"]):
            self._add("STEP1", partial(self._member, member, source))

    def _member(self, member: Mapping[str, Any], source: str) -> RecordedFile:
        """Return a file that came out of the archive; STEP2 moves videos to `sources/`."""
        path, size, sha256 = _checked(member)
        moved = f"sources/{path}"
        replaced_by = self._replaced_by(moved, sha256)
        if replaced_by:
            otherwise = "That puts back the delivered file. To keep the one that replaced it, put that there again and "
        else:
            otherwise = "If you replaced it by another video yourself, leave that there and "
        return RecordedFile(
            "STEP1", (path, moved), size, None, sha256, f"derush run {source} --steps 1 --force",
            otherwise=f"{otherwise}run `{_run(self._project)}`: it is taken in.", replaced_by=replaced_by,
        )  # fmt: skip

    def _replaced_by(self, place: str, delivered: str) -> Content | None:
        """Return what STEP2 says of the original it took in, if that is not the delivered one.

        Facts that cannot be read say nothing: then the original is held against the archive's record.
        """
        sha256, facts = self._records.taken_in.get(place, (delivered, ""))
        if sha256 == delivered:
            return None
        try:
            path, size, sha256 = _checked(read_document(self._project, facts)["original"])
        except (OSError, ValueError, RecursionError, LookupError, TypeError):
            return None
        return Content(size, sha256) if path == place and sha256 != delivered else None

    def _add(self, step: str, make: Callable[[], RecordedFile]) -> None:
        """Add one file; what is wrong with its entry does not take the others with it."""
        if self._wanted is not None and step not in self._wanted:
            return
        try:
            self._records.files.append(make())
        except (ValueError, LookupError, TypeError) as error:
            self._records.problems.append(_damaged(self._project, self._path, str(error), step))

    def _artefact(self, step: str, made: Mapping[str, Any]) -> RecordedFile:
        path, size, sha256 = _checked(made)
        if type(made["mtime_ns"]) is not int:
            raise ValueError("a modification time is no whole number")
        # Without its facts a proxy would be taken for one more delivered video.
        proxy = (path.removesuffix("_source.json") + ".mp4",) if path.endswith("_source.json") else ()
        again = f"{_run(self._project)} --steps {step.removeprefix('STEP')}"
        return RecordedFile(step, (path,), size, made["mtime_ns"], sha256, again, proxy)

    def _add_failure(self, step: str, error: Mapping[str, Any]) -> None:
        if self._wanted is not None and step in self._wanted:
            subject = Path(self._path).stem
            message = f"{step} failed on {subject}: {error['message']} ({error['code']})"
            self._records.problems.append(Problem("step_failed", message, str(error["remedy"]), step, self._path))


def _entries(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise ValueError("its list of files is no list")
    return value


def _run(project: Path) -> str:
    return f"derush run {shlex.quote(str(project))}"


def _checked(entry: Mapping[str, Any]) -> tuple[str, int, str]:
    """Return path, size and sha256 of an entry. Raises ValueError for what no step writes."""
    path, size, sha256 = entry["path"], entry["bytes"], entry["sha256"]
    if not is_below(path):
        raise ValueError(f"{path!r} is no path below the project")
    if type(size) is not int or size < 0:
        raise ValueError(f"{size!r} is no size")
    if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError(f"{sha256!r} is no sha256")
    return path, size, sha256


def is_below(path: object) -> TypeGuard[str]:
    """Tell whether this is a relative path that stays below where it starts."""
    if not isinstance(path, str) or "\0" in path:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def open_file(root: Path, path: str) -> BinaryIO:
    """Open a regular file below `root` for reading; no link is followed on the way from there.

    Raises FileNotFoundError when it is not there, IsADirectoryError or NotADirectoryError or another OSError when
    something else is.
    """
    *folders, name = PurePosixPath(path).parts
    folder = os.open(root, _FOLDER)
    try:
        for part in folders:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        descriptor = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def read_document(root: Path, path: str) -> dict[str, Any]:
    """Read a JSON object below `root`. Raises OSError, ValueError or RecursionError when there is none."""
    with open_file(root, path) as stream:
        if os.fstat(stream.fileno()).st_size > _LARGEST_RECORD:
            raise ValueError("it is too large to be a record")
        known = json.loads(stream.read())
    if not isinstance(known, dict):
        raise ValueError("it is no JSON object")
    return known
