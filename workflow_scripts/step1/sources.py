r"""What is an item of STEP1, for a place that a person names.

A file:
- an archive, told by its content, is an item;
- a video is an item by itself: a project of one clip;
- any other file, when it is named, is an item that fails by name; found in a folder it is passed over.

A folder is looked through to the bottom:
- every archive in it or below it is an item; one in several parts is one item, by the part that leads (`volumes`);
- the topmost folders that hold a video directly are items: `rushes/a.mp4` makes `rushes` one item with everything
  below it, `rushes/day1/a.mp4` and `rushes/day2/b.mp4` make `day1` and `day2` two. Only its videos become the project.

An archive or a clip that is not wanted (`Wanted`: another kind or name, too small) counts as not there, wherever it lies,
and is named as left out. So it makes no folder an item, and a folder's project is made of the clips that are wanted.
What is still being written (`arriving`) is left for later, and so is a folder with a clip that is.

Hidden folders, links, projects (folders with `.derush`) and the folders that Derush itself writes are passed over.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.step1.archive_policy import is_junk
from workflow_scripts.step1.arriving import arriving_as, is_arriving, unchanged_for
from workflow_scripts.step1.formats import archive_format, parts_told
from workflow_scripts.step1.names import is_named_archive
from workflow_scripts.step1.volumes import is_cut_in_pieces, lead_of, parts_of
from workflow_scripts.stepkit.projects import INTERNAL, VIDEO_SUFFIXES

log = logging.getLogger(__name__)
KINDS = ("all", "archives", "videos")
_ARRIVING, _TOO_SMALL = "still_arriving", "too_small"


@dataclass(frozen=True)
class Wanted:
    """Which delivered archives and clips are taken: one of KINDS, from how many bytes on, and with which words.

    `keywords`: one of them is in the file's own name, or in that of a folder it lies in; none given, all are taken.
    """

    kind: str = "all"
    least_bytes: int = 0
    keywords: tuple[str, ...] = ()

    def refusal(self, path: Path, form: str, size: int) -> tuple[str, str] | None:
        """Return why a file of this size in bytes is left out, as code and sentence; None when it is taken.

        `form` is archive or video.
        """
        if self.kind not in ("all", f"{form}s"):
            return "other_kind", f"left out: only {self.kind} are taken in (--kind {self.kind})"
        if self.keywords and not any(_plain(word) in _plain(part) for word in self.keywords for part in path.parts):
            return "other_name", f"left out: no name on its way has {' or '.join(self.keywords)} in it (--keyword)"
        if size < self.least_bytes:
            return _TOO_SMALL, f"left out: {size} bytes, less than {self.least_bytes / 1e6:g} MB (--min-size)"
        return None


@dataclass(frozen=True)
class LeftOut:
    """What is not taken: its form (archive, video or folder), its size in bytes, and why, as code and sentence."""

    path: Path
    form: str
    bytes: int
    code: str
    message: str


@dataclass(frozen=True)
class Source:
    """An item as it is taken in. `files` are what it delivers: of a folder the clips that are wanted, of an archive its parts."""

    path: Path
    files: tuple[Path, ...]

    @property
    def form(self) -> str:
        """What it is: folder, video or archive; a file that is neither counts as an archive, which its reader refuses."""
        return "folder" if self.path.is_dir() else _form_of(self.path) or "archive"


def source_at(path: Path, wanted: Wanted) -> Source:
    """Return the source that an item is; of an archive in several parts all of them, in their order."""
    return Source(path, tuple(videos_below(path, wanted)) if path.is_dir() else parts_of(path))


def is_video(path: Path) -> bool:
    """Tell a video by its suffix: whether it can be decoded is for STEP2 to find out."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("._")


def found_below(places: Iterable[Path], own_folders: Collection[Path], wanted: Wanted) -> list[Path | LeftOut]:
    """Return the items of the named places (archives, clips and folders of clips) and what is left out, each once.

    `own_folders` are those Derush writes; nothing below them is an item.
    """
    named = list(places)
    found = (each for place in named for each in _found(place, named, own_folders, wanted))
    return list(dict.fromkeys(found))


def entries_of(place: Path, own_folders: Collection[Path]) -> list[Path]:
    """Return what in a folder stands for itself where the folder is watched: each archive, each clip, each folder in it.

    So a clip that comes to the folder itself does not make all of it one item, with what was taken in before.
    """
    if not place.is_dir():
        return [place]
    files, folders = _entries(place, own_folders)
    return [*(path for path in files if _form_of(path) and not _has_lead(path)), *folders]


def passed_over(folder: Path) -> list[Path]:
    """Return the files of a folder that are taken in by nothing: neither videos nor archives, nor what systems leave."""
    files, folders = _entries(folder, ())
    others = [
        path for path in files if not path.name.startswith(".") and not is_junk((path.name,)) and _form_of(path) is None
    ]
    return others + [path for deeper in folders for path in passed_over(deeper)]


def _found(
    place: Path, named: Collection[Path], own_folders: Collection[Path], wanted: Wanted
) -> Iterable[Path | LeftOut]:
    if place.is_dir():
        return _below(place, own_folders, wanted)
    if (lead := lead_of(place)) and lead in named:  # `run *`: a shell names every part
        return [LeftOut(place, "archive", place.stat().st_size, "part_of_another", f"taken in with {lead.name}")]
    return [_judged(place, _form_of(place), wanted)]


def _below(
    folder: Path, own_folders: Collection[Path], wanted: Wanted, *, inside_item: bool = False
) -> Iterator[Path | LeftOut]:
    files, folders = _entries(folder, own_folders)
    judged = [_judged(path, form, wanted) for path in files if not _has_lead(path) and (form := _form_of(path))]
    is_item = not inside_item and any(_is_clip(each) for each in judged)
    found = [each for each in judged if isinstance(each, LeftOut) or not is_video(each)]
    for deeper in folders:
        found += _below(deeper, own_folders, wanted, inside_item=inside_item or is_item)
    coming = [each for each in found if _is_clip(each)]
    if is_item and coming:
        yield _for_later(folder, coming)
        yield from (each for each in found if isinstance(each, LeftOut) or each not in coming)
    else:
        yield from [folder, *found] if is_item else found


def _is_clip(each: Path | LeftOut) -> bool:
    """Tell a clip that is there, or will be in a moment."""
    if isinstance(each, LeftOut):
        return (each.form, each.code) == ("video", _ARRIVING)
    return is_video(each)


def _for_later(folder: Path, coming: Sequence[Path | LeftOut]) -> LeftOut:
    """Leave a folder for later, since some of its clips are still coming."""
    clips = [each for each in coming if isinstance(each, LeftOut)]
    message = f"left for later: {clips[0].path.name} in it is still being written"
    return LeftOut(folder, "folder", sum(each.bytes for each in clips), _ARRIVING, message)


def _judged(path: Path, form: str | None, wanted: Wanted) -> Path | LeftOut:
    """Return a file, or that and why it is left out. What is neither archive nor video is taken, and fails by name."""
    parts = parts_of(path)
    size = sum(part.stat().st_size for part in parts)
    refusal = wanted.refusal(path, form, size) if form else None
    if refusal and refusal[0] == _TOO_SMALL and _misses_parts(parts):
        refusal = None  # nobody knows how large it is, and its reader names the parts that are not there
    if form and refusal is None and (arriving_as(path.name) or any(map(_is_arriving, parts))):
        refusal = _ARRIVING, f"left for later: it is still being written{_last_change(path)}"
    return LeftOut(path, form, size, *refusal) if form and refusal else path


def _misses_parts(parts: Sequence[Path]) -> bool:
    """Tell a split zip of which parts are not there: the last one, by which it is known, is small by its nature."""
    try:
        return parts_told(parts[-1]) > len(parts)
    except OSError:
        return False  # whoever takes it in says so by name


def _last_change(path: Path) -> str:
    """Say that nothing has changed in a file for long, where its name alone says that it is coming."""
    hours = int(unchanged_for(path) // 3600)
    return f", though nothing changed in it for {hours} h: delete it if nobody goes on with it" if hours else ""


def _is_arriving(path: Path) -> bool:
    try:
        return is_arriving(path)
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error)
        return False  # whoever takes it in says so by name


def _form_of(path: Path) -> str | None:
    """Return archive or video, or None for anything else. What is arriving is what it will be."""
    coming = path.with_name(arriving_as(path.name) or path.name)
    if is_video(coming):
        return "video"
    return "archive" if (coming != path and is_named_archive(coming.name)) or _is_archive(path) else None


def _plain(text: str) -> str:
    """Return a text as a person may type it: without accents, in small letters."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def videos_below(folder: Path, wanted: Wanted) -> list[Path]:
    """Return the videos of a folder that is an item, by name, those that are wanted."""
    files, folders = _entries(folder, ())
    videos = [path for path in files if is_video(path) and isinstance(_judged(path, "video", wanted), Path)]
    return videos + [path for deeper in folders for path in videos_below(deeper, wanted)]


def _entries(folder: Path, own_folders: Collection[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files and the folders in a folder, by name. One that cannot be read is said and passed over."""
    try:
        with os.scandir(folder) as entries:
            named = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        log.warning("%s cannot be looked through: %s", folder, error)
        return [], []
    files = [folder / entry.name for entry in named if entry.is_file(follow_symlinks=False)]
    folders = [folder / entry.name for entry in named if entry.is_dir(follow_symlinks=False)]
    return files, [path for path in folders if _is_looked_through(path, own_folders)]


def _is_looked_through(folder: Path, own_folders: Collection[Path]) -> bool:
    return not folder.name.startswith(".") and folder not in own_folders and not (folder / INTERNAL).is_dir()


def _has_lead(path: Path) -> bool:
    """Tell a further part of an archive whose lead is there: that stands for all. Without it the part fails by name."""
    lead = lead_of(path)
    return lead is not None and lead.exists()


def _is_archive(path: Path) -> bool:
    try:
        return is_cut_in_pieces((path,)) or archive_format(path) is not None
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error)
        return False
