"""A step's log: to the console and to one file a run, in UTC."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def log_path(folder: Path, name: str) -> Path:
    """Return a new log file's path: `<name>_<UTC time>_<pid>.log`, so that two runs never share one."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return folder / f"{name}_{stamp}_{os.getpid()}.log"


def open_log(path: Path, *, console: bool = True) -> None:
    """Send the root logger to `path`, and to the console unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    # A file name that is no valid UTF-8 must not break the line that names it.
    to_file = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in (to_file, logging.StreamHandler()) if console else (to_file,):
        handler.setFormatter(formatter)
        root.addHandler(handler)
