"""What there is to take in at the places that the command line names, each thing once however often one looks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.step1.names import free_name, project_name
from workflow_scripts.step1.registry import Identity, Registry, identify
from workflow_scripts.step1.sources import LeftOut, Source, Wanted, entries_of, found_below, source_at
from workflow_scripts.stepkit import Item, Step, UsageError

log = logging.getLogger(__name__)


def wanted(step: Step) -> Wanted:
    """Return which delivered files are taken: by the command line, else by the settings."""
    chosen = step.arguments.min_size
    megabytes = step.settings.step1_min_size_mb if chosen is None else chosen
    return Wanted(step.arguments.kind, round(megabytes * 1e6), tuple(step.arguments.keyword))


class Lookout:
    """Looks for archives and clips, and remembers what it told of already."""

    def __init__(self) -> None:
        self.is_pending = False
        """Whether something was left for later at the last look."""
        self._told: dict[Path, Identity] = {}
        self._left: set[tuple[Path, str]] = set()
        self._missing: set[Path] = set()
        self._missing_may_come_back = False

    def look(self, step: Step) -> list[Item]:
        """Return as items what is new since the last look, and say what is left out.

        Raises UsageError for a place that is not there at the first look; later it may come back.
        """
        places = places_of(step)
        missing = [place for place in places if not place.exists()]
        if missing and not self._missing_may_come_back:
            raise UsageError("no_source", f"{missing[0]} is not there.", "Check the path; mount the disk it is on.")
        for place in set(missing) - self._missing:
            log.warning("%s is gone; it is taken up again when it comes back", place)
        self._missing, self._missing_may_come_back = set(missing), True
        self.is_pending = False
        return list(self._new(step, [place for place in places if place not in self._missing]))

    def _new(self, step: Step, places: list[Path]) -> Iterator[Item]:
        settings, chosen, naming = step.settings, wanted(step), Naming(step)
        own = {step.work_dir, settings.projects_dir, settings.output_dir, settings.archives_dir, settings.logs_dir}
        if step.arguments.watch:
            places = [entry for place in places for entry in entries_of(place, own)]
        for found in found_below(places, own, chosen):
            if isinstance(found, LeftOut):
                self._leave_out(step, found)
                continue
            source = source_at(found, chosen)
            identity = identify(source)
            if self._told.get(found) == identity:
                continue
            if step.arguments.watch and source.form == "folder" and not _is_quiet(source, settings.step1_settle_sec):
                message = "left for later: more of its clips may be on their way"
                self._leave_out(step, LeftOut(found, "folder", identity.bytes, "still_arriving", message))
                continue
            self._told[found] = identity
            yield naming.item(source, identity)

    def _leave_out(self, step: Step, left: LeftOut) -> None:
        """Say that something is left out, once."""
        self.is_pending |= left.code == "still_arriving"
        if (left.path, left.code) not in self._left:
            self._left.add((left.path, left.code))
            step.leave_out(
                Item("archive", left.path, facts={"form": left.form, "bytes": left.bytes}), left.code, left.message
            )


def places_of(step: Step) -> list[Path]:
    """Return the places to look at. Raises UsageError when none is named."""
    places = [path.absolute() for path in step.arguments.source_dir or []]
    if not places:
        raise UsageError("no_source", "Nothing was named to extract.", "Give --source-dir, or --videos with a list.")
    return places


def _is_quiet(folder: Source, seconds: float) -> bool:
    """Tell whether no clip of a folder came or changed for a while: between two of them nothing is being written."""
    stats = [path.stat() for path in folder.files]
    latest = max((max(status.st_mtime, status.st_ctime) for status in stats), default=0.0)
    return time.time() - latest >= seconds


class Naming:
    """What `--list` tells of a source: whose project it is, or how the project will be called."""

    def __init__(self, step: Step) -> None:
        self._seen = Registry(step.work_dir).seen()
        self._pattern = step.settings.step1_project_pattern
        self._taken = [path.name for path in step.work_dir.iterdir()] if step.work_dir.is_dir() else []

    def item(self, source: Source, identity: Identity) -> Item:
        """Return a source as an item. The name of a project that is none yet is the one that is free by now."""
        project = self._seen.get(identity)
        facts = {"form": source.form, "bytes": identity.bytes, "name": project.name if project else self._name(source)}
        clips = {"clips": len(source.files)} if facts["form"] != "archive" else {}
        return Item("archive", source.path, project.path if project else None, facts={**facts, **clips})

    def _name(self, source: Source) -> str:
        name = free_name(project_name(source.path, self._pattern), self._taken)
        self._taken.append(name)
        return name
