"""Where a delivery goes, and whether it fits there."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

from config.settings import Settings
from services.results_archiver import check_space
from workflow_scripts.stepkit.errors import ItemError

log = logging.getLogger(__name__)


def is_writable(folder: Path) -> bool:
    """Tell whether a file can be made in a folder, by making one: permissions alone do not say so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"probe")
    except OSError as error:
        log.debug("%s cannot be written: %s", folder, error)
        return False
    return True


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
