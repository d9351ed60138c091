"""A worker of STEP5: started by the manager, it looks at stretches of videos until nobody asks any more.

It does its mathematics in one thread: as many workers as cores then share a machine without getting in each other's way, and
give the same numbers however many they are. Its only argument is the descriptor of its end of the pipe.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read by libraries as they are imported

import logging

import cv2

from workflow_scripts.step5.detecting import Detector, look
from workflow_scripts.step5.worker_messages import Ended, Found, Job, Ready, Refused, Setup
from workflow_scripts.stepkit import ItemError, PrerequisiteMissing
from workflow_scripts.stepkit.logs import log_path, open_log

log = logging.getLogger(__name__)


def main() -> None:
    """Do what the manager asks for. The manager's end is this one's: a pipe that nobody holds ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the manager's, who ends its workers
    cv2.setNumThreads(1)
    with Connection(int(sys.argv[1])) as manager:
        try:
            _work(manager)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            log.info("The manager is gone")


def _work(manager: Connection) -> None:
    setup: Setup = manager.recv()
    _open_log(setup.log_folder)
    try:
        detector = Detector(setup.choice.load(setup.files.__getitem__, setup.gpu))
    except PrerequisiteMissing as missing:
        manager.send(_refusal("prerequisite", missing))
        return
    engine = detector.engine
    log.info("Engine %s, %d frames at once", engine.name, detector.batch)
    manager.send(Ready(engine.points, engine.blendshape_names, engine.side))
    while True:
        job: Job = manager.recv()
        try:
            manager.send(_do(manager, detector, job))
        except ItemError as error:
            log.warning("%s: %s", job.footage.path.name, error.message)
            manager.send(_refusal("item", error))


def _do(manager: Connection, detector: Detector, job: Job) -> Ended:
    """Look at a stretch, sending what is seen as it is."""
    seconds: Counter[str] = Counter()
    damage: list[str] = []
    for seen in look(detector, job.footage, job.stretch, damage.append):
        seconds += seen.seconds
        manager.send(Found(seen.frames))
    spent = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    log.info("%s: frames %d to %d: %s", job.footage.path.name, job.stretch.first + 1, job.stretch.end, spent)
    notes, detector.notes = detector.notes, []
    return Ended(seconds, notes, damage)


def _refusal(kind: str, error: ItemError | PrerequisiteMissing) -> Refused:
    return Refused(kind, error.code, error.message, error.remedy)


def _open_log(folder: Path) -> None:
    """Send the log, and what libraries print on standard error, to a file of this worker's own."""
    path = log_path(folder, "worker")
    open_log(path, console=False)
    with path.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())


if __name__ == "__main__":
    try:
        main()
    except Exception:
        log.exception("A mistake in Derush itself")
        sys.exit(70)
