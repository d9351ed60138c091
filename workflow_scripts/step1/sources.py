r"""What is an item of STEP1, for a place that a person names.

A file:
- an archive, told by its content, is an item;
- a video is an item by itself: a project of one clip;
- any other file, when it is named, is an item that fails by name; found in a folder it is passed over.

A folder is looked through to the bottom:
- every archive in it or below it is an item;
- the topmost folders that hold a video directly are items: `rushes/a.mp4` makes `rushes` one item with everything
  below it, `rushes/day1/a.mp4` and `rushes/day2/b.mp4` make `day1` and `day2` two. Only its videos become the project.

Hidden folders, links, projects (folders with `.derush`) and the folders that Derush itself writes are passed over.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from workflow_scripts.step1.formats import archive_format
from workflow_scripts.stepkit.projects import INTERNAL, VIDEO_SUFFIXES

log = logging.getLogger(__name__)


def is_video(path: Path) -> bool:
    """Tell a video by its suffix: whether it can be decoded is for STEP2 to find out."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("._")


def items_below(places: Iterable[Path], own_folders: Collection[Path]) -> list[Path]:
    """Return the items of the named places: archives, clips and folders of clips, each once.

    `own_folders` are those Derush writes; nothing below them is an item.
    """
    found = (item for place in places for item in (_below(place, own_folders) if place.is_dir() else [place]))
    return list(dict.fromkeys(found))


def _below(folder: Path, own_folders: Collection[Path], *, inside_item: bool = False) -> Iterator[Path]:
    files, folders = _entries(folder, own_folders)
    is_item = not inside_item and any(is_video(path) for path in files)
    if is_item:
        yield folder
    yield from (path for path in files if not is_video(path) and _is_archive(path))
    for deeper in folders:
        yield from _below(deeper, own_folders, inside_item=inside_item or is_item)


def videos_below(folder: Path) -> list[Path]:
    """Return the videos of a folder that is an item, by name."""
    files, folders = _entries(folder, ())
    return [path for path in files if is_video(path)] + [path for deeper in folders for path in videos_below(deeper)]


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
