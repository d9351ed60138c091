"""A step with no model, on the real stepkit: does to each item what the item's name says.

die_…       kills its own worker          hang_…      says nothing any more
fail_…      fails                          slow_…      reports progress until it is stopped
missing_…   lacks a model
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from workflow_scripts.stepkit import Item, ItemError, PrerequisiteMissing, Project, Step, Task, step_parser


def work(task: Task) -> None:
    name = task.item.path.name
    if name.startswith("die_"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang_"):
        time.sleep(3600)
    if name.startswith("fail_"):
        raise ItemError("said_so", "Its name says fail.", "Rename it.")
    if name.startswith("missing_"):
        raise PrerequisiteMissing("model_missing", "The model x is missing.", "Run `derush models fetch x`.")
    with task.output("fake", task.item.path.with_name(f"{name}.{os.environ.get('FAKE_STEP', 'STEP3')}")) as temporary:
        temporary.write_text("half")
        if name.startswith("slow_"):
            # A child of the worker's: it must not outlive the worker either.
            with subprocess.Popen(["sleep", "3600"]) as child:
                (task.item.path.parent / "children").open("a").write(f"{child.pid}\n")
                for number in range(3600):
                    task.progress(number, 3600, "frames")
                    time.sleep(0.05)
        temporary.write_text("whole")


def main() -> int:
    parser = step_parser("STEP3", __doc__)
    arguments = parser.parse_args()
    with Step(os.environ.get("FAKE_STEP", "STEP3"), arguments, find=lambda project: []) as step:
        for item in step.items():
            owned = Item(item.kind, item.path, item.project or item.path.parent)
            with step.work_on(owned) as task:
                subject = (Project(owned.path.parent), owned.path.name)
                if not task.is_up_to_date(inputs=[], parameters={}, subject=subject):
                    work(task)
    return step.exit_code


if __name__ == "__main__":
    sys.exit(main())
