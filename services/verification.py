"""Whether the files of projects, and the archives of their results, still are what was recorded of them.

Two passes: a look at every file (there, its size, its time), which is quick and says how many bytes there are to read;
then the reading, in parallel threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from config.contract import Exit
from config.settings import Settings
from services.errors import ServiceError
from services.recorded import INTERNAL, Note, Problem, RecordedFile, open_file, read_document, read_records
from services.results_archiver import Entry, ResultsArchiver

OnBytes = Callable[[int], None]
Finding = Problem | Note
_BLOCK = 1 << 20
_MOST_READERS = 8
"""Files read at a time: more than the disks of one machine have use for."""


@dataclass(frozen=True)
class Place:
    """A project to verify: its folder, or that of one which STEP7 moved away, with the archives it was given."""

    path: Path
    moved_to: str | None = None
    archives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """Something to read: how many bytes, and the reading itself, which returns what it finds."""

    bytes: int
    read: Callable[[OnBytes], Sequence[Finding]]


@dataclass(frozen=True)
class Survey:
    """What a look at a project gave; `jobs` is what only reading can tell. `records` counts record files."""

    place: Place
    records: int
    files: int
    bytes: int
    archives: int
    findings: tuple[Finding, ...]
    jobs: tuple[Job, ...]

    @property
    def to_read(self) -> int:
        """How many bytes the jobs read."""
        return sum(job.bytes for job in self.jobs)


@dataclass(frozen=True)
class Report:
    """What became of one project's verification: `state` is whole, damaged, no_records or moved."""

    place: Place
    state: str
    files: int
    bytes: int
    archives: int
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


class _Stopped(Exception):
    """Nobody waits for the reading any more."""


def find_places(names: Sequence[str], settings: Settings) -> list[Place]:
    """Return the projects that were named, by name or folder, or all there are and all that were moved away.

    Raises ServiceError for a name that none has.
    """
    moved = {place.path: place for place in _moved(settings.projects_dir)}
    if not names:
        return [*map(Place, _project_folders(settings.projects_dir)), *moved.values()]
    return list(dict.fromkeys(_find(name, settings.projects_dir, moved) for name in names))


def _find(name: str, projects_dir: Path, moved: dict[Path, Place]) -> Place:
    below, given = projects_dir / name, Path(name).absolute()
    candidates = [below, given] if Path(name).name == name else [given]
    for path in candidates:
        if path.is_dir():
            return Place(path)
    for path in candidates:
        if path in moved:
            return moved[path]
    raise ServiceError(
        "no_such_project", f"There is no project {name}.",
        f"Name a folder, or one of those below {projects_dir}.", Exit.USAGE,
    )  # fmt: skip


def _project_folders(projects_dir: Path) -> list[Path]:
    if not projects_dir.is_dir():
        return []
    return sorted(
        path for path in projects_dir.iterdir() if path.is_dir() and not path.is_symlink() and path.name != INTERNAL
    )


def _moved(projects_dir: Path) -> Iterator[Place]:
    """Yield the projects that STEP7 moved away and that are not there again; a damaged note says nothing."""
    for path in sorted((projects_dir / INTERNAL / "finalized").glob("*.json")):
        try:
            note = read_document(projects_dir, f"{INTERNAL}/finalized/{path.name}")
            name, folders = note["project"], tuple(map(str, note["archives"]))
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            continue
        if isinstance(name, str) and Path(name).name == name and not (projects_dir / name).exists():
            yield Place(projects_dir / name, str(note.get("delivered_to")), folders)


def survey(
    places: Iterable[Place], settings: Settings, *, steps: frozenset[str] | None = None, quick: bool = False
) -> list[Survey]:
    """Look at projects without reading their files.

    `steps` restricts this to what these left, and adds the failures recorded for them. `quick` leaves to be read only
    what has another modification time than recorded, and of an archive nothing.
    """
    archives = _Archives(ResultsArchiver(settings.archives_dir), quick) if steps is None or "STEP7" in steps else None
    return [
        _survey(place, archives, steps, quick) if place.moved_to is None else _survey_moved(place, archives)
        for place in places
    ]


def _survey(place: Place, archives: _Archives | None, steps: frozenset[str] | None, quick: bool) -> Survey:
    records = read_records(place.path, steps)
    looked = [_look(place.path, file, quick) for file in records.files]
    archived = archives.of(place, records.originals) if archives else ()
    return Survey(
        place, records.count, len(records.files), sum(file.bytes for file in records.files), len(archived),
        (*records.problems, *(it for it in looked if isinstance(it, (Problem, Note)))),
        (*(it for it in looked if isinstance(it, Job)), *archived),
    )  # fmt: skip


def _survey_moved(place: Place, archives: _Archives | None) -> Survey:
    archived, missing = archives.named(place) if archives else ((), ())
    return Survey(place, 0, 0, 0, len(archived), missing, archived)


def _look(root: Path, file: RecordedFile, quick: bool) -> Finding | Job | None:
    """Return what there is to say of a file, or what to read to know, or None when it is taken as whole."""
    for place in file.places:
        try:
            with open_file(root, place) as stream:
                status = os.fstat(stream.fileno())
        except FileNotFoundError:
            continue
        except OSError as error:
            return _cannot_open(file, place, error)
        known = file.replaced_by or file
        if status.st_size not in (known.bytes, file.bytes):
            return file.problem("size_differs", place, f"has {status.st_size} bytes, and {known.bytes} were recorded.")
        if quick and file.mtime_ns in (None, status.st_mtime_ns):
            return file.replaced(place) if file.replaced_by and status.st_size == known.bytes else None
        return Job(status.st_size, partial(_read, root, file, place))
    return file.problem("missing", file.places[0], "is not there.")


def _cannot_open(file: RecordedFile, place: str, error: OSError) -> Problem:
    if isinstance(error, (IsADirectoryError, NotADirectoryError)) or error.errno in (errno.ELOOP, errno.ENXIO):
        return file.problem("not_a_file", place, "is a link, a folder or behind a link, not the file recorded.")
    remedy = "Give the user who runs Derush access to it; check the disk it is on."
    return Problem("unreadable", f"{place} cannot be read ({error.strerror}).", remedy, file.step, place)


def _read(root: Path, file: RecordedFile, place: str, on_bytes: OnBytes) -> list[Finding]:
    digest = hashlib.sha256()
    try:
        with open_file(root, place) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                on_bytes(len(block))
    except FileNotFoundError:
        return [file.problem("missing", place, "is not there any more.")]
    except OSError as error:
        return [_cannot_open(file, place, error)]
    if digest.hexdigest() == file.sha256:
        return []
    if file.replaced_by and digest.hexdigest() == file.replaced_by.sha256:
        return [file.replaced(place)]
    return [file.problem("content_differs", place, "does not hold what was recorded of it (sha256).")]


class _Archives:
    """The archives that STEP7 made, looked through once for all projects."""

    def __init__(self, archiver: ResultsArchiver, quick: bool) -> None:
        self._archiver = archiver
        self._quick = quick
        self._known = {path.name.partition(" ")[0] for path in archiver.archives_dir.glob("*/*")}

    def of(self, place: Place, originals: Iterable[str]) -> tuple[Job, ...]:
        """Return the reading of a project's archives; their folders are named by the originals' sha256."""
        entries = (entry for sha256 in sorted(self._known.intersection(originals)) for entry in self._find(sha256))
        name = place.path.name
        return tuple(self._job(entry) for entry in entries if entry.metadata.get("project", name) == name)

    def named(self, place: Place) -> tuple[tuple[Job, ...], tuple[Problem, ...]]:
        """Return the reading of the archives that the note of a moved project names, and those that are not there.

        Of a name only the last two parts are used, below ARCHIVES_DIR as it is set now: no note leads elsewhere.
        """
        names = ["/".join(Path(name).parts[-2:]) for name in place.archives]
        found = {
            str(entry.folder.relative_to(self._archiver.archives_dir)): entry
            for name in names
            for entry in self._find(Path(name).name.partition(" ")[0])
        }
        missing = tuple(_archive_missing(name) for name in names if name not in found)
        return tuple(self._job(found[name]) for name in names if name in found), missing

    def _find(self, sha256: str) -> Sequence[Entry]:
        return self._archiver.find(sha256) if sha256 in self._known else ()

    def _job(self, entry: Entry) -> Job:
        if self._quick:
            return Job(0, lambda _on_bytes: [])
        return Job(_archived_bytes(entry), partial(_read_archive, self._archiver, entry))


def _archive_missing(name: str) -> Problem:
    remedy = "Check that ARCHIVES_DIR is mounted and set as it was; else extract the archive again and run STEP7 on it."
    return Problem("archive_missing", f"The archive {name} is not there.", remedy, "STEP7", name)


def _archived_bytes(entry: Entry) -> int:
    try:
        return sum(int(known["bytes"]) for known in entry.artefacts)
    except (ValueError, KeyError, TypeError):
        return 0


def _read_archive(archiver: ResultsArchiver, entry: Entry, on_bytes: OnBytes) -> list[Problem]:
    try:
        wrong = [f"{problem.name} ({problem.what})" for problem in archiver.verify(entry, on_bytes)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        wrong = [f"metadata.json ({error!r})"]
    if not wrong:
        return []
    name = f"{entry.folder.parent.name}/{entry.folder.name}"
    remedy = "Move that folder out of ARCHIVES_DIR and run STEP7 on the project again; check the disk."
    return [Problem("archive_damaged", f"The archive {name} is damaged: {', '.join(wrong)}.", remedy, "STEP7", name)]


def reports(surveys: Sequence[Survey], on_bytes: OnBytes) -> Generator[Report, None, None]:
    """Read what the surveys left to be read and yield a report on each project, in their order.

    `on_bytes` hears the size of each block, from several threads. Whoever stops asking stops the reading.
    """
    stopped = Event()

    def heard(count: int) -> None:
        if stopped.is_set():
            raise _Stopped
        on_bytes(count)

    pool = ThreadPoolExecutor(min(_MOST_READERS, os.cpu_count() or 1))
    try:
        pending = [[pool.submit(job.read, heard) for job in it.jobs] for it in surveys]
        for looked, reading in zip(surveys, pending, strict=True):
            yield _report(looked, reading)
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _report(looked: Survey, reading: Iterable[Future[Sequence[Finding]]]) -> Report:
    findings = (*looked.findings, *(finding for future in reading for finding in future.result()))
    problems = tuple(it for it in findings if isinstance(it, Problem))
    notes = tuple(it for it in findings if isinstance(it, Note))
    if problems:
        state = "damaged"
    elif looked.place.moved_to is not None:
        state = "moved"
    else:
        state = "whole" if looked.records else "no_records"
    return Report(looked.place, state, looked.files, looked.bytes, looked.archives, problems, notes)
