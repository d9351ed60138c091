"""The command line that all step scripts share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EXIT_CODES = "exit codes: 0 done or up to date, 1 some items failed, 2 wrong usage, 3 a prerequisite is missing, 70 bug, 130 interrupted"


def _dashes(argument: str) -> str:
    """Return a long option with `-` where its name has `_`; its value and other arguments stay."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


class StepParser(argparse.ArgumentParser):
    """An argument parser that takes long options with `-` and with `_`."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Parse as the base class does, after spelling the option names one way."""
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([_dashes(argument) for argument in given], namespace)


def step_parser(step_id: str, about: str | None, *, videos_aliases: Sequence[str] = ()) -> StepParser:
    """Make the parser of a step's script with the options every step has.

    `videos_aliases` are further names of `--videos`, for command lines that are older than this one.
    """
    parser = StepParser(
        description=f"{step_id}: {about or ''}",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    chosen = parser.add_argument_group("what to work on")
    chosen.add_argument(
        "--videos", *videos_aliases, dest="videos", metavar="FILE|-",
        help="a JSON list of paths (or JSON lines); `-` takes one JSON object a line from standard input until it ends",
    )  # fmt: skip
    chosen.add_argument(
        "--project",
        dest="projects",
        action="append",
        type=Path,
        metavar="FOLDER",
        help="only this project (repeatable)",
    )
    chosen.add_argument(
        "--work-dir", type=Path, metavar="FOLDER", help="the folder of the projects (setting PROJECTS_DIR)"
    )
    chosen.add_argument("--list", action="store_true", help="print the items, one JSON object a line, and stop")
    chosen.add_argument("--check", action="store_true", help="check that the step could work here, and stop")
    way = parser.add_argument_group("how")
    way.add_argument("--force", action="store_true", help="do again what is up to date")
    way.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    way.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where models run (default: auto)"
    )
    way.add_argument("--log-dir", type=Path, metavar="FOLDER", help="where the log goes (default: below LOGS_DIR)")
    way.add_argument(
        "--events", metavar="PATH|FD", help="also write events, one JSON object a line, to this file or descriptor"
    )
    return parser
