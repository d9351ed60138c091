"""Seven steps without a model, on the real stepkit: what a run is made of, in milliseconds.

An archive is a text file `<project>.list` with the name of an original a line. Each step writes one small artefact, and
counts its work: a line `STEP3 name begin` before, `STEP3 name end` after, in the file FAKE_COUNTS. A task takes
FAKE_SECONDS. A name says what goes wrong, and where:

die-STEP3-a     kills its own worker, every time        dieonce-STEP3-a   only the first time
hang-STEP3-a    says nothing any more                   fail-STEP3-a      fails
slow-STEP3-a    reports progress until it is stopped    missing-STEP3-a   lacks a model
full-STEP3-a    finds the disk full while there is a file `full` beside the work directory
passing-STEP3-a fails with an error that passes, the first time
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from workflow_scripts.stepkit import Item, ItemError, PrerequisiteMissing, Project, Step, Task, step_parser
from workflow_scripts.stepkit.items import originals_of, project_itself, videos_of

ARCHIVE_SUFFIX = ".list"
ORIGINAL_SUFFIX = ".mov"


def main(step_id: str) -> int:
    parser = step_parser(step_id, __doc__)
    if step_id == "STEP1":
        parser.add_argument("--source-dir", type=Path, action="append")
        parser.add_argument("--min-size", type=float)
    if step_id == "STEP5":
        parser.add_argument("--tracking-engine")
    find: dict[str, Callable[[Project], Iterable[Item]]] = {"STEP2": originals_of, "STEP7": project_itself}
    find_all = archives_below if step_id == "STEP1" else None
    with Step(step_id, parser.parse_args(), find=find.get(step_id, videos_of), find_all=find_all) as step:
        for item in step.items():
            owner = step.work_dir / item.path.stem if item.kind == "archive" else item.project
            with step.work_on(Item(item.kind, item.path, owner, item.force)) as task:
                work(step, task)
    return step.exit_code


def archives_below(step: Step) -> list[Item]:
    named = step.arguments.source_dir
    found = [sorted(given.glob(f"*{ARCHIVE_SUFFIX}")) if given.is_dir() else [given] for given in named]
    paths = [path for each in found for path in each]
    return [Item("archive", path.absolute(), None) for path in paths if path.suffix == ARCHIVE_SUFFIX]


def work(step: Step, task: Task) -> None:
    path, project = task.item.path, task.project
    name = path.stem
    subject = (project, f"project/{name}" if task.item.kind in {"archive", "project"} else name)
    inputs = [path] if task.item.kind in {"original", "video"} else []
    if not task.is_up_to_date(inputs=inputs, parameters={}, subject=subject):
        count(step.id, name, "begin")
        misbehave(step, task, name)
        make(step.id, task, project, name)
        count(step.id, name, "end")
    if task.status in {"done", "up_to_date"}:
        tell_what_it_brought(step.id, task, project, name)


def make(step_id: str, task: Task, project: Project, name: str) -> None:
    if step_id == "STEP1":
        for line in task.item.path.read_text().splitlines():
            with task.output("original", project.path / f"{line}{ORIGINAL_SUFFIX}") as temporary:
                temporary.write_text(line)
    elif step_id == "STEP2":
        with task.output("source", project.docs / f"{name}_source.json") as temporary:
            temporary.write_text(json.dumps({"of": name}))
        with task.output("proxy", project.docs / f"{name}.mp4") as temporary:
            temporary.write_text(name)
    else:
        with task.output(step_id.lower(), project.docs / f"{name}_{step_id}.txt") as temporary:
            temporary.write_text(f"{step_id} of {name}")


def tell_what_it_brought(step_id: str, task: Task, project: Project, name: str) -> None:
    if step_id == "STEP1":
        for original in project.originals():
            task.discovered("original", original, project.path)
    elif step_id == "STEP2":
        task.discovered("video", project.docs / f"{name}.mp4", project.path)


def count(step_id: str, name: str, what: str) -> None:
    if target := os.environ.get("FAKE_COUNTS"):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(descriptor, f"{step_id} {name} {what}\n".encode())
        os.close(descriptor)


def misbehave(step: Step, task: Task, name: str) -> None:
    """Take the time a task takes, and do what the name says, if it says it of this step."""
    verb, _, rest = name.partition("-")
    is_meant = rest.partition("-")[0] == step.id
    ends_at = time.monotonic() + float(os.environ.get("FAKE_SECONDS", "0"))
    (task.scratch / "half").write_text("half")
    number = 0
    while time.monotonic() < ends_at:
        number += 1
        task.progress(number, 100, "frames")
        time.sleep(0.005)
    if is_meant:
        _VERBS[verb](step, task, name)


def _die(_step: Step, _task: Task, _name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(_step: Step, _task: Task, _name: str) -> None:
    time.sleep(3600)


def _fail(_step: Step, _task: Task, _name: str) -> None:
    raise ItemError("said_so", "Its name says fail.", "Rename it.")


def _missing(_step: Step, _task: Task, _name: str) -> None:
    raise PrerequisiteMissing("model_missing", "The model x is missing.", "Run `derush models fetch x`.")


def _slow(step: Step, task: Task, _name: str) -> None:
    # A child of the worker's: it must not outlive the worker either.
    with subprocess.Popen(["sleep", "3600"]) as child:
        (step.work_dir.parent / "children").open("a").write(f"{child.pid}\n")
        for number in range(3600):
            task.progress(number, 3600, "frames")
            time.sleep(0.05)


def _full(step: Step, _task: Task, _name: str) -> None:
    if (step.work_dir.parent / "full").exists():
        raise OSError(errno.ENOSPC, "No space left on device")


def _once(step: Step, task: Task, name: str, what: Callable[[Step, Task, str], None]) -> None:
    marker = step.work_dir.parent / f"once-{step.id}-{name}"
    if not marker.exists():
        marker.touch()
        what(step, task, name)


def _dieonce(step: Step, task: Task, name: str) -> None:
    _once(step, task, name, _die)


def _break(_step: Step, _task: Task, _name: str) -> None:
    raise ItemError("system_error", "It did not work this time.", "Try again.")


def _passing(step: Step, task: Task, name: str) -> None:
    _once(step, task, name, _break)


_VERBS: dict[str, Callable[[Step, Task, str], None]] = {
    "die": _die, "hang": _hang, "fail": _fail, "missing": _missing, "slow": _slow, "full": _full, "dieonce": _dieonce,
    "passing": _passing,
}  # fmt: skip
