"""How many tasks a second Derush carries out, beside Prefect, Luigi and doit on the same graph.

Every video goes through five steps that do nothing, each after the one before it; every tool works on two tasks at a
time. The others are installed on first use, below `.cache/`, and used as their own documentation says. Their steps are
measured twice: as a program under another interpreter, which is what a step of Derush is (`others/noop.py`, started
without site-packages: the lightest there is), and as a function in their own process, their best case. Their graphs
grow, each in a process of its own, until there is no time left for a larger one: some get slower the more there is to
do, and would take hours over ours. Rates are per task, of the largest graph.

    envs/env/bin/python scripts/bench/graph.py [--quick] [--videos N] [--limit SECONDS]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)
OTHERS = REPOSITORY / "scripts" / "bench" / "others"
STEPS = 5
WORKERS = 2
TOOLS = {"prefect": 20, "luigi": 40, "doit": 80}
"""How many videos each begins with: a second or two of its work."""
COMPARED = "program"
"""Which of the two ways the ratios are about; with --quick the only one."""
PROGRAM = [sys.executable, "-S", "-E", str(OTHERS / "noop.py")]

from scripts.bench.noop_run import noop_run
from scripts.bench.other_tools import PYTHON, at_home, install
from services.commands import Child


@dataclass(frozen=True)
class Measured:
    """The largest graph of one tool, its steps being programs or functions (`way`), and its tasks per second."""

    tool: str
    way: str
    videos: int
    rate: float


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller graphs, in under 50 s once all is installed")
    parser.add_argument("--videos", type=int, default=2000, help="the largest graph (default: 2000)")
    parser.add_argument("--limit", type=float, default=40, help="seconds for another tool's largest graph")
    arguments = parser.parse_args()
    videos, limit = (200, 0.0) if arguments.quick else (arguments.videos, arguments.limit)
    install()
    ours = derush(videos)
    print(f"{'derush':8} {'steps':9} {videos:6} videos × {STEPS} steps {ours:8.0f} tasks/s")
    print(f"{'nothing':8} {'program':9} {'started alone, no graph':23} {programs_alone():8.0f} tasks/s")
    ways = (COMPARED,) if arguments.quick else ("program", "function")
    report(ours, [other(tool, way, videos, limit) for tool in TOOLS for way in ways])
    return 0


def derush(videos: int) -> float:
    """Carry the graph out with `derush run`, all it does included; returns tasks per second of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        run = noop_run(Path(folder) / "run", videos, STEPS)
        started = time.perf_counter()
        told = run.carry_out()
        seconds = time.perf_counter() - started
    done: int = sum(entry["counts"]["done"] for entry in told["steps"].values())
    assert done == videos * STEPS, told["steps"]
    return done / seconds


def programs_alone(count: int = 300) -> float:
    """Start the program as often as that, two at a time; returns how often a second: no tool can be faster with it."""
    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda _number: subprocess.run(PROGRAM, check=True), range(count)))
    return count / (time.perf_counter() - started)


def other(tool: str, way: str, most: int, limit: float) -> Measured:
    """Let another tool carry out graphs, each twice the one before, as long as the next may fit into the limit."""
    videos = min(TOOLS[tool], most)
    while True:
        seconds = carried_out(tool, videos, PROGRAM if way == "program" else [], timeout=120 + 10 * limit)
        if videos == most or 2 * seconds > limit:
            return Measured(tool, way, videos, videos * STEPS / seconds)
        videos = min(2 * videos, most)


def carried_out(tool: str, videos: int, program: Sequence[str], timeout: float) -> float:
    """Let another tool carry out one graph in a process of its own; returns the seconds that it says it took."""
    options = ["--videos", str(videos), "--steps", str(STEPS), "--workers", str(WORKERS)]
    command = [str(PYTHON), str(OTHERS / f"{tool}_graph.py"), *options, "--", *program]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+", errors="replace") as complaints:
        child = Child(command, changes=at_home(home), stderr=complaints.fileno(), cwd=Path(home))
        try:
            said, _ = child.process.communicate(timeout=timeout)
        finally:
            child.stop()
        if child.process.returncode != 0:
            complaints.seek(0)
            raise SystemExit(f"{tool} ended with {child.process.returncode}:\n{complaints.read()[-2000:]}")
    return float(json.loads(said.splitlines()[-1])["seconds"])


def report(ours: float, others: Iterable[Measured]) -> None:
    """Print the rate of every tool, both ways, and the figures as one JSON object."""
    figures = {"tasks_per_second": round(ours, 1)}
    for it in others:
        ratio = ours / it.rate
        print(f"{it.tool:8} {it.way:9} {it.videos:6} videos × {STEPS} steps {it.rate:8.0f} tasks/s  ours: ×{ratio:.2f}")
        if it.way == COMPARED:
            figures[f"over_{it.tool}"] = round(ratio, 2)
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
