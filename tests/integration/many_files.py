"""Material of known worth through the real steps: how the run is started, and what is wrong with what came of it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, is_alive
from tests.integration.material import Material
from tests.integration.media import BINARY

STALL_SECONDS = 6
_ARTEFACTS = {
    "STEP2": (".mp4", "_source.json"), "STEP3": ("_scenes.csv", "_scenes.json"), "STEP4": ("_audio_raw.json",),
    "STEP5": ("_tracking_raw.jsonl",), "STEP6": ("_audio.json", "_tracking.json"),
}  # fmt: skip
"""What each step has to leave beside a video's proxy (docs/artefacts.md)."""
_FFMPEG = """\
#!{python} -SE
import os, signal, sys, time
names = [os.path.basename(argument) for argument in sys.argv]
is_crash = any(name.endswith("_crash.mov") for name in names)
if is_crash:
    os.kill(os.getppid(), signal.SIGKILL)
if is_crash or any(name.endswith("_hang.mov") for name in names):
    time.sleep(100000)
os.execv({binary!r}, [{binary!r}, *sys.argv[1:]])
"""
"""ffmpeg, but for two names: at one it takes the worker that called it with it, at the other it never ends."""


def command(material: Material, steps: str) -> list[str]:
    """Return the command line that takes all of the material through a range of steps."""
    return [sys.executable, "-m", "services.cli", "run", "--json", "--steps", steps, *map(str, material.inputs)]


def surroundings(folder: Path) -> dict[str, str]:
    """Return an environment whose every folder is below `folder`, with the two faults and little patience for STEP2."""
    declared = (REPOSITORY / "config" / "steps.toml").read_text(encoding="utf-8")
    before, step2, after = declared.partition("[steps.STEP2]")
    impatient = re.sub(r"stall_after = \d+", f"stall_after = {STALL_SECONDS}", after, count=1)
    (folder / "steps.toml").write_text(before + step2 + impatient, encoding="utf-8")
    wrapper = folder / "ffmpeg"
    wrapper.write_text(_FFMPEG.format(python=sys.executable, binary=BINARY), encoding="utf-8")
    wrapper.chmod(0o755)
    places = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "LOGS_DIR", "DATA_DIR")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("STEP", "LEMONFOX", "AUDIO"))},
        **{name: str(folder / name.removesuffix("_DIR").lower()) for name in places},
        "DERUSH_ENV_FILE": str(folder / "no.env"), "CACHE_ROOT_DIR": str(folder), "DISK_WARNING_GB": "0",
        "STEP1_MIN_SIZE_MB": "0",
        "DERUSH_STEPS_FILE": str(folder / "steps.toml"), "FFMPEG_BINARY": str(wrapper),
    }  # fmt: skip


def complaints(told: dict[str, Any], material: Material, folder: Path, steps: Sequence[str]) -> list[str]:
    """Return a sentence for everything that did not come out as it has to. `told` is what the run printed."""
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
    damaged = {Path(warning["item"]).name for warning in told["warnings"] if warning["code"] == "damaged_source"}
    salvaged = {file.name for file in material.files if file.is_salvaged}
    for name in sorted(salvaged - damaged):
        yield f"{name} lost something, and no warning says so."
    for name in sorted(damaged - salvaged):
        yield f"{name} is whole, and a warning says that it is damaged."


def _about_the_good(material: Material, folder: Path, steps: Sequence[str]) -> Iterator[str]:
    suffixes = [suffix for step in steps for suffix in _ARTEFACTS.get(step, ())]
    places = [folder / "projects", *([folder / "output"] if "STEP7" in steps else [])]
    for file in material.good:
        for docs in (place / file.project / "docs" for place in places):
            missing = [suffix for suffix in suffixes if not (docs / f"{file.stem}{suffix}").is_file()]
            if missing:
                yield f"{file.name} was not finished: {docs} lacks {', '.join(missing)}"


def _about_counts(told: dict[str, Any], material: Material, steps: Sequence[str]) -> Iterator[str]:
    good, bad, projects = len(material.good), len(material.bad), len(material.inputs)
    special = {"STEP1": {"done": projects}, "STEP2": {"done": good, "failed": bad}, "STEP7": {"done": projects}}
    for step in steps:
        counts, wanted = told["steps"].get(step, {}).get("counts"), special.get(step, {"done": good})
        if counts != wanted:
            yield f"{step} tells {counts}, not {wanted}."
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
        if is_ours and is_alive(int(environment.parent.name)):
            yield f"Process {environment.parent.name} is still there."
    for path in (folder / "projects").rglob(".derush/tmp/*/*"):
        yield f"{path} is left over."
