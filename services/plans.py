"""A plan: a declared workflow made concrete for inputs, as a person edits it and as the database keeps it.

What runs when is said by `depends` alone; `parallel_tasks` and `sequential_tasks` tell the reader what may run side by
side. See docs/schemas/plan.json.
"""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from config.catalog import environments, steps
from config.settings import REPOSITORY
from services.documents import Problem, Strict, check_data, did_you_mean, read_document
from services.yaml_nodes import Location
from services.yaml_text import Line, yaml_text

SCHEMA = "derush.plan/1"
MOST_TASKS = 500
"""Tasks a plan may have: they are the parts of a plan, not its videos."""
_HEADER = """\
# A plan of Derush. Read it, edit it, then try it and carry it out:
#   derush run --plan FILE --dry-run
#   derush run --plan FILE
# Relative `files` start at Derush's own folder, the repository's root, as in .env.
# `depends` says what comes after what; tasks that do not depend on each other run side by side. A step goes on with
# each video as soon as it is through, a command waits for all.
# {projects}, alone, stands for the folders of the projects.

"""
OWN_PROGRAMS = frozenset({"derush", "python"})
"""First words of commands that mean this installation's own (services/worker.py): they are always there."""

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
Command = Annotated[tuple[str, ...], Field(strict=False)]
"""A program and its arguments, as they are: there is no shell."""
SomeCommand = Annotated[Command, Field(min_length=1)]
TaskId = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Retry(Strict):
    """When failed work is tried again: how often in all, after how many seconds at first, for which error codes.

    Without `codes` the step's own hold.
    """

    max_attempts: int = Field(ge=1, le=20)
    backoff: float = Field(default=1.0, ge=0, le=3600)
    codes: Texts | None = None


class PlanTask(Strict):
    """One part of a plan: a step on every item that comes to it, or a command that is run once.

    `files` is what it takes in by itself, needed where nothing comes before it. `test` is a command that is run when
    all its work has ended well. What comes after an `optional` task goes on although it failed. `force`: do again what
    is up to date.
    """

    id: TaskId
    name: Text
    step: str | None = None
    command: SomeCommand | None = None
    environment: str | None = None
    files: Texts = ()
    depends: Texts = ()
    test: Command = ()
    optional: bool = False
    force: bool = False
    retry: Retry | None = None

    @model_validator(mode="after")
    def _is_a_step_or_a_command(self) -> PlanTask:
        if problem := work_problem(self.step, self.command, self.environment, self.force, "step"):
            raise problem.error()
        return self


class Plan(Strict):
    """What a run carries out: tasks, and the commands that look at the whole when they have ended."""

    schema_: Literal["derush.plan/1"] = Field(default="derush.plan/1", alias="schema")
    workflow: Text
    objective: str
    parallel_tasks: Annotated[tuple[PlanTask, ...], Field(strict=False)] = ()
    sequential_tasks: Annotated[tuple[PlanTask, ...], Field(strict=False)] = ()
    validation: Annotated[tuple[SomeCommand, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Plan:
        if problem := next(_structure_problems(self), None):
            raise problem.error()
        return self

    @property
    def tasks(self) -> list[PlanTask]:
        """All tasks, each after those it depends on, and as they are declared otherwise."""
        declared = [task for _at, task in _located(self)]
        numbers = {task.id: number for number, task in enumerate(declared)}
        waiting = {task.id: set(task.depends) for task in declared}
        ready = [numbers[task.id] for task in declared if not task.depends]
        ordered: list[PlanTask] = []
        while ready:
            ended = declared[heapq.heappop(ready)]
            ordered.append(ended)
            for later in [task_id for task_id, left in waiting.items() if ended.id in left]:
                waiting[later].discard(ended.id)
                if not waiting[later]:
                    heapq.heappush(ready, numbers[later])
        return ordered

    def without_tests(self) -> Plan:
        """Return the plan without the tests of its single tasks; validation stays."""
        return self._changed(lambda _task: {"test": ()})

    def with_absolute_files(self) -> Plan:
        """Return the plan with absolute `files`: relative ones start at the repository's root, `~/` at the home folder."""
        return self._changed(lambda task: {"files": tuple(map(_absolute, task.files))})

    def _changed(self, change: Callable[[PlanTask], Mapping[str, Any]]) -> Plan:
        groups = {
            name: tuple(task.model_copy(update=change(task)) for task in getattr(self, name))
            for name in ("parallel_tasks", "sequential_tasks")
        }
        return self.model_copy(update=groups)

    def record(self) -> dict[str, Any]:
        """Return the plan as JSON can hold it."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Plan:
        """Return the plan that `record` was made from."""
        return cls.model_validate(dict(record))


def _absolute(name: str) -> str:
    return str(REPOSITORY / (Path(name).expanduser() if name.startswith("~/") else name))


def work_problem(step: object, command: object, environment: str | None, force: bool, steps_key: str) -> Problem | None:
    """Say what is wrong with what a task or phase does: exactly one of a step and a command, and what goes with it."""
    both = f"`{steps_key}` and `command`"
    if step is not None and command is not None:
        return Problem(("command",), f"both {both}", "Keep one of the two.")
    if step is None and command is None:
        return Problem((), f"neither of {both}", f"Give one of {both}.")
    if step is not None and environment is not None:
        remedy = "Leave it out: the step has an environment of its own."
        return Problem(("environment",), "`environment` beside a step", remedy)
    if command is not None and force:
        return Problem(("force",), "`force` beside a command", "Leave it out: a command is always carried out.")
    return None


def read_plan(path: Path, can_start: Callable[[str], bool] = lambda _program: True) -> Plan:
    """Read a plan. Raises ServiceError, with the file, the line and a remedy, for whatever is wrong with it.

    `can_start` tells whether a program is there that a command begins with.
    """
    return read_document(path, Plan, SCHEMA, partial(_first_problem, can_start=can_start))


def plan_from_data(data: object, can_start: Callable[[str], bool]) -> Plan:
    """Return the plan that somebody sent. Raises ServiceError as `read_plan` does, with the place in it."""
    return check_data(data, Plan, SCHEMA, partial(_first_problem, can_start=can_start))


def _first_problem(plan: Plan, can_start: Callable[[str], bool]) -> Problem | None:
    looks = (_naming_problems, partial(_program_problems, can_start=can_start))
    return next((problem for look in looks for problem in look(plan)), None)


def _located(plan: Plan) -> Iterator[tuple[Location, PlanTask]]:
    for key in ("parallel_tasks", "sequential_tasks"):
        for number, task in enumerate(getattr(plan, key)):
            yield (key, number), task


def _structure_problems(plan: Plan) -> Iterator[Problem]:
    """Yield what makes the tasks no graph: none, two of one name, one that is missing, a circle."""
    places: dict[str, Location] = {}
    for at, task in _located(plan):
        if task.id in places:
            yield Problem((*at, "id"), f"two tasks have the id `{task.id}`", "Give each an id of its own.")
        places[task.id] = at
    if len(places) > MOST_TASKS:
        yield Problem(
            (), f"the plan has more than {MOST_TASKS} tasks", "Give one task several `files`, or several plans."
        )
    if not places:
        yield Problem((), "the plan has no task", "Give at least one under `sequential_tasks`.")
    for at, task in _located(plan):
        for number, earlier in enumerate(task.depends):
            if earlier not in places:
                remedy = did_you_mean(earlier, places, "Tasks")
                yield Problem((*at, "depends", number), f"`{task.id}` depends on `{earlier}`, which is no task", remedy)
    try:
        graphlib.TopologicalSorter({task.id: task.depends for _at, task in _located(plan)}).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1]
        message = f"a cycle: {' → '.join(circle)}"
        yield Problem((*places[circle[0]], "depends"), message, "Take one of these out of the `depends` of the next.")


def _naming_problems(plan: Plan) -> Iterator[Problem]:
    """Yield what names a step or an environment that there is not, or has steps in an order they cannot work in."""
    for at, task in _located(plan):
        if problem := name_problem(task.step, task.environment):
            yield Problem((*at, *problem.at), problem.message, problem.remedy)
    yield from _order_problems(plan)


def _program_problems(plan: Plan, can_start: Callable[[str], bool]) -> Iterator[Problem]:
    """Yield the commands whose program is not there: it is found out before hours of work, not after them."""
    commands = [((*at, key), command) for at, task in _located(plan) for key, command in _commands(task)]
    commands += [(("validation", number), command) for number, command in enumerate(plan.validation)]
    for at, command in commands:
        if command and command[0] not in OWN_PROGRAMS and not can_start(command[0]):
            remedy = "Install it, or give its full path. `derush` and `python` are always there."
            yield Problem(at, f"there is no program `{command[0]}` that can be started", remedy)


def _commands(task: PlanTask) -> Iterator[tuple[str, Command]]:
    yield "command", task.command or ()
    yield "test", task.test


def name_problem(step: str | None, environment: str | None) -> Problem | None:
    """Say whether a step or an environment is unknown."""
    if step is not None and step not in steps():
        return Problem(("step",), f"there is no step `{step}`", did_you_mean(step, steps(), "Steps"))
    if environment is not None and environment not in environments():
        remedy = did_you_mean(environment, environments(), "Environments")
        return Problem(("environment",), f"there is no environment `{environment}`", remedy)
    return None


@lru_cache(maxsize=64)
def all_before(step_id: str) -> frozenset[str]:
    """Return every step whose work a step builds on, at any distance."""
    direct = steps()[step_id].after
    return frozenset(direct).union(*(all_before(earlier) for earlier in direct))


def _order_problems(plan: Plan) -> Iterator[Problem]:
    """Yield steps that do not wait for a step they build on, although both work on the same inputs."""
    tasks = {task.id: task for task in plan.tasks}
    before: dict[str, set[str]] = {}
    inputs: dict[str, set[str]] = {}
    for task in tasks.values():
        before[task.id] = set(task.depends).union(*(before[earlier] for earlier in task.depends))
        own = set(task.files) if task.depends else {task.id, *task.files}
        inputs[task.id] = own.union(*(inputs[earlier] for earlier in task.depends))
    for at, task in _located(plan):
        for other in tasks.values():
            builds_on = task.step and other.step in all_before(task.step)
            if builds_on and other.id not in before[task.id] and inputs[other.id] & inputs[task.id]:
                message = f"`{task.id}` ({task.step}) has to come after `{other.id}` ({other.step})"
                yield Problem((*at, "depends"), message, f"Let `{task.id}` depend on `{other.id}`, directly or not.")


def plan_text(plan: Plan) -> str:
    """Return a plan as YAML: in the order a person reads it, without what says nothing."""
    content = {
        "schema": plan.schema_,
        "workflow": plan.workflow,
        "objective": plan.objective,
        "parallel_tasks": [_shown(task) for task in plan.parallel_tasks],
        "sequential_tasks": [_shown(task) for task in plan.sequential_tasks],
        "validation": [Line(command) for command in plan.validation],
    }
    return _HEADER + yaml_text(content)


def _shown(task: PlanTask) -> dict[str, Any]:
    work = {"step": task.step, "command": Line(task.command or ()), "environment": task.environment}
    shown: dict[str, Any] = {"id": task.id, "name": task.name, **{key: value for key, value in work.items() if value}}
    shown |= {"files": list(task.files), "depends": Line(task.depends), "test": Line(task.test)}
    for name in ("optional", "force"):
        if getattr(task, name):
            shown[name] = True
    if task.retry:
        shown["retry"] = task.retry.model_dump(mode="json", exclude_none=True)
    return shown
