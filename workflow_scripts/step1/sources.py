r"""What is an item of STEP1, for a place that a person names.

A file:
- an archive, told by its content, is an item;
- a video is an item by itself: a project of one clip;
- any other file, when it is named, is an item that fails by name; found in a folder it is passed over.

A folder is looked through to the bottom:
- every archive in it or below it is an item;
- the topmost folders that hold a video directly are items: `rushes/a.mp4` makes `rushes` one item with everything
  below it, `rushes/day1/a.mp4` and `rushes/day2/b.mp4` make `day1` and `day2` two. Only its videos become the project.

An archive or a clip that is not wanted (`Wanted`: another kind, too small) counts as not there, wherever it lies, and is
named as left out. So it makes no folder an item, and a folder's project is made of the clips that are wanted.

Hidden folders, links, projects (folders with `.derush`) and the folders that Derush itself writes are passed over.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.step1.formats import archive_format
from workflow_scripts.stepkit.projects import INTERNAL, VIDEO_SUFFIXES

log = logging.getLogger(__name__)
KINDS = ("all", "archives", "videos")


@dataclass(frozen=True)
class Wanted:
    """Which delivered archives and clips are taken: one of KINDS, and from how many bytes on."""

    kind: str = "all"
    least_bytes: int = 0

    def refusal(self, form: str, size: int) -> tuple[str, str] | None:
        """Return why a file of this size in bytes is left out, as code and sentence; None when it is taken.

        `form` is archive or video.
        """
        if self.kind not in ("all", f"{form}s"):
            return "other_kind", f"left out: only {self.kind} are taken in (--kind {self.kind})"
        if size < self.least_bytes:
            return "too_small", f"left out: {size} bytes, less than {self.least_bytes / 1e6:g} MB (--min-size)"
        return None


@dataclass(frozen=True)
class LeftOut:
    """A file that is not wanted: its form (archive or video), its size in bytes, and why, as code and sentence."""

    path: Path
    form: str
    bytes: int
    code: str
    message: str


@dataclass(frozen=True)
class Source:
    """An item as it is taken in. `files` are what it delivers: of a folder the clips that are wanted, else the file itself."""

    path: Path
    files: tuple[Path, ...]

    @property
    def form(self) -> str:
        """What it is: folder, video or archive; a file that is neither counts as an archive, which its reader refuses."""
        return "folder" if self.path.is_dir() else _form_of(self.path) or "archive"


def source_at(path: Path, wanted: Wanted) -> Source:
    """Return the source that an item is."""
    return Source(path, tuple(videos_below(path, wanted)) if path.is_dir() else (path,))


def is_video(path: Path) -> bool:
    """Tell a video by its suffix: whether it can be decoded is for STEP2 to find out."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("._")


def found_below(places: Iterable[Path], own_folders: Collection[Path], wanted: Wanted) -> list[Path | LeftOut]:
    """Return the items of the named places (archives, clips and folders of clips) and what is left out, each once.

    `own_folders` are those Derush writes; nothing below them is an item.
    """
    return list(dict.fromkeys(each for place in places for each in _found(place, own_folders, wanted)))


def _found(place: Path, own_folders: Collection[Path], wanted: Wanted) -> Iterable[Path | LeftOut]:
    return _below(place, own_folders, wanted) if place.is_dir() else [_judged(place, _form_of(place), wanted)]


def _below(
    folder: Path, own_folders: Collection[Path], wanted: Wanted, *, inside_item: bool = False
) -> Iterator[Path | LeftOut]:
    files, folders = _entries(folder, own_folders)
    judged = [_judged(path, form, wanted) for path in files if (form := _form_of(path))]
    is_item = not inside_item and any(isinstance(each, Path) and is_video(each) for each in judged)
    if is_item:
        yield folder
    yield from (each for each in judged if isinstance(each, LeftOut) or not is_video(each))
    for deeper in folders:
        yield from _below(deeper, own_folders, wanted, inside_item=inside_item or is_item)


def _judged(path: Path, form: str | None, wanted: Wanted) -> Path | LeftOut:
    """Return a file, or that and why it is left out. What is neither archive nor video is taken, and fails by name."""
    size = path.stat().st_size
    refusal = wanted.refusal(form, size) if form else None
    return LeftOut(path, form, size, *refusal) if form and refusal else path


def _form_of(path: Path) -> str | None:
    """Return archive or video, or None for anything else."""
    return "video" if is_video(path) else "archive" if _is_archive(path) else None


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


def _is_archive(path: Path) -> bool:
    try:
        return archive_format(path) is not None
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error)
        return False
