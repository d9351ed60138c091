"""Graphs of plans written by hand, for the tests of what goes on in them."""

from __future__ import annotations

from services.flow import Flow
from services.items import WorkItem
from services.plans import Plan
from services.stages import stages_of

PROJECT = "/work/a"


def planned(**parts: object) -> Flow:
    """A flow of a plan written by hand; both videos of the project are there already."""
    videos = [WorkItem("video", f"{PROJECT}/v{number}", PROJECT) for number in (1, 2)]
    plan = Plan.from_record({"schema": "derush.plan/1", "workflow": "mine", "objective": "test", **parts})
    made = Flow(stages_of(plan), lambda step, project: videos)
    made.begin_with_project(PROJECT)
    made.start()
    return made


def step_task(step_id: str, *depends: str, **more: object) -> dict[str, object]:
    files = [] if depends else [PROJECT]
    return {"id": step_id.lower(), "name": step_id, "step": step_id, "depends": list(depends), "files": files, **more}


def command_task(name: str, *depends: str) -> dict[str, object]:
    return {"id": name, "name": name, "command": ["true"], "environment": "env", "depends": list(depends)}
