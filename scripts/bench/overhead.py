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
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[0] = str(REPOSITORY)
NOOP = REPOSITORY / "scripts" / "bench" / "noop_step.py"


def main() -> int:
    """Measure, say what was measured, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer items and rounds, in under 50 s")
    parser.add_argument("--items", type=int, default=2000, help="how many items make many (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--drive", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        return drive(json.loads(Path(arguments.drive).read_text()))
    items, rounds = (300, 3) if arguments.quick else (arguments.items, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), items, rounds)
    report(measured, items)
    return 0


def drive(paths: list[str]) -> int:
    """Run the step over the paths with the supervisor; what is imported here is part of what is timed."""
    from config.catalog import environments, steps
    from services.cli.console import Silence
    from services.environments import Environment
    from services.flow import Flow
    from services.supervisor import Options, Supervisor
    from services.worker import WorkItem

    spec = dataclasses.replace(steps()["STEP3"], script=str(NOOP), environment="env", after=())
    flow = Flow(["STEP3"], {"STEP3": spec}, lambda _step, project: [WorkItem("video", path, project) for path in paths])
    flow.begin_with_project(str(Path(paths[0]).parents[1]))
    home = Environment(environments()["env"], Path(sys.prefix), "auto")
    return Supervisor(flow, {"env": home}, Options(), Silence()).run().exit_code


def measure(folder: Path, items: int, rounds: int) -> dict[str, float]:
    """Time both ways with one item and with many; returns the median seconds of each."""
    seconds: dict[str, list[float]] = {}
    variables = {**os.environ, "LOGS_DIR": str(folder / "logs"), "PROJECTS_DIR": str(folder)}
    for _ in range(rounds):
        for name, count in (("one", 1), ("many", items)):
            listed = folder / f"{name}.json"
            listed.write_text(json.dumps([str(folder / "p" / "docs" / f"{number}.mp4") for number in range(count)]))
            by_hand = [sys.executable, str(NOOP), "--videos", str(listed)]
            driven = [sys.executable, __file__, "--drive", str(listed)]
            for way, command in (("hand", by_hand), ("driven", driven)):
                seconds.setdefault(f"{way}_{name}", []).append(timed(command, variables))
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(command: list[str], variables: dict[str, str]) -> float:
    """Run a command to its end and return the seconds it took."""
    started = time.perf_counter()
    subprocess.run(command, env=variables, check=True, capture_output=True)
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
