"""What the runner adds over calling a step's script by hand.

A step that does nothing is given the same items twice: by hand, one process over a list; and driven, a supervisor that
feeds a worker item by item, with everything `derush run` loads. Both are timed as whole processes, with one item and with
many, in turns; the medians are compared:

    ms_per_item = ((driven(many) - driven(one)) - (hand(many) - hand(one))) / (many - 1)
    s_per_run   = driven(one) - hand(one)

    envs/env/bin/python scripts/bench/overhead.py [--quick] [--items N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from scripts.bench.noop_run import REPOSITORY, NoopRun, noop_run


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer items and rounds, in under 50 s")
    parser.add_argument("--items", type=int, default=2000, help="how many items make many (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    arguments = parser.parse_args()
    items, rounds = (300, 3) if arguments.quick else (arguments.items, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), items, rounds)
    report(measured, items)
    return 0


def measure(folder: Path, items: int, rounds: int) -> dict[str, float]:
    """Time both ways with one item and with many; returns the median seconds of each."""
    seconds: dict[str, list[float]] = {}
    runs = {name: noop_run(folder / name, count, steps=1) for name, count in (("one", 1), ("many", items))}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds.setdefault(f"hand_{name}", []).append(timed(by_hand(run), run.variables))
            seconds.setdefault(f"driven_{name}", []).append(timed(run.command(), run.variables))
    return {name: statistics.median(values) for name, values in seconds.items()}


def by_hand(run: NoopRun) -> list[str]:
    """Return the command that does the same without the runner: the step's script over a list."""
    listed = run.folder / "videos.json"
    listed.write_text(json.dumps([str(path) for path in run.videos]), encoding="utf-8")
    return [sys.executable, str(run.folder / "STEP1.py"), "--videos", str(listed)]


def timed(command: list[str], variables: dict[str, str]) -> float:
    """Run a command to its end and return the seconds it took."""
    started = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, env=variables, check=True, capture_output=True)
    return time.perf_counter() - started


def report(measured: dict[str, float], items: int) -> None:
    """Print the times, and the figures as one JSON object."""
    for name, value in measured.items():
        print(f"{name:12} {value:8.3f} s")
    added = (measured["driven_many"] - measured["driven_one"]) - (measured["hand_many"] - measured["hand_one"])
    figures = {
        "ms_per_item": round(1000 * added / (items - 1), 3),
        "s_per_run": round(measured["driven_one"] - measured["hand_one"], 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
