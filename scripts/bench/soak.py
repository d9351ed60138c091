"""A thousand delivered files, one in twenty of them bad, through the real steps with real models.

Everything good has to be finished and everything bad to be named, with code, reason and remedy: files that are cut off,
empty, text, without an index; one at which the worker dies and one at which it hangs. Those two are whole clips: a
wrapper around ffmpeg kills the step's process, or sleeps, when it meets them. What each file has to come to is known by
how it was made (tests/integration/material.py), and is looked for on disk and in what the run told.

    envs/env/bin/python scripts/bench/soak.py [--quick] [--files N] [--steps 1-7] [--seed N] [--crashes N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)

import psutil

from config.catalog import steps as declared_steps
from services.planner import chosen_steps
from tests.integration.many_files import command, complaints, surroundings
from tests.integration.material import Material, write_material

_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Peak:
    """The most memory (resident, in bytes) that the supervisor and all its workers together held, and how many those were."""

    supervisor: int = 0
    workers: int = 0
    processes: int = 0


def main() -> int:
    """Run the soak, say what is wrong, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 files through three steps, in under 50 s")
    parser.add_argument("--files", type=int, default=1000, help="how many files (default: 1000)")
    parser.add_argument("--steps", default="1-7", help="a range of steps from STEP1 on (default: 1-7)")
    parser.add_argument("--seed", type=int, default=1, help="which of them are bad, and in which order (default: 1)")
    parser.add_argument("--crashes", type=int, default=1, help="files that kill the worker (default: 1)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this new folder, and leave it there")
    arguments = parser.parse_args()
    count, steps = (40, "1-3") if arguments.quick else (arguments.files, arguments.steps)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep.absolute() if arguments.keep else Path(temporary)
        folder.mkdir(parents=True, exist_ok=not arguments.keep)
        material = write_material(folder / "delivered", count, arguments.seed, crashes=arguments.crashes)
        return soak(folder, material, steps)


def soak(folder: Path, material: Material, steps: str) -> int:
    """Run the steps over the material and judge; returns the exit code."""
    started = time.monotonic()
    told, peak = run(folder, material, steps)
    minutes = (time.monotonic() - started) / 60
    wrong = complaints(told, material, folder, chosen_steps(steps, list(declared_steps())))
    for sentence in wrong:
        print(sentence)
    for (step, code), number in sorted(Counter((f["step"], f["code"]) for f in told["failures"]).items()):
        print(f"{number:4} × {code} at {step}")
    print(json.dumps({
        "files": len(material.files), "good": len(material.good), "bad": len(material.bad), "steps": steps,
        "minutes": round(minutes, 2), "files_per_minute": round(len(material.files) / minutes, 1),
        "supervisor_mb": round(peak.supervisor / 1e6), "workers_mb": round(peak.workers / 1e6),
        "most_processes": peak.processes, "ok": not wrong,
    }))  # fmt: skip
    return 1 if wrong else 0


def run(folder: Path, material: Material, steps: str) -> tuple[dict[str, Any], Peak]:
    """Run `derush run` below `folder` to its end; returns what it told and the memory it took."""
    with (folder / "told.json").open("wb") as out, (folder / "said.txt").open("wb") as err:
        process = subprocess.Popen(
            command(material, steps), cwd=REPOSITORY, env=surroundings(folder), stdout=out, stderr=err
        )
        peak = watch(process)
    text = (folder / "told.json").read_text(encoding="utf-8")
    told: dict[str, Any] = json.loads(text) if text else {}
    if "failures" not in told:  # there was no run
        sys.exit((folder / "said.txt").read_text(encoding="utf-8"))
    return told, peak


def watch(process: subprocess.Popen[bytes]) -> Peak:
    """Wait for a process, looking at its memory and its workers' now and then."""
    supervisor, peak = psutil.Process(process.pid), Peak()
    while process.poll() is None:
        workers = list(_resident(supervisor))
        own = next(_memory(supervisor), 0)
        peak = Peak(max(peak.supervisor, own), max(peak.workers, sum(workers)), max(peak.processes, len(workers)))
        time.sleep(_SAMPLE_SECONDS)
    return peak


def _resident(supervisor: psutil.Process) -> Iterator[int]:
    try:
        below = supervisor.children(recursive=True)
    except psutil.Error:
        return
    for process in below:
        yield from _memory(process)


def _memory(process: psutil.Process) -> Iterator[int]:
    """Yield the resident memory of a process, or nothing when it is gone."""
    try:
        yield process.memory_info().rss
    except psutil.Error:
        return


if __name__ == "__main__":
    sys.exit(main())
