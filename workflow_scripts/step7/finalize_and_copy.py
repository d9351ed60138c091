"""Delivery: copies finished projects to OUTPUT_DIR, archives their results in ARCHIVES_DIR, all verified by checksum.

With FINALIZE_MODE=move the working copy of a project is removed once every video of it is complete, every file of it is
read back from the delivery, and every archive is verified.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from services.results_archiver import ResultsArchiver
from workflow_scripts.step7.finalizing import Finalizing
from workflow_scripts.step7.removal import sweep
from workflow_scripts.stepkit import Step, prerequisites, step_parser
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.items import project_itself
from workflow_scripts.stepkit.projects import Project


def main(argv: Sequence[str] | None = None) -> int:
    """Finalize every project, and return the exit code."""
    arguments = step_parser("STEP7", __doc__).parse_args(argv)
    archives = prerequisites.folder(lambda settings: settings.archives_dir, "ARCHIVES_DIR")
    with Step("STEP7", arguments, require=[archives], find=project_itself) as step:
        if not (step.dry_run or arguments.list):
            sweep(step.work_dir)
        archiver = ResultsArchiver(step.settings.archives_dir)
        for item in step.items():
            with step.work_on(item) as task, _project(item.path, dry_run=step.dry_run) as project:
                Finalizing(step, task, project, archiver).finalize()
    return step.exit_code


@contextmanager
def _project(path: Path, *, dry_run: bool) -> Iterator[Project]:
    """Keep a second delivery of the same project away. Raises ItemError when one is at work.

    A dry run keeps nobody away, and does not mind.
    """
    project = Project(path)
    if not path.is_dir():
        raise ItemError("no_project", f"{path} is not a folder.", "Give the folder of a project.")
    if dry_run:
        yield project
        return
    project.internal.mkdir(exist_ok=True)
    with (project.internal / "delivery.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ItemError("busy", f"{project.name} is being delivered already.", "Wait until that is over.") from None
        yield project


if __name__ == "__main__":
    sys.exit(main())
