"""What every step stands on: the step contract, in the standard library and `config` alone."""

from config.contract import Exit
from workflow_scripts.stepkit.arguments import step_parser
from workflow_scripts.stepkit.errors import ItemError, PrerequisiteMissing, UsageError
from workflow_scripts.stepkit.items import Item
from workflow_scripts.stepkit.projects import Project, SourceFacts, Video
from workflow_scripts.stepkit.step import Step
from workflow_scripts.stepkit.task import Task

__all__ = [
    "Exit", "Item", "ItemError", "PrerequisiteMissing", "Project", "SourceFacts", "Step", "Task", "UsageError", "Video",
    "step_parser",
]  # fmt: skip
