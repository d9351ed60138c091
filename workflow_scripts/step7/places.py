"""Where a delivery goes, whether that is there, and whether it fits."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from config.settings import Settings
from services.verified_copies import check_space
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.projects import INTERNAL, Project

log = logging.getLogger(__name__)


def is_writable(folder: Path) -> bool:
    """Tell whether a file can be made in a folder, by making one: permissions alone do not say so.

    The folder is made where need be, but none above it: below a disk that is not mounted all of them are missing.
    """
    if mount_point := unmounted(folder):
        log.warning("%s is not mounted, though /etc/fstab names it", mount_point)
        return False
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"probe")
            stream.flush()
    except OSError as error:
        log.warning("%s cannot be written: %s", folder, error)
        return False
    return True


def unmounted(folder: Path, fstab: Path = Path("/etc/fstab")) -> Path | None:
    """Return the nearest mount point above a folder that the system's table names, if nothing is mounted there."""
    try:
        lines = (line.split() for line in fstab.read_text(encoding="utf-8", errors="replace").splitlines())
        points = [Path(entry[1].replace("\\040", " ")) for entry in lines if len(entry) > 2 and entry[0][0] != "#"]
        above = [point for point in points if point.is_absolute() and folder.is_relative_to(point)]
        nearest = max(above, key=lambda point: len(point.parts), default=None)
        return nearest if nearest and not os.path.ismount(nearest) else None
    except OSError:
        return None  # a system without such a table


def output_folder(settings: Settings) -> tuple[Path, str | None]:
    """Return the folder to deliver to, and a warning when it is not OUTPUT_DIR.

    Raises ItemError when neither OUTPUT_DIR nor FALLBACK_OUTPUT_DIR can be written.
    """
    if is_writable(settings.output_dir):
        return settings.output_dir, None
    fallback = settings.fallback_output_dir
    if fallback is not None and is_writable(fallback):
        return fallback, f"OUTPUT_DIR ({settings.output_dir}) cannot be written: delivered to {fallback} instead."
    raise ItemError(
        "output_unwritable",
        f"OUTPUT_DIR ({settings.output_dir}) cannot be written.",
        "Mount it or give the user who runs Derush access to it; or set FALLBACK_OUTPUT_DIR to a folder that can be.",
    )


def check_apart(project: Project, delivery: Path, archives: Path) -> None:
    """Check that a project's delivery and its archives are apart from its working copy, through links and mounts too.

    Raises ItemError: a file would be verified against itself, and go with the working copy.
    """
    places = (delivery, delivery / INTERNAL, archives)
    within = next((place for place in places if _is_within(place, project.path)), None)
    if within is not None or _is_within(project.path, delivery):
        raise ItemError(
            "output_is_work",
            f"{within or delivery} is the working copy {project.path} itself, or the one is in the other.",
            f"Set {'ARCHIVES_DIR' if within == archives else 'OUTPUT_DIR'} to another folder.",
        )


def _is_within(inner: Path, outer: Path) -> bool:
    resolved = inner.resolve()
    if not outer.exists():
        return resolved.is_relative_to(outer.resolve())
    return any(above.exists() and above.samefile(outer) for above in (resolved, *resolved.parents))


def check_fits(needed: Iterable[tuple[Path, int]]) -> None:
    """Check that the bytes needed below each folder fit, those on one file system taken together.

    Raises NotEnoughSpace.
    """
    on_device: dict[int, tuple[Path, int]] = {}
    for folder, size in needed:
        device = folder.stat().st_dev
        on_device[device] = folder, on_device.get(device, (folder, 0))[1] + size
    for folder, size in on_device.values():
        check_space(folder, size)
