"""Whether there is room on the disks that a run writes to."""

from __future__ import annotations

import shutil
from pathlib import Path

from config.settings import Settings


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there: what will be made stands on the same disk."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def free_gigabytes(path: Path) -> float:
    """Return the free space, in GB, of the disk that a path is or will be on."""
    return shutil.disk_usage(nearest_existing(path)).free / 1e9


class Room:
    """Looks at the disks of a run."""

    def __init__(self, settings: Settings) -> None:
        self._reserve = settings.disk_reserve_gb
        self._places = {
            "PROJECTS_DIR": settings.projects_dir, "OUTPUT_DIR": settings.output_dir,
            "ARCHIVES_DIR": settings.archives_dir, "DATA_DIR": settings.data_dir, "LOGS_DIR": settings.logs_dir,
        }  # fmt: skip

    def lack(self) -> str | None:
        """Say which disk has too little room to go on; None when all have enough."""
        for name, place in self._places.items():
            if free_gigabytes(place) < self._reserve:
                return (
                    f"The disk of {name} ({place}) is full: the run waits until {self._reserve:g} GB are free, "
                    "then goes on by itself."
                )
        return None
