"""A thousand delivered files, one in twenty of them bad, through the real steps with real models.

Everything good has to be finished and everything bad to be named, with code, reason and remedy: files that are cut off,
empty, text, without an index; one at which the worker dies and one at which it hangs. Those two are whole clips: a
wrapper around ffmpeg kills the step's process, or sleeps, when it meets them. What each file has to come to is known by
how it was made (tests/integration/material.py), and is looked for on disk and in what the run told.

    envs/env/bin/python scripts/bench/soak.py [--quick] [--files N] [--steps 1-7] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import re
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
from tests.integration.material import Material, write_material
from tests.integration.media import BINARY

STALL_SECONDS = 10
_SAMPLE_SECONDS = 0.5
_ARTEFACTS = {
    "STEP2": (".mp4", "_source.json"), "STEP3": ("_scenes.csv", "_scenes.json"), "STEP4": ("_audio_raw.json",),
    "STEP5": ("_tracking_raw.jsonl",), "STEP6": ("_audio.json", "_tracking.json"),
}  # fmt: skip
"""What each step has to leave beside a video's proxy."""
_FFMPEG = """\
#!{python} -SE
import os, signal, sys, time
names = [os.path.basename(argument) for argument in sys.argv]
if any(name.endswith({crash!r}) for name in names):
    os.kill(os.getppid(), signal.SIGKILL)
if any(name.endswith({hang!r}) for name in names):
    time.sleep(100000)
os.execv({binary!r}, [{binary!r}, *sys.argv[1:]])
"""


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
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this new folder, and leave it there")
    arguments = parser.parse_args()
    count, steps = (40, "1-3") if arguments.quick else (arguments.files, arguments.steps)
    if arguments.keep:
        arguments.keep.mkdir(parents=True)
        return soak(arguments.keep.absolute(), count, steps, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        return soak(Path(folder), count, steps, arguments.seed)


def soak(folder: Path, count: int, steps: str, seed: int) -> int:
    """Write the files, run the steps over them and judge; returns the exit code."""
    material = write_material(folder / "delivered", count, seed)
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
        "minutes": round(minutes, 2), "files_per_minute": round(count / minutes, 1),
        "supervisor_mb": round(peak.supervisor / 1e6), "workers_mb": round(peak.workers / 1e6),
        "most_processes": peak.processes, "ok": not wrong,
    }))  # fmt: skip
    return 1 if wrong else 0


def run(folder: Path, material: Material, steps: str) -> tuple[dict[str, Any], Peak]:
    """Run `derush run` below `folder` to its end; returns what it told and the memory it took."""
    command = [sys.executable, "-m", "services.cli", "run", "--json", "--steps", steps, *map(str, material.inputs)]
    with (folder / "told.json").open("wb") as out, (folder / "said.txt").open("wb") as err:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=surroundings(folder), stdout=out, stderr=err)
        peak = watch(process)
    told = (folder / "told.json").read_text(encoding="utf-8")
    if not told:
        sys.exit((folder / "said.txt").read_text(encoding="utf-8"))
    return json.loads(told), peak


def surroundings(folder: Path) -> dict[str, str]:
    """Return an environment whose every folder is below `folder`, and whose ffmpeg and steps bring the faults."""
    declared = (REPOSITORY / "config" / "steps.toml").read_text(encoding="utf-8")
    before, step2, after = declared.partition("[steps.STEP2]")
    impatient = re.sub(r"stall_after = \d+", f"stall_after = {STALL_SECONDS}", after, count=1)
    (folder / "steps.toml").write_text(before + step2 + impatient, encoding="utf-8")
    wrapper = folder / "ffmpeg"
    faults = {"python": sys.executable, "binary": BINARY, "crash": "_crash.mov", "hang": "_hang.mov"}
    wrapper.write_text(_FFMPEG.format(**faults), encoding="utf-8")
    wrapper.chmod(0o755)
    places = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR", "DATA_DIR")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("STEP", "LEMONFOX", "AUDIO"))},
        **{name: str(folder / name.removesuffix("_DIR").lower()) for name in places},
        "DERUSH_ENV_FILE": str(folder / "no.env"), "CACHE_ROOT_DIR": str(folder), "DISK_WARNING_GB": "0",
        "DERUSH_STEPS_FILE": str(folder / "steps.toml"), "FFMPEG_BINARY": str(wrapper),
    }  # fmt: skip


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


def complaints(told: dict[str, Any], material: Material, folder: Path, steps: list[str]) -> list[str]:
    """Return a sentence for everything that did not come out as it has to."""
    return [
        *_about_the_bad(told, material),
        *_about_warnings(told, material),
        *_about_the_good(material, folder, steps),
        *_about_counts(told, material, steps),
        *_about_what_is_left(folder),
    ]


def _about_the_bad(told: dict[str, Any], material: Material) -> Iterator[str]:
    failures = {Path(failure["item"]).name: failure for failure in told["failures"]}
    for name in material.bad.keys() - failures.keys():
        yield f"{name} is not named as a failure."
    for name, failure in failures.items():
        expected = material.bad.get(name)
        if expected is None:
            yield f"{name} has to be finished, but: {failure}"
        elif failure["code"] not in expected.codes or failure["step"] != "STEP2":
            yield f"{name} failed in another way than by {sorted(expected.codes)} at STEP2: {failure}"
        elif not failure["message"] or not failure["remedy"]:
            yield f"{name} fails without reason or remedy: {failure}"
    if len(failures) != len(told["failures"]):
        yield "A file is named as a failure twice."


def _about_warnings(told: dict[str, Any], material: Material) -> Iterator[str]:
    warned = {(Path(warning["item"] or "").name, warning["code"]) for warning in told["warnings"]}
    for file in material.files:
        if file.warning and (file.name, file.warning) not in warned:
            yield f"{file.name} lost something, and no {file.warning} says so."


def _about_the_good(material: Material, folder: Path, steps: list[str]) -> Iterator[str]:
    suffixes = [suffix for step in steps for suffix in _ARTEFACTS.get(step, ())]
    places = [folder / "projects", *([folder / "output"] if "STEP7" in steps else [])]
    for file in material.good:
        for place in places:
            docs = place / file.project / "docs"
            missing = [suffix for suffix in suffixes if not (docs / f"{file.stem}{suffix}").is_file()]
            if missing:
                yield f"{file.name} was not finished: {docs} lacks {', '.join(missing)}"


def _about_counts(told: dict[str, Any], material: Material, steps: list[str]) -> Iterator[str]:
    good, bad, projects = len(material.good), len(material.bad), len(material.inputs)
    each = {"STEP1": {"done": projects}, "STEP2": {"done": good, "failed": bad}, "STEP7": {"done": projects}}
    for step in steps:
        counts = told["steps"].get(step, {}).get("counts")
        if counts != each.get(step, {"done": good}):
            yield f"{step} tells {counts}, not {each.get(step, {'done': good})}."
    if told["exit_code"] != 1:
        yield f"The exit code is {told['exit_code']}, not 1."


def _about_what_is_left(folder: Path) -> Iterator[str]:
    """No process of the run may be alive, and nothing half done be left in the projects."""
    marker = f"PROJECTS_DIR={folder / 'projects'}\0".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            is_ours = marker in environment.read_bytes()
        except OSError:
            continue
        if is_ours:
            yield f"Process {environment.parent.name} is still there."
    for path in (folder / "projects").rglob("tmp/*/*"):
        yield f"{path} is left over."


if __name__ == "__main__":
    sys.exit(main())
