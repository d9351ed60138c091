"""From what a person asks for to a flow that can be carried out: inputs found, prerequisites looked at first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from config.catalog import steps
from config.contract import Exit
from config.settings import REPOSITORY, Settings
from services.commands import run
from services.environments import environments, require_built
from services.errors import CommandFailed, ServiceError
from services.flow import Flow
from services.inputs import Finder, Inputs, left_out_text, take_in
from services.room import free_gigabytes
from services.worker import step_command

DEMO_ARCHIVE = REPOSITORY / "samples" / "demo_rushes.zip"
_WAYS_IN = {
    "too_small": "`--min-size 0` takes the smallest.",
    "other_kind": "`--kind all` takes both archives and videos.",
    "other_name": "Leave `--keyword` out, or give a word that is in the name or the folder's.",
    "still_arriving": "What is still being written: run again once it is there.",
}
"""How to have taken in what was left out, by the code that STEP1 gives."""


@contextmanager
def required_prerequisites(
    chosen: Sequence[str], settings: Settings, arguments: Callable[[str], list[str]]
) -> Iterator[None]:
    """Ask every chosen step whether it could work (environment, tools, models, options, disks) while the block runs.

    `arguments` gives the options a step will be called with. The block is left when all have answered; raises
    ServiceError with the first step's own words, which come before whatever the block raised: that may follow from it.
    """
    known = environments(settings)
    for step_id in chosen:
        require_built(known[steps()[step_id].environment])

    def check(step_id: str) -> None:
        spec = steps()[step_id]
        environment = known[spec.environment]
        command = step_command(spec, environment, "--check", *arguments(step_id))
        try:
            run(command, changes=environment.variables, remedy="", timeout=120)
        except CommandFailed as refused:
            asked = refused.returncode == Exit.USAGE
            remedy = f"See `derush step {step_id} --help`." if asked else "`derush doctor` says all that is missing."
            known_code = refused.returncode in (Exit.USAGE, Exit.PREREQUISITE)
            exit_code = refused.returncode if known_code else Exit.BUG
            raise ServiceError(f"{step_id.lower()}_cannot_work", refused.output, remedy, exit_code) from None

    with ThreadPoolExecutor() as pool:
        answers = pool.map(check, chosen)
        try:
            yield
        finally:
            list(answers)


def require_inputs(inputs: Sequence[Path], chosen: Sequence[str]) -> None:
    """Raise ServiceError when nothing was named to begin with, or something that is not there."""
    if not inputs and "STEP1" in chosen:
        raise ServiceError(
            "no_input", "Nothing to work on was named.", "Name a folder or an archive, or use --demo.", Exit.USAGE
        )
    for path in inputs:
        if not path.exists():
            raise ServiceError("no_input", f"{path} does not exist.", "Check the path.", Exit.USAGE)


def fill(flow: Flow, finder: Finder, settings: Settings, say: Callable[[str], None]) -> Inputs:
    """Take in what the stages' files hold; where no stage names any, every project there is.

    Raises ServiceError when nothing is found to work on, or there is surely no room for it.
    """
    require_inputs([Path(path) for stage in flow.stages.values() for path in stage.files], [])
    inputs = take_in(flow, finder, settings)
    for path in inputs.empty:
        say(f"{path}: no archive, video or project was found in it.")
    if inputs.left_out:
        say(f"Inputs: {left_out_text(inputs.left_out)}.")
    require_work(flow, inputs, settings)
    require_room(flow, settings)
    return inputs


def require_work(flow: Flow, inputs: Inputs, settings: Settings) -> None:
    """Raise ServiceError when steps were chosen and nothing was found for them."""
    works_on_items = any(stage.spec for stage in flow.stages.values())
    if not works_on_items or any(task.stage.spec for task in flow.tasks.values()):
        return
    named = dict.fromkeys(path for stage in flow.stages.values() for path in stage.files)
    where = ", ".join(named) or str(settings.projects_dir)
    if inputs.left_out:
        raise ServiceError(
            "nothing_found", f"Nothing to work on was found in {where} ({left_out_text(inputs.left_out)}).",
            _way_in(each.code for each in inputs.left_out), Exit.USAGE,
        )  # fmt: skip
    raise ServiceError(
        "nothing_found", f"Nothing to work on was found in {where}.",
        "Name a folder that holds zip, tar, 7z or rar archives, or videos. Steps 2 to 7 alone need STEP1's work on "
        "them first.", Exit.USAGE,
    )  # fmt: skip


def _way_in(codes: Iterable[str]) -> str:
    """Say what to do so that files left out with these codes are taken in."""
    said = [_WAYS_IN[code] for code in dict.fromkeys(codes) if code in _WAYS_IN]
    return " ".join(said) or "Name another file or folder."


def require_room(flow: Flow, settings: Settings) -> None:
    """Refuse what surely cannot fit: what comes out of an archive is hardly ever smaller than the archive.

    Raises ServiceError.
    """
    items = (task.item for task in flow.tasks.values())
    needed = sum(item.size for item in items if item.kind == "archive" and item.project is None)
    free = free_gigabytes(settings.projects_dir)
    if needed / 1e9 > free:
        raise ServiceError(
            "disk_too_small",
            f"The archives hold {needed / 1e9:.1f} GB, and {free:.1f} GB are free for {settings.projects_dir}.",
            "Free space, set PROJECTS_DIR to a larger disk, or name fewer archives.",
        )
