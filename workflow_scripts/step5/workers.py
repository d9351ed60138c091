"""The processes that look at videos for the manager: started when they are needed, kept from one video to the next."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from workflow_scripts.step5.detecting import Footage, Stretch
from workflow_scripts.step5.detections import Detections
from workflow_scripts.step5.worker_messages import Ended, Found, Job, Ready, Refused, Setup
from workflow_scripts.stepkit import ItemError, PrerequisiteMissing

_SCRIPT = Path(__file__).with_name("detection_worker.py")
_AHEAD = 2
"""Stretches a worker that may be begun beyond the one that is told: what waits to be told is kept in memory."""
_MOST_WAITING = 256 << 20
"""Bytes of what waits to be told. Beyond it only the worker whose frames come next is listened to: the others find their pipes
full, and wait. So a crowd in every frame, or a long stretch beside a slow one, takes no more memory."""
_MOST_TRIES = 2
_REMEDY = "See logs/step5/worker_*.log; lower TRACKING_CPU_WORKERS when memory is short."
log = logging.getLogger(__name__)


class _Worker:
    """One process, and what it is at: the number of its stretch, None when it is idle."""

    def __init__(self, setup: Setup) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            command = [sys.executable, str(_SCRIPT), str(theirs.fileno())]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self.at: int | None = None
        self.done = 0
        self.connection.send(setup)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


@dataclass
class _Part:
    """A stretch on its way: what was seen and not yet told, how much of it came, how often it was begun."""

    stretch: Stretch
    waiting: deque[Detections] = field(default_factory=deque)
    came: int = 0
    skip: int = 0
    tries: int = 0
    is_done: bool = False


class Crew:
    """Up to `most` workers with one setup each. End it as a context manager.

    `seconds` and `notes` are what the workers said of the video at hand, `damage` what ffmpeg complained of, by the stretch's first
    frame; `waiting` is how many bytes of it wait to be told.
    """

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._setups = setups
        self._workers: list[_Worker | None] = [None] * len(setups)
        self._ready: Ready | None = None
        self.waiting = 0
        self.seconds: Counter[str] = Counter()
        self.notes: list[str] = []
        self.damage: dict[int, list[str]] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(range(len(self._workers)))

    def __len__(self) -> int:
        return len(self._setups)

    def engine(self) -> Ready:
        """Return what the engine says of itself, starting a worker when there was none yet.

        Raises PrerequisiteMissing for a model that cannot be used.
        """
        if self._ready is None:
            first = self._workers[0] = _Worker(self._setups[0])
            try:
                said = first.connection.recv()
            except (EOFError, OSError):
                code = first.process.wait()
                self._end([0])
                raise ItemError("worker_died", f"A worker died as it began (exit code {code}).", _REMEDY) from None
            if not isinstance(said, Ready):
                self._end([0])
                raise _error(said)
            self._ready = said
        return self._ready

    @property
    def complaint(self) -> str:
        """The last line of ffmpeg's complaint about the first stretch that it complained of; empty where it did of none."""
        said = [text for _, texts in sorted(self.damage.items()) for text in texts]
        return said[0].splitlines()[-1] if said else ""

    @property
    def state(self) -> str:
        """What each worker is at, for a person."""
        at = (f"{place + 1}: {one.done}" for place, one in enumerate(self._workers) if one and one.at is not None)
        return "workers at " + ", ".join(at)

    def look(
        self, footage: Footage, stretches: Sequence[Stretch], workers: int | None = None
    ) -> Generator[Detections, None, None]:
        """Yield what is seen in every frame, in order, while the workers, or so many of them, go on with the next stretches.

        A worker that dies has its stretch done again by another, once. Raises ItemError for what is wrong with the video,
        `worker_died` for one that kills every worker; PrerequisiteMissing for a model that cannot be used.
        """
        self.seconds, self.notes, self.damage, self.waiting = Counter(), [], {}, 0
        setups = self._setups[: workers or len(self._setups)]
        parts = [_Part(stretch) for stretch in stretches]
        todo = deque(range(len(parts)))
        try:
            for head, part in enumerate(parts):
                while not (part.is_done and not part.waiting):
                    while part.waiting:
                        seen = part.waiting.popleft()
                        self.waiting -= seen.weight
                        yield seen
                    self._give_out(footage, parts, todo, head, setups)
                    if not part.is_done:
                        self._listen(parts, todo, head)
        finally:
            self._end(place for place, worker in enumerate(self._workers) if worker and worker.at is not None)

    def _give_out(
        self, footage: Footage, parts: Sequence[_Part], todo: deque[int], head: int, setups: Sequence[Setup]
    ) -> None:
        """Give idle workers the next stretches; a worker is started when there is one for it."""
        for place, setup in enumerate(setups):
            if not todo or todo[0] > head + _AHEAD * len(setups):
                return
            worker = self._workers[place]
            if worker is None:
                worker = self._workers[place] = _Worker(setup)
            if worker.at is None:
                part = parts[todo[0]]
                part.tries += 1
                worker.at, worker.done = todo.popleft(), 0
                try:
                    worker.connection.send(Job(footage, part.stretch))
                except OSError:
                    self._lose(place, parts, todo)

    def _listen(self, parts: Sequence[_Part], todo: deque[int], head: int) -> None:
        """Wait until a worker says something, and take it in."""
        is_full = self.waiting > _MOST_WAITING
        busy = {
            worker.connection: place for place, worker in enumerate(self._workers)
            if worker and worker.at is not None and (worker.at == head or not is_full)
        }  # fmt: skip
        if not busy:
            return  # they died while they were idle: `look` has others started; to wait for none would never end
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection)
            worker = self._workers[busy[ready]]
            assert worker is not None and worker.at is not None
            part = parts[worker.at]
            try:
                said = ready.recv()
            except (EOFError, OSError):
                self._lose(busy[ready], parts, todo)
                continue
            if isinstance(said, Found):
                worker.done += len(said.frames)
                self.waiting += _take(part, said.frames)
            elif isinstance(said, Ready):
                pass  # as the first one said
            elif isinstance(said, Ended):
                part.is_done, worker.at = True, None
                self.seconds += said.seconds
                self.notes += said.notes
                self.damage[part.stretch.first] = said.damage
            else:
                worker.at = None if said.kind == "item" else worker.at
                raise _error(said)

    def _lose(self, place: int, parts: Sequence[_Part], todo: deque[int]) -> None:
        """Put the stretch of a dead worker back, to be begun anew. Raises ItemError when it was that already."""
        worker = self._workers[place]
        assert worker is not None and worker.at is not None
        number, part = worker.at, parts[worker.at]
        code = worker.process.wait()
        self._end([place])
        frames = f"frames {part.stretch.first + 1} to {part.stretch.end}"
        if part.tries >= _MOST_TRIES:
            raise ItemError("worker_died", f"Two workers died at {frames} (exit code {code}).", _REMEDY)
        log.warning("A worker died at %s (exit code %s): they are done again", frames, code)
        self.notes.append(f"A worker died at {frames}; they were done again.")
        part.skip = part.came
        todo.appendleft(number)

    def _end(self, places: Generator[int, None, None] | Sequence[int] | range) -> None:
        for place in list(places):
            if worker := self._workers[place]:
                worker.end()
            self._workers[place] = None


def _take(part: _Part, frames: Sequence[Detections]) -> int:
    """Keep what was seen, but for what was told already by a worker that died; return how many bytes that is."""
    known = min(part.skip, len(frames))
    part.skip -= known
    part.waiting.extend(frames[known:])
    part.came += len(frames) - known
    return sum(seen.weight for seen in frames[known:])


def _error(said: Refused) -> ItemError | PrerequisiteMissing:
    kinds: dict[str, type[ItemError] | type[PrerequisiteMissing]] = {
        "item": ItemError,
        "prerequisite": PrerequisiteMissing,
    }
    return kinds[said.kind](said.code, said.message, said.remedy)
