"""From what is asked for to a plan: which declared workflow fits a request, and the plan it makes of inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from config.contract import Exit
from config.settings import REPOSITORY
from services.errors import ServiceError
from services.plans import Plan, PlanTask
from services.words import LANGUAGES, clauses, stems
from services.workflows import Workflow, groups, read_workflow

FOLDER = REPOSITORY / "config" / "workflows"
_NEGATION = re.compile(r"\b(?:sauf|sans|hormis|excepté|pas|except|without|not|don['’]t|never|jamais)\b", re.IGNORECASE)
LEAST_SHARE = 0.6
"""Share of a trigger's words that a request must have: both of two, two of three."""


@dataclass(frozen=True)
class Choice:
    """The workflow that fits a request, and a sentence that says why."""

    workflow: Workflow
    why: str


def workflows(folder: Path = FOLDER) -> dict[str, Workflow]:
    """Return the declared workflows by name. Raises ServiceError, with file and line, for one that is wrong."""
    return dict(_workflows(folder))


@lru_cache(maxsize=4)
def _workflows(folder: Path) -> dict[str, Workflow]:
    found = [read_workflow(path) for path in sorted(folder.glob("*.yaml"))]
    return {workflow.name: workflow for workflow in found}


def choose(request: str, known: Mapping[str, Workflow]) -> Choice:
    """Return the workflow that fits a request best: by the share of a trigger's words it has, then by their number.

    Raises ServiceError when none fits, two fit equally well, or the request leaves something out.
    """
    fits = [fit for workflow in known.values() if (fit := _best_fit(request, workflow))]
    if not fits:
        raise _nothing_fits(request, known)
    best = max(fit.rank for fit in fits)
    first, *others = [fit for fit in fits if fit.rank == best]
    if others:
        raise _ambiguous([first, *others])
    left_out = _NEGATION.search(request)
    if left_out and not _NEGATION.search(first.trigger):
        raise _leaves_out(left_out[0])
    return Choice(first.workflow, first.why)


@dataclass(frozen=True)
class _Fit:
    """How well a trigger fits a request: the request's words that it meets, out of how many of its own."""

    workflow: Workflow
    trigger: str
    met: tuple[str, ...]
    size: int

    @property
    def rank(self) -> tuple[float, int]:
        return len(self.met) / self.size, len(self.met)

    @property
    def why(self) -> str:
        met = " and ".join(f"“{word}”" for word in self.met)
        workflow = self.workflow
        return f"{met} in the request met the trigger “{self.trigger}” of {workflow.name}: {workflow.about}."


def _best_fit(request: str, workflow: Workflow) -> _Fit | None:
    """Return the trigger of a workflow that fits best. Only one that says "and" itself is met across an "and"."""
    fits = []
    for language, phrases in workflow.triggers:
        whole = [stems(request, language)]
        parts = [stems(clause, language) for clause in clauses(request)]
        for phrase in phrases:
            wanted = stems(phrase, language)
            asked = whole if len(clauses(phrase)) > 1 else parts
            met = max(([part[stem] for stem in wanted if stem in part] for part in asked), key=len)
            fits.append(_Fit(workflow, phrase, tuple(met), len(wanted)))
    best = max(fits, key=lambda fit: fit.rank)
    return best if best.rank[0] >= LEAST_SHARE else None


def trigger_test(known: Mapping[str, Workflow]) -> Callable[[str], bool]:
    """Return a function that tells whether a word is part of a trigger."""
    phrases = {language: " ".join(_phrases(known, language)) for language in LANGUAGES}
    triggers = {language: frozenset(stems(text, language)) for language, text in phrases.items()}
    return lambda word: any(triggers[language] & stems(word, language).keys() for language in LANGUAGES)


def _phrases(known: Mapping[str, Workflow], language: str) -> list[str]:
    return [phrase for workflow in known.values() for phrase in getattr(workflow.triggers, language)]


def _ambiguous(fits: Sequence[_Fit]) -> ServiceError:
    named = " and ".join(f"{fit.workflow.name} (“{fit.trigger}”)" for fit in fits)
    remedy = f"Choose one: {' or '.join(f'`--workflow {fit.workflow.name}`' for fit in fits)}."
    return ServiceError("ambiguous_request", f"The request fits {named} equally well.", remedy, Exit.USAGE)


def _leaves_out(word: str) -> ServiceError:
    message = f"The request leaves something out (“{word}”), and what that is is not understood."
    remedy = "Name the workflow and its steps: `derush plan --workflow full --steps 1-4,6 --file …`."
    return ServiceError("negation_not_understood", message, remedy, Exit.USAGE)


def _nothing_fits(request: str, known: Mapping[str, Workflow]) -> ServiceError:
    examples = [f"{each.name} (“{each.triggers.fr[0]}”, “{each.triggers.en[0]}”)" for each in known.values()]
    message = f"No workflow fits “{request.strip()[:80]}”."
    remedy = f"Take one by --workflow, or ask in words such as these: {'; '.join(examples)}."
    return ServiceError("no_workflow_fits", message, remedy, Exit.USAGE)


def make_plan(workflow: Workflow, *, objective: str, files: Sequence[str], steps: Sequence[str] | None = None) -> Plan:
    """Make a workflow concrete: `files` go to the tasks that nothing comes before.

    `steps` restricts the plan to these: what they wait for is looked up through what was left out, and the checks of
    the whole are left out with it. Raises ServiceError for a step that the workflow does not have.
    """
    _require_text(files)
    has = [task.step or task.id for group in groups(workflow) for task in group]
    if unknown := set(steps or ()) - set(has):
        message = f"The workflow {workflow.name} has no {', '.join(sorted(unknown))}."
        raise ServiceError("wrong_steps", message, f"It has: {', '.join(has)}.", Exit.USAGE)
    chosen = [[_with_files(task, files) for task in group] for group in groups(workflow, steps)]
    is_whole = sum(map(len, chosen)) == len(has)
    return Plan(
        workflow=workflow.name, objective=objective,
        parallel_tasks=tuple(task for group in chosen if len(group) > 1 for task in group),
        sequential_tasks=tuple(task for group in chosen if len(group) == 1 for task in group),
        validation=workflow.validation if is_whole else (),
    )  # fmt: skip


def _require_text(files: Sequence[str]) -> None:
    for name in files:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="replace").decode()
            message = f"The name {shown} is not UTF-8."
            raise ServiceError("wrong_name", message, "Rename it, or name its folder.", Exit.USAGE) from None


def _with_files(task: PlanTask, files: Sequence[str]) -> PlanTask:
    return task if task.depends else task.model_copy(update={"files": tuple(files)})


def chosen_steps(text: str | None, known: Sequence[str]) -> list[str]:
    """Read a choice of steps such as `1-3,6` or `STEP5`; None means all. Raises ValueError, saying what is accepted."""
    if text is None:
        return list(known)
    chosen: set[int] = set()
    for part in text.upper().replace("STEP", "").split(","):
        matched = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if matched is None:
            raise ValueError(f"--steps {text}: give numbers and ranges from 1 to {len(known)}, such as 1-3,6")
        numbers = range(int(matched[1]), int(matched[2] or matched[1]) + 1)
        if not numbers or numbers[0] < 1 or numbers[-1] > len(known):
            raise ValueError(f"--steps {text}: the steps go from 1 to {len(known)}, a range from low to high")
        chosen |= set(numbers)
    return [known[number - 1] for number in sorted(chosen)]
