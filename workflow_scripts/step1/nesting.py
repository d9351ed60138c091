"""Archives inside an archive: each becomes a folder of its name. They share the budget of the one they came in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from workflow_scripts.step1.formats import archive_format
from workflow_scripts.step1.intake import Intake
from workflow_scripts.step1.names import is_named_archive, without_suffix
from workflow_scripts.step1.readers.common import Reader
from workflow_scripts.stepkit.errors import ItemError

DEEPEST = 3
"""Archives in one another: a card in a day in a shoot. What goes deeper is made to exhaust whoever unpacks it."""


def unpack_nested(intake: Intake, fresh: Path, aside: Path, reader_of: Callable[[Path], Reader]) -> None:
    """Replace the archives among the members in `fresh` by what they hold. `aside` is a folder for them meanwhile.

    An archive is what calls itself one and is one: a project of an editing program is a zip too, and stays whole.
    Raises ItemError, which names the inner archive, when one is refused, damaged or nested too deep.
    """
    for depth in range(DEEPEST + 1):
        found = [
            path
            for member in intake.members
            if is_named_archive(path := str(member["path"])) and archive_format(fresh / path) is not None
        ]
        if found and depth == DEEPEST:
            raise ItemError(
                "nested_too_deep", f"{found[0]} lies more than {DEEPEST} archives deep.",
                "Unpack it yourself and give Derush the folder, or set STEP1_NESTED=false.",
            )  # fmt: skip
        inner = set(found)
        intake.members = [member for member in intake.members if member["path"] not in inner]
        for path in found:
            _replace(intake, PurePosixPath(path), fresh, aside, reader_of)


def _replace(
    intake: Intake, path: PurePosixPath, fresh: Path, aside: Path, reader_of: Callable[[Path], Reader]
) -> None:
    aside.mkdir(exist_ok=True)
    packed = (fresh / path).rename(aside / path.name)
    intake.below = intake.gate.folder_for(str(path.with_name(without_suffix(path.name))))
    try:
        reader_of(packed).deliver(intake)
    except ItemError as error:
        raise ItemError(error.code, f"In {path}: {error.message}", error.remedy) from error
    finally:
        intake.below = ""
        packed.unlink()
