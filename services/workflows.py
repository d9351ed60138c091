"""Declared workflows: phases in order, and the words that ask for them. See docs/schemas/workflow.json."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.catalog import steps as declared_steps
from services.documents import Problem, Strict, read_document
from services.plans import PlanTask, Retry, SomeCommand, Text, Texts, all_before, name_problem, work_problem
from services.words import fold, stems
from services.yaml_nodes import Location

SCHEMA = "derush.workflow/1"


class Phase(Strict):
    """A part of a workflow: steps, or one command. It begins when the phase before it has ended, video by video.

    `force`: its steps do again what is up to date.
    """

    name: Text
    parallel: bool = False
    optional: bool = False
    force: bool = False
    steps: Annotated[Texts, Field(min_length=1)] | None = None
    command: SomeCommand | None = None
    environment: str | None = None
    retry: Retry | None = None

    @model_validator(mode="after")
    def _is_steps_or_a_command(self) -> Phase:
        if problem := work_problem(self.steps, self.command, self.environment, self.force, "steps"):
            raise problem.error()
        return self


class Triggers(Strict):
    """Words and phrases that ask for a workflow, in French and in English."""

    fr: Annotated[Texts, Field(min_length=1)]
    en: Annotated[Texts, Field(min_length=1)]


class Workflow(Strict):
    """A declared workflow: phases in order, and what is asked at the end of the whole."""

    schema_: Literal["derush.workflow/1"] = Field(default="derush.workflow/1", alias="schema")
    name: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,63}$")]
    about: Text
    triggers: Triggers
    phases: Annotated[tuple[Phase, ...], Field(strict=False, min_length=1)]
    validation: Annotated[tuple[SomeCommand, ...], Field(strict=False)] = ()


def read_workflow(path: Path) -> Workflow:
    """Read a declared workflow. Raises ServiceError, with file, line and remedy, for what is wrong with it."""
    return read_document(path, Workflow, SCHEMA, lambda workflow: next(_problems(workflow, path.stem), None))


def _problems(workflow: Workflow, stem: str) -> Iterator[Problem]:
    """Yield what is wrong with a workflow as a whole."""
    if workflow.name != stem:
        yield Problem(("name",), f"the workflow is called `{workflow.name}`, its file `{stem}`", "Call both the same.")
    for language, phrases in workflow.triggers:
        for number, phrase in enumerate(phrases):
            if not stems(phrase, language):
                at = ("triggers", language, number)
                yield Problem(at, f"`{phrase}` has no word that says anything", "Add one that tells what is done.")
    for number, phase in enumerate(workflow.phases):
        for problem in _phase_problems(phase, workflow, number):
            yield Problem(("phases", number, *problem.at), problem.message, problem.remedy)


def _phase_problems(phase: Phase, workflow: Workflow, number: int) -> Iterator[Problem]:
    """Yield what is wrong with a phase: its names, and its place among the others."""
    if problem := name_problem(None, phase.environment):
        yield problem
    before = [task_id for earlier in workflow.phases[:number] for task_id in _ids(earlier)]
    later = [task_id for other in workflow.phases[number:] for task_id in _ids(other)]
    for place, task_id in enumerate(_ids(phase)):
        at: Location = ("steps", place) if phase.steps else ("name",)
        if not task_id:
            message = f"the phase `{phase.name}` has neither a letter nor a digit"
            yield Problem(at, message, "Give it a name that a task can be called by.")
        if task_id in (*before, *_ids(phase)[:place]):
            yield Problem(at, f"`{task_id}` is there twice", "Name each step once, and call no two phases the same.")
        if phase.steps and (problem := name_problem(phase.steps[place], None)):
            yield Problem(at, problem.message, problem.remedy)
        ended = place if not phase.parallel else 0
        late = sorted(all_before(phase.steps[place]) & {each.upper() for each in later[ended:]}) if phase.steps else []
        if late:
            message = f"{task_id.upper()} has to come after {', '.join(late)}"
            yield Problem(at, message, "Put the phases, and steps that are not parallel, in order.")


def _ids(phase: Phase) -> list[str]:
    """Return the ids of the tasks that a phase becomes."""
    return [step.lower() for step in phase.steps] if phase.steps else [_slug(phase.name)]


def groups(workflow: Workflow, steps: Sequence[str] | None = None) -> list[list[PlanTask]]:
    """Return the tasks of a workflow in groups that run side by side; each depends on all of the group before its own.

    With `steps`, only these: what comes before a group that is left out then comes before the next.
    """
    found: list[list[PlanTask]] = []
    for phase in workflow.phases:
        work = [step for step in phase.steps or (None,) if steps is None or step in steps]
        for group in [work] if phase.parallel else [[step] for step in work]:
            before = tuple(task.id for task in found[-1]) if found else ()
            found += [[_task(phase, step, before) for step in group]] if group else []
    return found


def _task(phase: Phase, step: str | None, before: tuple[str, ...]) -> PlanTask:
    """Return what a phase does as a task. What a step leaves is tested, but for STEP1, which leaves no record."""
    if step is None:
        work = {"id": _slug(phase.name), "name": phase.name, "command": phase.command, "environment": phase.environment}
    else:
        check = ("derush", "verify", "--quick", "--step", step, "{projects}") if step != "STEP1" else ()
        work = {"id": step.lower(), "name": declared_steps()[step].title, "step": step, "test": check}
    shared = {"depends": before, "optional": phase.optional, "force": phase.force, "retry": phase.retry}
    return PlanTask.model_validate({**work, **shared})


def _slug(name: str) -> str:
    return "-".join(re.findall("[a-z0-9]+", fold(name)))[:64]
