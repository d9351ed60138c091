"""What failed in a run, as a person deals with it: those of one step with one error together, with what to do about it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from services.executions import Execution, Store

MOST_OF_A_STEP = 500
"""Failures of each step that are read."""


@dataclass(frozen=True)
class FailureGroup:
    """Tasks of one stage that failed with one code. `message` and `remedy` are those of the first."""

    stage: str
    step: str | None
    code: str
    message: str
    remedy: str
    tasks: tuple[Execution, ...]

    @property
    def have_one_message(self) -> bool:
        """Whether all of them said the same."""
        return len({str((task.error or {}).get("message")) for task in self.tasks}) == 1


def failure_groups(store: Store, run_id: str) -> list[FailureGroup]:
    """Return what failed and was not done since, the largest group first; of a stage at most MOST_OF_A_STEP tasks."""
    found: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for task in store.tasks(run_id, status=("failed",), most=MOST_OF_A_STEP):
        found[str(task.stage), str((task.error or {}).get("code", ""))].append(task)
    groups = [_group(stage, code, tasks) for (stage, code), tasks in found.items()]
    return sorted(groups, key=lambda group: -len(group.tasks))


def _group(stage: str, code: str, tasks: list[Execution]) -> FailureGroup:
    first = tasks[0].error or {}
    message, remedy = str(first.get("message", "")), str(first.get("remedy", ""))
    return FailureGroup(stage, tasks[0].step, code, message, remedy, tuple(tasks))
