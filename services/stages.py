"""A plan as a run carries it out: stages, each a step or a command, and which of them wait for which.

A plan's task becomes a stage of its own name, its test a stage `<name>.test` after it, the plan's validation commands
stages `validation.1` … after everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from config.catalog import RetrySpec, StepSpec, steps
from services.plans import Plan, PlanTask

_ONCE = RetrySpec(1, 0.0, ())


@dataclass(frozen=True)
class Stage:
    """One part of a plan. `spec` is the step it carries out item by item; without one it is a command, done once.

    `before` are the stages it waits for. A check is a command that looks at what others did: it is left out where they
    failed. What comes after an optional stage goes on although it failed. `force`: what is up to date is done again.
    """

    id: str
    title: str
    spec: StepSpec | None
    before: frozenset[str]
    files: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: str = "env"
    is_optional: bool = False
    is_check: bool = False
    force: bool = False
    retry: RetrySpec = _ONCE

    @property
    def item_kind(self) -> str:
        """The kind of item it works on."""
        return self.spec.item if self.spec else "command"

    @property
    def label(self) -> str:
        """What it is called where space is short: the step's id, else its own."""
        return self.spec.id if self.spec else self.id


def stages_of(plan: Plan, known: Mapping[str, StepSpec] | None = None) -> dict[str, Stage]:
    """Return the stages of a plan by id, each after those it waits for. `known` are the steps (by default the catalogue's)."""
    declared = known or steps()
    work = [_stage(task, declared) for task in plan.tasks]
    tests = [
        Stage(f"{task.id}.test", f"Test of {task.name}", None, frozenset([task.id]), command=task.test, is_check=True)
        for task in plan.tasks
        if task.test
    ]
    everything = frozenset(stage.id for stage in (*work, *tests))
    validation = [
        Stage(f"validation.{number}", "Validation", None, everything, command=command, is_check=True)
        for number, command in enumerate(plan.validation, 1)
    ]
    return {stage.id: stage for stage in (*work, *tests, *validation)}


def _stage(task: PlanTask, declared: Mapping[str, StepSpec]) -> Stage:
    spec = declared[task.step] if task.step else None
    retry = spec.retry if spec else _ONCE
    if task.retry:
        retry = RetrySpec(task.retry.max_attempts, task.retry.backoff, task.retry.codes or retry.codes)
    environment = spec.environment if spec else task.environment or "env"
    return Stage(
        task.id, task.name, spec, frozenset(task.depends), task.files, task.command or (), environment,
        is_optional=task.optional, force=task.force, retry=retry,
    )  # fmt: skip


def closure(stage_id: str, stages: Mapping[str, Stage]) -> frozenset[str]:
    """Return every stage that comes before one, at any distance."""
    direct = stages[stage_id].before
    return direct.union(*(closure(earlier, stages) for earlier in direct))


def nearest_steps(stage_id: str, stages: Mapping[str, Stage]) -> frozenset[str]:
    """Return the step stages right before one, looking through commands: work on the same item waits for those."""
    found: set[str] = set()
    for earlier in stages[stage_id].before:
        found |= {earlier} if stages[earlier].spec else nearest_steps(earlier, stages)
    return frozenset(found)


def downstream(begin: Iterable[str], stages: Mapping[str, Stage]) -> frozenset[str]:
    """Return the stages themselves and all that come after any of them."""
    wanted = set(begin)
    return frozenset(stage_id for stage_id in stages if stage_id in wanted or closure(stage_id, stages) & wanted)
