"""The delivery of one project, from looking at it to taking its working copy away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any

from services.results_archiver import METADATA, Artefact, Entry, Problem, ResultsArchiver, Subject
from services.verified_copies import CopyError, NotEnoughSpace, sha256_of
from workflow_scripts.step7.contents import Clip, Contents, File, contents_of
from workflow_scripts.step7.delivery import Delivery, Placed, seen
from workflow_scripts.step7.places import check_apart, check_fits, output_folder
from workflow_scripts.step7.provenance import artefacts_of, subject_of
from workflow_scripts.step7.removal import remove_working_copy
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.projects import Project
from workflow_scripts.stepkit.step import Step
from workflow_scripts.stepkit.task import Task

Archivable = tuple[Subject, Sequence[Artefact]]


class Finalizing:
    """One project's delivery; `finalize` does all of it."""

    def __init__(self, step: Step, task: Task, project: Project, archiver: ResultsArchiver) -> None:
        self._step = step
        self._settings = step.settings
        self._task = task
        self._project = project
        self._archiver = archiver
        self._total = 0
        self._read = 0
        self._telling = Lock()

    def finalize(self) -> None:
        """Copy, archive, verify, and in move mode remove. Raises ItemError; what is done stays done."""
        contents = self._contents()
        if not (contents.delivered or contents.held_back):
            self._task.settle("skipped", "holds no video")
            return
        self._say_what_is_incomplete(contents)
        archivable = [(subject_of(clip), artefacts_of(clip.video)) for clip in contents.delivered if clip.original]
        unarchived = [each for each in archivable if self._archiver.same(*each) is None]
        folder = self._output() / self._project.name
        check_apart(self._project, folder, self._settings.archives_dir)
        delivery = Delivery(folder)
        if not self._step.dry_run:
            delivery.sweep()
        pending = list(contents.files) if self._task.force else delivery.pending(contents.files)
        removes = self._settings.finalize_mode == "move" and self._may_remove(contents)
        if not (pending or unarchived or removes) and delivery.says(self._marks(delivery, contents)):
            self._task.settle("up_to_date", _told("delivered and archived already", contents))
        elif self._step.dry_run:
            self._task.metrics.update(bytes=_size_of(pending), archive_bytes=_archived_size_of(unarchived))
            self._task.settle("skipped", f"would copy {len(pending)} files and archive {len(unarchived)} videos")
        else:
            with _named_errors():
                with delivery:
                    self._deliver(delivery, contents, pending, unarchived)
                self._task.message = _told(f"in {delivery.folder}", contents)
                if removes:
                    self._remove(delivery, contents, archivable)
                    self._task.message = _told(f"moved to {delivery.folder}", contents)

    def _contents(self) -> Contents:
        return contents_of(self._project, self._settings.finalize_completeness, self._task.item.accepted)

    def _say_what_is_incomplete(self, contents: Contents) -> None:
        for clip in (*contents.held_back, *contents.delivered):
            if clip.missing:
                lacks, stem = ", ".join(clip.missing), clip.video.stem
                how = "is not delivered, it lacks" if clip in contents.held_back else "is delivered without"
                self._task.warning("incomplete_video", f"{stem} {how} {lacks}.")
        if not contents.delivered:
            raise ItemError(
                "nothing_to_deliver", f"No video of {self._project.name} is complete.",
                "Run the earlier steps on it, then this one again; or accept what failed, or set FINALIZE_COMPLETENESS.",
            )  # fmt: skip

    def _output(self) -> Path:
        if self._step.dry_run:
            return self._settings.output_dir
        folder, warning = output_folder(self._settings)
        if warning:
            self._task.warning("fallback_output", warning)
        return folder

    def _may_remove(self, contents: Contents) -> bool:
        """Tell whether the working copy may go once all is delivered, and warn when it may not."""
        if contents.held_back:
            self._task.warning("not_moved", "The working copy stays: not every video is complete or accepted.")
        elif contents.odd:
            names = ", ".join(str(path.relative_to(self._project.path)) for path in contents.odd)
            self._task.warning("not_moved", f"The working copy stays: no copy can be made of {names}.")
        return not (contents.held_back or contents.odd)

    def _marks(self, delivery: Delivery, contents: Contents) -> list[dict[str, Any]]:
        def lies_there(clip: Clip) -> bool:
            return delivery.has_any(str(path.relative_to(self._project.path)) for path in clip.paths)

        return contents.incomplete(lies_there)

    def _deliver(
        self, delivery: Delivery, contents: Contents, pending: Sequence[File], unarchived: Sequence[Archivable]
    ) -> None:
        size, to_archive = _size_of(pending), _archived_size_of(unarchived)
        self._total = 2 * (size + to_archive)  # every byte is written, and read again
        to_copy = []
        for file in pending:
            if place := delivery.held(file, self._on_bytes):
                self._say_what_was_there(delivery, Placed(file, place))
            else:
                to_copy.append(file)
        check_fits([(delivery.folder.parent, _size_of(to_copy)), (self._settings.archives_dir, to_archive)])
        for placed in delivery.deliver(to_copy, self._on_bytes):
            self._say_what_was_there(delivery, placed)
        delivery.say(self._marks(delivery, contents))
        delivery.save()
        when = datetime.now(timezone.utc)
        for subject, artefacts in unarchived:
            entry, _ = self._archiver.archive(subject, artefacts, when, self._on_bytes)
            self._announce(entry)
        self._task.metrics.update(files=len(pending), bytes=size, archives=len(unarchived))

    def _say_what_was_there(self, delivery: Delivery, placed: Placed) -> None:
        wanted = delivery.folder / placed.file.name
        if placed.older:
            self._task.warning(
                "kept_older", f"{placed.place} is new: the version delivered before is {placed.older.name}."
            )
        elif placed.place != wanted:
            self._task.warning(
                "kept_existing", f"{wanted} is not ours and stays: ours is {placed.place.name} beside it."
            )

    def _announce(self, entry: Entry) -> None:
        path = entry.folder / METADATA
        self._step.events.emit(
            "artefact", item=self._task.item.key, kind="archive_metadata", path=str(path),
            bytes=path.stat().st_size, sha256=sha256_of(path),
        )  # fmt: skip

    def _remove(self, delivery: Delivery, contents: Contents, archivable: Sequence[Archivable]) -> None:
        """Remove the working copy, once everything is read back from where it went. Raises ItemError when it differs."""
        before = {file: seen(file.path) for file in contents.files}
        self._read, self._total = 0, 2 * sum(size for size, _ in before.values())
        archives = [self._verified_archive(*each) for each in archivable]
        if not delivery.verified(contents.files, self._on_bytes):
            raise ItemError(
                "delivery_differs", f"{delivery.folder} does not hold what {self._project.name} holds: it is not removed.",
                "Run STEP7 again with --force; check the disk of OUTPUT_DIR if it happens again.",
            )  # fmt: skip
        if self._contents() != contents or any(seen(file.path) != was for file, was in before.items()):
            raise ItemError(
                "changed_meanwhile", f"{self._project.name} changed while it was delivered: it is not removed.",
                "Run STEP7 again when nothing else is at work on it.",
            )  # fmt: skip
        remove_working_copy(self._project, delivery.folder, archives, self._marks(delivery, contents))

    def _verified_archive(self, subject: Subject, artefacts: Sequence[Artefact]) -> Path:
        entry = self._archiver.same(subject, artefacts)
        problems = self._archiver.verify(entry) if entry else [Problem(METADATA, "missing")]
        if entry is None or problems:
            names = ", ".join(f"{problem.name} ({problem.what})" for problem in problems)
            raise ItemError(
                "archive_damaged", f"The archive of {subject.stem} is damaged: {names}.",
                "Move that folder out of ARCHIVES_DIR and run STEP7 again; check the disk.",
            )  # fmt: skip
        return entry.folder

    def _on_bytes(self, count: int) -> None:
        with self._telling:  # one file is read again while the next is copied
            self._read += count
            self._task.progress(min(self._read, self._total), self._total, "bytes")


def _told(what: str, contents: Contents) -> str:
    """Say how it went, and which videos are not there or not whole: nobody should have to look for a warning."""
    short = [(len(contents.held_back), "held back")]
    short.append((sum(bool(clip.missing) for clip in contents.delivered), "incomplete"))
    return "; ".join([what, *(f"{count} video{'s'[: count > 1]} {state}" for count, state in short if count)])


def _size_of(files: Sequence[File]) -> int:
    return sum(file.path.stat().st_size for file in files)


def _archived_size_of(archivable: Sequence[Archivable]) -> int:
    return sum(made.path.stat().st_size for _, artefacts in archivable for made in artefacts)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except NotEnoughSpace as error:
        raise ItemError(
            "no_space", f"{error}.", "Free space there, or set OUTPUT_DIR or ARCHIVES_DIR to a larger disk."
        ) from error
    except CopyError as error:
        raise ItemError("copy_failed", f"{error}.", "Run STEP7 again: what is done stays done.") from error
