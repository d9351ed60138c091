"""What a run would do, before it is begun: what it takes in, what is to do, how long it takes, whether it fits.

Nothing is recorded, claimed or written. What is up to date the steps' own scripts say, in dry runs side by side; they have
a bounded time for it.
"""

from __future__ import annotations

import math
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from config.settings import Settings
from services.asking import Answers, Asking
from services.errors import ServiceError
from services.executions import Store
from services.flow import Flow, Task
from services.forecasts import AHEAD, Forecast, artefact_bytes, states_of
from services.inputs import Finder, Inputs, take_in
from services.options import Options
from services.plans import Plan
from services.pools import COMMAND_TAKES, pools_of, takes
from services.preparation import require_inputs, require_room, require_work
from services.responses import (
    LeftOutInput,
    Preview,
    PreviewFailure,
    PreviewInput,
    PreviewPlace,
    PreviewStep,
    Refusal,
)
from services.room import nearest_existing
from services.stages import Stage, stages_of

PATIENCE = 20.0
"""Seconds that the steps have for their answers."""
_MOST_FAILURES = 50
_AT_ONCE = threading.BoundedSemaphore(2)
"""Each asks up to seven processes: a panel must not be brought down by people who look ahead."""


def preview(store: Store, settings: Settings, plan: Plan, options: Options, seconds: float = PATIENCE) -> Preview:
    """Return what carrying out a plan in this way would do; the steps are given so many seconds to say it.

    What keeps the run from being carried out is told as refusals, not raised. Raises ServiceError previews_busy when others
    in this process look ahead for longer than that.
    """
    if not _AT_ONCE.acquire(timeout=seconds):
        raise ServiceError("previews_busy", "Others are looking ahead at this moment.", "Try again in a few seconds.")
    try:
        return _preview(store, settings, plan, options, seconds)
    finally:
        _AT_ONCE.release()


def _preview(store: Store, settings: Settings, plan: Plan, options: Options, seconds: float) -> Preview:
    stages = stages_of(plan)
    finder = Finder(settings, options, seconds)
    flow, inputs = Flow(stages, finder, force=options.force), Inputs()
    refusals: list[Refusal] = []
    with Asking(stages.values(), settings, options) as asking:
        try:
            require_inputs([Path(path) for stage in stages.values() for path in stage.files], [])
            inputs = take_in(flow, finder, settings)
            require_work(flow, inputs, settings)
            require_room(flow, settings)
        except ServiceError as error:
            refusals.append(_refusal(error))
        answers = asking.ask(flow, seconds)
    refusals += [_refusal(error, stage_id) for stage_id, error in answers.refused.items()]
    states = states_of(flow, answers.outcomes)
    paces = store.paces([stage.spec.id for stage in stages.values() if stage.spec])
    forecast = Forecast(flow, states, inputs.taken, paces)
    pools = pools_of(settings).sizes
    held = {stage.id: _held(stage, settings, options, pools["gpu"]) for stage in stages.values()}
    return Preview(
        objective=plan.objective,
        inputs=tuple(_inputs(inputs)),
        left_out=tuple(LeftOutInput(**asdict(each)) for each in inputs.left_out),
        steps=tuple(_step(stage, states, forecast) for stage in stages.values()),
        seconds=forecast.seconds(held, pools),
        is_least=forecast.is_least,
        is_complete=answers.is_complete,
        places=tuple(_places(_needed(forecast, states, answers), settings)),
        failures=tuple(_failures(states, answers)),
        refusals=tuple(refusals),
    )


def _refusal(error: ServiceError, stage: str | None = None) -> Refusal:
    return Refusal(**error.record(), stage=stage, exit_code=int(error.exit_code))


def _held(stage: Stage, settings: Settings, options: Options, gpus: int) -> Mapping[str, int]:
    return takes(stage.spec, settings, options.device, gpus) if stage.spec else COMMAND_TAKES


def _inputs(inputs: Inputs) -> list[PreviewInput]:
    delivered = [
        PreviewInput(
            path=each.item.path, form=each.form, bytes=each.item.size, clips=each.clips, project=each.name,
            is_new=each.item.project is None,
        )
        for each in inputs.taken
    ]  # fmt: skip
    there = [(path, "project", Path(path)) for path in inputs.projects]
    there += [(path, "video", Path(path).parents[1]) for path in inputs.videos]
    return delivered + [
        PreviewInput(path=path, form=form, bytes=None, clips=None, project=project.name, is_new=False)
        for path, form, project in there
    ]


def _step(stage: Stage, states: Mapping[Task, str], forecast: Forecast) -> PreviewStep:
    counts = Counter(state for task, state in states.items() if task.stage is stage)
    counts["unknown"] += forecast.expected[stage.id]
    return PreviewStep(
        stage=stage.id,
        step=stage.spec.id if stage.spec else None,
        title=stage.title,
        is_check=stage.is_check,
        to_do=counts["to_do"],
        up_to_date=counts["up_to_date"],
        unknown=counts["unknown"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        is_least=stage.id in forecast.at_least,
        seconds=sum(job.seconds for job in forecast.jobs if job.stage is stage),
        is_measured=forecast.is_measured(stage),
    )


def _failures(states: Mapping[Task, str], answers: Answers) -> list[PreviewFailure]:
    """Return the first of the tasks that could not be done, with why."""
    failed = [task for task, state in states.items() if state == "failed"][:_MOST_FAILURES]
    errors = [(task, answers.outcomes[task].error or {}) for task in failed]
    return [
        PreviewFailure(
            stage=task.stage.id, subject=task.item.path, code=str(error.get("code", "")),
            message=str(error.get("message", "")), remedy=str(error.get("remedy", "")),
        )
        for task, error in errors
    ]  # fmt: skip


def _needed(forecast: Forecast, states: Mapping[Task, str], answers: Answers) -> dict[str, float]:
    """Return the bytes that will be written, at most, by the setting of the folder they go to.

    A delivery knows what it would copy and archive when nothing before it is ahead; else it is all that the project holds
    and will hold.
    """
    needed = dict.fromkeys(("projects_dir", "output_dir", "archives_dir"), 0.0)
    said = {
        task.item.path: outcome.metrics
        for task, outcome in answers.outcomes.items()
        if task.is_whole and not any(states[earlier] in AHEAD for earlier in task.after)
    }
    of_project = defaultdict(list)
    for job in forecast.jobs:
        if job.stage.item_kind != "project":
            needed["projects_dir"] += job.written
            of_project[job.project].append(job)
    for job in forecast.jobs:
        if job.stage.item_kind == "project":
            known = said.get(job.item, {})
            new = of_project[job.project]
            whole = _bytes_below(Path(job.project)) + sum(each.written for each in new)
            needed["output_dir"] += float(known.get("bytes", whole))
            needed["archives_dir"] += float(known.get("archive_bytes", artefact_bytes(new)))
    return needed


def _places(needed: Mapping[str, float], settings: Settings) -> list[PreviewPlace]:
    """Return the folders with what they need and have; what goes to one disk is taken together."""
    folders = {name: Path(getattr(settings, name)) for name in needed}
    disks = {name: nearest_existing(folder).stat().st_dev for name, folder in folders.items()}
    on_disk = Counter[int]()
    for name, size in needed.items():
        on_disk[disks[name]] += math.ceil(size)
    free = {name: shutil.disk_usage(nearest_existing(folder)).free for name, folder in folders.items()}
    reserve = settings.disk_reserve_gb * 1e9
    return [
        PreviewPlace(
            setting=name.upper(), path=str(folder), needed_bytes=math.ceil(needed[name]), free_bytes=free[name],
            is_enough=not on_disk[disks[name]] or on_disk[disks[name]] + reserve <= free[name],
        )
        for name, folder in folders.items()
    ]  # fmt: skip


def _bytes_below(folder: Path) -> int:
    """Return the bytes of the files of a project; 0 where there is none yet."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)
