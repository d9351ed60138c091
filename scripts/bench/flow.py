"""What it brings that videos flow: clips of mixed length through the seven steps, with the real models.

The same clips are taken through the same steps in three ways, in turns:

    flow      `derush run`: a clip goes on to its next step as soon as it is done with one
    barriers  the same runner, workers and pools, but each step waits until the one before it has done every clip
    scripts   the steps' scripts one after the other, each over all clips, as a shell script would call them

once with speech by a service (a stand-in that answers as late as such services do, `speech_service.py`), and once with
all the work on this machine:

    flow_over_waiting    = seconds of `scripts` / seconds of `flow`
    makespan_over_bound  = seconds of `flow` / the busiest pool's work, as if it could be spread evenly and began at once

    envs/env/bin/python scripts/bench/flow.py [--quick] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)

from config.catalog import steps
from config.settings import load_settings, read_settings
from scripts.bench.speech_service import speech_service
from services.environments import environments
from services.planner import make_plan, workflows
from services.pools import pools_of, takes
from services.preparation import DEMO_ARCHIVE

LENGTHS = (3, 4, 5, 6, 8, 8, 10, 12, 15, 20, 25, 28)
"""Seconds of the twelve clips."""
QUICK_LENGTHS = (1, 1, 2, 3)
_DERUSH = [sys.executable, "-m", "services.cli"]


@dataclass(frozen=True)
class Bench:
    """The clips, and a place for a run of its own each time."""

    clips: Path
    folder: Path
    settings: dict[str, str]

    def variables(self, name: str) -> dict[str, str]:
        """Return an environment whose every folder is this run's own, and empty."""
        root = self.folder / name
        shutil.rmtree(root, ignore_errors=True)
        places = ("DATA_DIR", "PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR")
        own = {place: str(root / place.lower()) for place in places}
        return {
            **os.environ,
            **self.settings,
            **own,
            "CACHE_ROOT_DIR": str(self.folder),
            "DERUSH_ENV_FILE": str(root / "no.env"),
            "STEP1_MIN_SIZE_MB": "0",
        }


Way = Callable[[Bench], float]
"""Takes the clips through the steps once; returns the seconds that took."""


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="four short clips, flow and scripts with a service: under 50 s"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often each way is timed (default: 1)")
    arguments = parser.parse_args()
    ways: dict[str, Way] = {"flow": flow, "scripts": scripts}
    if not arguments.quick:
        ways["barriers"] = barriers
    lengths = QUICK_LENGTHS if arguments.quick else LENGTHS
    with tempfile.TemporaryDirectory() as folder, speech_service() as service:
        clips = make_clips(Path(folder) / "clips", lengths)
        figures = measure(Bench(clips, Path(folder), service), ways, arguments.rounds, "with a speech service")
        if not arguments.quick:
            here = measure(
                Bench(clips, Path(folder), {"LEMONFOX_API_KEY": ""}), ways, arguments.rounds, "all on this machine"
            )
            figures |= {f"{name}_here": value for name, value in here.items()}
    print(json.dumps(figures))
    return 0


def measure(bench: Bench, ways: dict[str, Way], rounds: int, title: str) -> dict[str, float]:
    """Time each way in turns, print the medians, and return the figures."""
    print(title, flush=True)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    bounds: list[float] = []
    for _ in range(rounds):
        for way, timed_once in ways.items():
            seconds[way].append(timed_once(bench))
        bounds.append(seconds["flow"][-1] / busiest_pool(bench.folder / "flow" / "data_dir", bench.settings))
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    for way, value in medians.items():
        print(f"{way:9} {value:8.1f} s   {value / medians['flow']:.2f} × flow", flush=True)
    over_waiting, over_bound = medians["scripts"] / medians["flow"], statistics.median(bounds)
    return {"flow_over_waiting": round(over_waiting, 3), "makespan_over_bound": round(over_bound, 3)}


def make_clips(folder: Path, lengths: tuple[int, ...]) -> Path:
    """Cut clips of these lengths, in seconds, out of the demo's conversation."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(DEMO_ARCHIVE) as archive:
        member = next(name for name in archive.namelist() if name.endswith("interview.mp4"))
        source = Path(archive.extract(member, folder.parent))
    ffmpeg = shutil.which(load_settings().ffmpeg_binary or "ffmpeg") or packaged_ffmpeg()
    for number, length in enumerate(lengths):
        target = folder / f"clip{number:02}.mp4"
        command = [
            ffmpeg,
            "-v",
            "error",
            "-t",
            str(length),
            "-i",
            str(source),
            "-metadata",
            f"title={number}",
            str(target),
        ]
        subprocess.run(command, check=True)
    return folder


def packaged_ffmpeg() -> str:
    """Return the ffmpeg that comes with the environment."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def flow(bench: Bench) -> float:
    """Time one run of all steps."""
    return timed([[*_DERUSH, "run", "--json", str(bench.clips)]], bench.variables("flow"))


def barriers(bench: Bench) -> float:
    """Time one run whose plan has a command that does nothing between any two steps: it waits for all before it."""
    variables = bench.variables("barriers")
    plan = make_plan(workflows()["full"], objective="bench", files=[str(bench.clips)]).record()
    path = bench.folder / "barriers.json"
    path.write_text(json.dumps(with_barriers(plan)), encoding="utf-8")
    return timed([[*_DERUSH, "run", "--json", "--plan", str(path)]], variables)


def with_barriers(plan: dict[str, Any]) -> dict[str, Any]:
    """Put a barrier after every phase of a plan."""
    tasks = [*plan["parallel_tasks"], *plan["sequential_tasks"]]
    waits = {tuple(task["depends"]): f"after-{'-'.join(task['depends'])}" for task in tasks if task["depends"]}
    commands = [
        {"id": name, "name": "Wait", "command": ["python", "-S", "-c", "pass"], "environment": "env", "depends": list(depends)}
        for depends, name in waits.items()
    ]  # fmt: skip
    waiting = [{**task, "depends": [waits[tuple(task["depends"])]] if task["depends"] else []} for task in tasks]
    return {**plan, "parallel_tasks": [], "sequential_tasks": [*waiting, *commands]}


def scripts(bench: Bench) -> float:
    """Time the steps' scripts, one after the other."""
    variables = bench.variables("scripts")
    known = environments(load_settings())
    commands = []
    for spec in steps().values():
        source = ["--source-dir", str(bench.clips)] if spec.item == "archive" else []
        commands.append([str(known[spec.environment].interpreter), str(REPOSITORY / spec.script), *source])
    return timed(commands, variables)


def timed(commands: list[list[str]], variables: dict[str, str]) -> float:
    """Run commands one after the other; returns the seconds they took together."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        subprocess.run(command, cwd=REPOSITORY, env=variables, check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"    {seconds:6.1f} s, {worked:6.1f} s of all cores' time: {worked / seconds:.2f} cores busy", flush=True)
    return seconds


def busiest_pool(data_dir: Path, changes: dict[str, str]) -> float:
    """Return the least seconds that the work of a run could take: the busiest pool's, spread evenly over its size.

    A task's work is the time from its beginning to its end, as it was in that run, beside other tasks.
    """
    settings = read_settings({**os.environ, **changes})
    sizes = pools_of(settings).sizes
    with sqlite3.connect(data_dir / "derush.sqlite3") as connection:
        rows = connection.execute(
            "SELECT step, sum((julianday(ended_at) - julianday(started_at)) * 86400) FROM executions "
            "WHERE kind = 'task' AND step IS NOT NULL GROUP BY step"
        ).fetchall()
    work = dict.fromkeys(sizes, 0.0)
    for step_id, seconds in rows:
        for pool, amount in takes(steps()[step_id], settings, "auto", sizes["gpu"]).items():
            work[pool] += amount * seconds
    return max(work[pool] / size for pool, size in sizes.items() if size)


if __name__ == "__main__":
    sys.exit(main())
