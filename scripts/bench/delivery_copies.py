"""STEP7 beside `rsync --checksum` and `cp` with `sha256sum`, which deliver the same project and look whether they did.

Each ends with the copies on the disk and both sides read and compared: rsync flushes what it writes (`--fsync`), and a second
`rsync --checksum --dry-run` compares; `cp` is followed by `sync`, and by `sha256sum` of the project and `sha256sum --check` of
the copy. STEP7 also reads its copy from the disk, where the others read it from memory, and makes and checks the archives.
What one pass of rsync takes, which flushes nothing and reads no copy, is said beside them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workflow_scripts.step7.artefacts import ARTEFACTS

_REPOSITORY = Path(__file__).resolve().parents[2]
_STEP7 = _REPOSITORY / "workflow_scripts/step7/finalize_and_copy.py"
_CLIPS = 10
_BLOCK = 1 << 20
_ORIGINALS = 0.8
"""Of the megabytes: the rest are proxies, and a hundredth artefacts, which are archived too."""


def compare_delivery(folder: Path, megabytes: int, rounds: int) -> dict[str, float]:
    """Deliver a project of so many megabytes in each way, in turns; `folder` takes twice that for the while.

    Raises CalledProcessError when one of them fails or finds a difference.
    """
    project = folder / "projects/Bench"
    _write_project(project, megabytes)
    ways: dict[str, Callable[[], None]] = {"STEP7": lambda: _step7(folder), "cp, sha256sum": lambda: _cp(folder)}
    if shutil.which("rsync"):
        ways |= {"rsync --checksum": lambda: _rsync(folder), "rsync, one pass": lambda: _rsync_once(folder)}
    else:
        print("rsync is not installed: without it", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in sorted(ways, reverse=bool(turn % 2)):
            seconds[name].append(_timed(ways[name]))
            for copy in ("output", "archives"):
                shutil.rmtree(folder / copy, ignore_errors=True)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, taken in medians.items():
        print(f"{name:18} {taken:7.2f} s, {megabytes / taken:6.0f} MB/s", flush=True)
    shutil.rmtree(project.parent)
    fastest = min(taken for name, taken in medians.items() if name in ("cp, sha256sum", "rsync --checksum"))
    return {"deliver_over_fastest": round(medians["STEP7"] / fastest, 2)}


def _timed(way: Callable[[], None]) -> float:
    """Return how many seconds something takes, everything before it being on the disk."""
    os.sync()
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def _step7(folder: Path) -> None:
    """Run STEP7 as a person does. It leaves records in the project, as its steps do: what it knows of sizes is not new to it."""
    shutil.rmtree(folder / "projects/Bench/.derush", ignore_errors=True)
    (folder / "archives").mkdir()
    places = {"OUTPUT_DIR": folder / "output", "ARCHIVES_DIR": folder / "archives", "DISK_WARNING_GB": 0}
    variables = {
        "PATH": os.environ["PATH"],
        "DERUSH_ENV_FILE": os.devnull,
        **{key: str(it) for key, it in places.items()},
    }
    command = [sys.executable, str(_STEP7), "--work_dir", str(folder / "projects"), "--log_dir", str(folder / "logs")]
    subprocess.run(command, env=variables, check=True, capture_output=True)


def _cp(folder: Path) -> None:
    sums = "find . -type f -not -path './.derush/*' -exec sha256sum {} +"
    _shell(folder, f"cp -a projects/Bench output && sync -f output && (cd projects/Bench && {sums}) > sums")
    _shell(folder, "cd output && sha256sum --check --quiet ../sums")


def _rsync(folder: Path) -> None:
    _shell(folder, "rsync -a --checksum --fsync projects/Bench/ output/ && sync -f output")
    _shell(folder, 'test -z "$(rsync -a --checksum --dry-run --itemize-changes projects/Bench/ output/)"')


def _rsync_once(folder: Path) -> None:
    _shell(folder, "rsync -a --checksum projects/Bench/ output/")


def _shell(folder: Path, line: str) -> None:
    subprocess.run(["sh", "-ec", line], cwd=folder, check=True)


def _write_project(project: Path, megabytes: int) -> None:
    """Write a finished project: originals, proxies and artefacts out of noise, which no file system makes smaller."""
    docs = project / "docs"
    docs.mkdir(parents=True)
    (project / "sources").mkdir()
    noise = [random.Random(number).randbytes(_BLOCK) for number in range(16)]
    original = round(megabytes * _ORIGINALS / _CLIPS)
    proxy = round(megabytes * (1 - _ORIGINALS) * 0.95 / _CLIPS)
    artefact = max(1, round(megabytes * (1 - _ORIGINALS) * 0.05 / _CLIPS / len(ARTEFACTS)))
    for clip in range(_CLIPS):
        path = project / f"sources/clip{clip}.mov"
        sha256 = _write(path, original, noise, clip)
        _write(docs / f"clip{clip}.mp4", proxy, noise, clip + 100)
        for number, made in enumerate(ARTEFACTS):
            _write(docs / f"clip{clip}{made.suffix}", artefact, noise, clip + 1000 * (number + 1))
        told = {"path": f"sources/{path.name}", "name": path.name, "bytes": path.stat().st_size, "sha256": sha256}
        facts = {"schema": "derush.source/1", "original": told, "proxy": {"frames": 1}}
        (docs / f"clip{clip}_source.json").write_text(json.dumps(facts))


def _write(path: Path, megabytes: int, noise: list[bytes], seed: int) -> str:
    dice, digest = random.Random(seed), hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(megabytes):
            block = dice.choice(noise)
            digest.update(block)
            stream.write(block)
    return digest.hexdigest()
