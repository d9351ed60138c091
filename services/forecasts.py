"""What there will be to do, how long it takes and what it writes: arithmetic on sizes and on what was measured. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.catalog import StepSpec
from config.catalog import steps as declared_steps
from services.estimates import COMMAND_SECONDS
from services.flow import Flow, Outcome, Task
from services.history import Pace
from services.inputs import Input
from services.pools import Amounts
from services.stages import Stage, closure, downstream, nearest_steps

STATES = ("to_do", "up_to_date", "unknown", "failed", "skipped")
AHEAD = frozenset({"to_do", "unknown"})
"""States of what there is to do, or may be."""
_LOST = frozenset({"failed", "skipped"})
_SAID = {"up_to_date": "up_to_date", "done": "up_to_date", "skipped": "to_do", "failed": "failed"}
"""What a step says in a dry run, and what that means: it skips what it would do."""
_MOST_CLIPS = 5_000


def states_of(flow: Flow, outcomes: Mapping[Task, Outcome]) -> dict[Task, str]:
    """Return how every task of a flow stands, one of STATES, by what the steps said of it and of what comes before it."""
    found: dict[Task, str] = {}
    for task in _in_order(flow):
        earlier = [found[other] for other in task.after if not other.stage.is_optional or found[other] not in _LOST]
        is_lost = all(state in _LOST for state in earlier) if task.is_whole else not _LOST.isdisjoint(earlier)
        if task.stage.spec is None:
            found[task] = "to_do"
        elif not AHEAD.isdisjoint(earlier):
            found[task] = "to_do" if task.force or task.stage.force else "unknown"
        elif earlier and is_lost:
            found[task] = "skipped"
        else:
            found[task] = _SAID[outcomes[task].status] if task in outcomes else "unknown"
    return found


@dataclass(frozen=True, eq=False)
class Job:
    """Work to come: a stage on one item of so many bytes (0: nobody knows), after other jobs. `seconds` is what it takes.

    `project` is a path, or where there is none yet, words that no path is.
    """

    stage: Stage
    item: str
    project: str
    size: float
    seconds: float
    after: tuple[Job, ...] = ()

    @property
    def written(self) -> float:
        """The bytes that it writes into its project."""
        return self.size * self.stage.spec.growth if self.stage.spec else 0.0


class Forecast:
    """The jobs of the tasks that are ahead, and of those that archives and originals will still bring.

    `expected` counts the latter by stage; where an archive does not say how many clips it holds it counts as one clip, and
    the stage stands in `at_least`.
    """

    def __init__(
        self, flow: Flow, states: Mapping[Task, str], inputs: Iterable[Input], paces: Mapping[str, Pace]
    ) -> None:
        self.jobs: list[Job] = []
        self.expected: Counter[str] = Counter()
        self.at_least: set[str] = set()
        self._flow = flow
        self._paces = paces
        self._clips = {each.item.path: each.clips for each in inputs}
        self._by_task: dict[Task, Job] = {}
        self._by_stage: dict[str, dict[str, Job]] = defaultdict(dict)
        ahead = [task for task in _in_order(flow) if states[task] in AHEAD]
        bringers = {task.brought_by for task in flow.tasks.values()}
        barren = [task for task in ahead if task not in bringers]
        for stage in flow.stages.values():
            for task in (task for task in ahead if task.stage is stage):
                self._by_task[task] = self._add(stage, task.item.path, _project(task), _size(task), self._before(task))
            for task in barren:
                if stage.id in downstream([task.stage.id], flow.stages):
                    self._expect(stage, task)

    def seconds(self, takes: Mapping[str, Amounts], pools: Mapping[str, int]) -> float:
        """Return how long it takes side by side: as long as the busiest pool, no shorter than the longest row of jobs.

        `takes` gives what a task of each stage holds, `pools` their sizes.
        """
        busy: dict[str, float] = defaultdict(float)
        ends: dict[Job, float] = {}
        for job in self.jobs:
            ends[job] = max((ends[earlier] for earlier in job.after), default=0.0) + job.seconds
            for pool, amount in takes[job.stage.id].items():
                busy[pool] += job.seconds * min(1.0, amount / max(pools[pool], 1))
        return max([*ends.values(), *busy.values()], default=0.0)

    @property
    def is_least(self) -> bool:
        """Whether it will take longer, nobody knows how much: by the count of clips alone, and that is not known."""
        by_count = {job.stage.id for job in self.jobs if not self._goes_by_size(job.stage.spec, job.size)}
        return bool(self.at_least & by_count)

    def is_measured(self, stage: Stage) -> bool:
        """Tell whether the stage's seconds go by what such tasks took here."""
        pace = self._paces.get(stage.spec.id) if stage.spec else None
        return pace is not None and pace.tasks > 0

    def _before(self, task: Task) -> tuple[Job, ...]:
        if task.stage.spec is None:
            earlier = closure(task.stage.id, self._flow.stages)
            return tuple(job for stage_id in earlier for job in self._by_stage[stage_id].values())
        return tuple(self._by_task[other] for other in task.after if other in self._by_task)

    def _add(self, stage: Stage, item: str, project: str, size: float, after: Sequence[Job]) -> Job:
        job = Job(stage, item, project, size, self._seconds_of(stage.spec, size), tuple(after))
        self.jobs.append(job)
        self._by_stage[stage.id][item] = job
        return job

    def _expect(self, stage: Stage, task: Task) -> None:
        """Add what a task will bring to a stage: a job for each clip, of an archive also one for its project."""
        if (task.item.kind, stage.item_kind) == ("archive", "project"):
            project = _project(task)
            self._add(stage, task.item.path, project, 0.0, [job for job in self.jobs if job.project == project])
            self.expected[stage.id] += 1
        elif (task.item.kind, stage.item_kind) == ("archive", "original"):
            self._expect_clips(stage, task, 1.0, self._clips.get(task.item.path))
        elif (task.item.kind, stage.item_kind) == ("archive", "video"):
            self._expect_clips(stage, task, _proxy_growth(), self._clips.get(task.item.path))
        elif (task.item.kind, stage.item_kind) == ("original", "video"):
            self._expect_clips(stage, task, _proxy_growth(), 1)

    def _expect_clips(self, stage: Stage, task: Task, growth: float, known: int | None) -> None:
        clips = self._likely_clips(task.item.size) if known is None else known
        rows = [self._by_stage[each] for each in nearest_steps(stage.id, self._flow.stages)]
        for number in range(clips):
            item = f"{task.item.path}#{number}"
            before = [row[item] for row in rows if item in row] or [self._by_task[task]]
            self._add(stage, item, _project(task), growth * task.item.size / clips, before)
        self.expected[stage.id] += 1 if known is None else known
        self.at_least |= {stage.id} if known is None else set()

    def _likely_clips(self, size: int) -> int:
        """Return how many clips an archive of this size holds if they are as large as those that came before."""
        originals = next((spec.id for spec in declared_steps().values() if spec.item == "original"), "")
        pace = self._paces.get(originals)
        likely = size * pace.sized / pace.bytes if pace and pace.bytes else 1.0
        return min(_MOST_CLIPS, max(1, round(likely)))

    def _goes_by_size(self, spec: StepSpec | None, size: float) -> bool:
        pace = self._paces.get(spec.id) if spec else None
        return bool(size and pace and pace.bytes)

    def _seconds_of(self, spec: StepSpec | None, size: float) -> float:
        """Return how long one task takes: by its size where tasks of known sizes were measured, else as their mean.

        Where nothing was measured, what the step declares.
        """
        if spec is None:
            return COMMAND_SECONDS
        pace = self._paces.get(spec.id)
        if pace is None or not pace.tasks:
            return spec.cost
        return size * pace.sized_seconds / pace.bytes if size and pace.bytes else pace.seconds / pace.tasks


def artefact_bytes(jobs: Iterable[Job]) -> float:
    """Return how many bytes of artefacts the videos of some jobs will have, every step's together."""
    growth = sum(spec.growth for spec in declared_steps().values() if spec.item == "video")
    sizes = {job.item: job.size for job in jobs if job.stage.item_kind == "video"}
    return growth * sum(sizes.values())


def _in_order(flow: Flow) -> Iterator[Task]:
    """Yield the tasks, each after those that it comes after."""
    by_stage: dict[str, list[Task]] = defaultdict(list)
    for task in flow.tasks.values():
        by_stage[task.stage.id].append(task)
    return (task for stage_id in flow.stages for task in by_stage[stage_id])


def _project(task: Task) -> str:
    return task.project or f"what {task.item.path} makes"


def _size(task: Task) -> float:
    """Return the size of a task's item; a proxy that is still to come is as large as proxies of such originals are."""
    original = task.brought_by.item if task.brought_by else None
    if task.item.kind == "video" and not task.item.size and original is not None and original.kind == "original":
        return original.size * _proxy_growth()
    return task.item.size


def _proxy_growth() -> float:
    return next((spec.growth for spec in declared_steps().values() if spec.item == "original"), 1.0)
