"""Exports as files: which formats can be made of a video, where each goes, and how it gets there whole or not at all."""

from __future__ import annotations

import filecmp
import glob
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from workflow_scripts.step6.exports.after_effects import MOST_STREAMS
from workflow_scripts.step6.exports.edl import MOST_EVENTS
from workflow_scripts.step6.exports.formats import FORMATS, Format
from workflow_scripts.step6.exports.making import axis_of, export_of, media_path
from workflow_scripts.step6.exports.material import Material, read_material
from workflow_scripts.step6.exports.timeline import Export
from workflow_scripts.stepkit import prerequisites
from workflow_scripts.stepkit.errors import ItemError, PrerequisiteMissing
from workflow_scripts.stepkit.files import publish
from workflow_scripts.stepkit.projects import Project, Video

FOLDER = "exports"
"""Of a project: where exports go unless somebody names another folder."""
_TEMPORARY = f".export.{platform.node()}+"
"""How the name of a file begins that is being written on this machine; the process follows."""


@dataclass(frozen=True)
class Order:
    """What was asked for: formats by name, `against` the original or the proxy, `paths` to media relative or absolute."""

    formats: tuple[str, ...]
    against: str = "original"
    paths: str = "relative"

    @property
    def chosen(self) -> list[Format]:
        """The formats, in the order they were asked for."""
        return [FORMATS[name] for name in self.formats]

    def name(self, video: Video, made: Format) -> str:
        """Return a file's name: `<stem>.otio`, against the proxy `<stem>.proxy.otio`."""
        return f"{video.stem}{'.proxy' if self.against == 'proxy' else ''}{made.suffix}"


@dataclass(frozen=True)
class Prepared:
    """A video ready to be written: the formats that can be, why the others cannot, and what a person should know."""

    export: Export
    possible: tuple[Format, ...]
    impossible: tuple[tuple[Format, ItemError], ...]
    warnings: tuple[ItemError, ...]


def prepare(video: Video, order: Order, folder: Path, on_frame: Callable[[int], None] = lambda _: None) -> Prepared:
    """Read what the formats take. Raises ItemError when nothing can be said of the video at all."""
    wanted = frozenset[str]().union(*(made.needs | made.wants for made in order.chosen)) - {"text"}
    material = read_material(video, wanted, on_frame)
    axis = axis_of(material, order.against)
    export = export_of(material, axis, order.against, folder, order.paths)
    missing = material.missing
    impossible = {made: missing[need] for made in order.chosen for need in sorted(made.needs & set(missing))}
    possible = [made for made in order.chosen if made not in impossible]
    warnings = [missing[want] for want in sorted(missing) if any(want in made.wants for made in possible)]
    warnings += _doubts(material, order, is_exact=axis.is_exact)
    warnings += _losses(material, export, {made.name for made in possible})
    return Prepared(export, tuple(possible), tuple(impossible.items()), tuple(warnings))


def _doubts(material: Material, order: Order, *, is_exact: bool) -> Iterator[ItemError]:
    path = media_path(material, order.against)
    if not path.is_file():
        yield ItemError("no_media", f"{path} is not there.", "Put it back, or link it again in the editing program.")
    if not is_exact:
        sentence = "The original's rate varies so much that some cuts lie a frame beside their own."
        yield ItemError("inexact_cuts", sentence, "Cut the proxy instead: --against proxy.")


def _losses(material: Material, export: Export, names: set[str]) -> Iterator[ItemError]:
    """Yield what formats cannot hold, or programs may not read."""
    if left_out := len(material.scenes) - len(export.shots):
        sentence = f"{left_out} shots show no frame of the original's that is not another shot's too, and are left out."
        yield ItemError("empty_shots", sentence, "Cut the proxy instead, --against proxy, where each has its frames.")
    if len(export.shots) > MOST_EVENTS and "edl" in names:
        sentence = f"The edit decision list has {len(export.shots)} events, and CMX 3600 numbers {MOST_EVENTS}."
        remedy = "Take otio, fcp7 or fcpxml for a program that stops there."
        yield ItemError("many_events", sentence, remedy)
    if len(export.tracks.subjects(by_person=True)) > MOST_STREAMS and {"mgjson", "jsx"} & names:
        sentence = f"After Effects gets the {MOST_STREAMS} persons or tracks that are seen the longest."
        yield ItemError("many_tracks", sentence, "Take ae-json for all of them.")


def write(export: Export, made: Format, path: Path, *, replace: bool) -> None:
    """Write one file to its place: whole, or not at all; what is the same already is left as it is.

    Raises ItemError when there is another file and it may not be replaced, OSError when the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}.tmp")
    try:
        made.write(export, temporary)
        if path.is_file() and not path.is_symlink() and filecmp.cmp(temporary, path, shallow=False):
            return
        if os.path.lexists(path) and not replace:
            raise ItemError("file_exists", f"{path} is there, and another.", "Remove it, or say --force to replace it.")
        publish(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what processes of this machine left that were killed while they wrote an export."""
    for left in folder.glob(f"{glob.escape(_TEMPORARY)}*.tmp"):
        process = left.name[len(_TEMPORARY) : -len(".tmp")]
        if process.isdecimal() and not _is_alive(int(process)):
            with suppress(OSError):
                left.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def missing_module(order: Order, settings: Settings) -> PrerequisiteMissing | None:
    """Return what the environment lacks to write the formats, if anything."""
    checks = (prerequisites.module(made.module)(settings) for made in order.chosen if made.module)
    return next(filter(None, checks), None)


def refuse_delivered(project: Project, path: Path) -> None:
    """Raise ItemError when a place in a project is that of a file that was delivered with it."""
    try:
        members = json.loads(project.archive_record.read_text(encoding="utf-8"))["members"]
        delivered = {member["path"] for member in members}
    except (OSError, ValueError, KeyError, TypeError):
        return
    if str(path.relative_to(project.path)) in delivered:
        raise ItemError(
            "delivered_file", f"{path.name} was delivered with the project.", "Choose another folder with --output."
        )


def named(formats: Sequence[str]) -> tuple[str, ...]:
    """Return names of formats, each once, in lower case; `all` means every one. Raises ValueError for one that is none."""
    asked = [name.strip().lower() for text in formats for name in text.split(",") if name.strip()]
    names = [name for each in asked for name in (FORMATS if each == "all" else [each])]
    if unknown := [name for name in names if name not in FORMATS]:
        raise ValueError(f"No format is called {', '.join(unknown)}")
    return tuple(dict.fromkeys(names))
