"""Export videos to what editing programs, players and annotation tools open: `derush export`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.contract import Exit, Remediable
from config.settings import Settings, SettingsError, load_settings
from workflow_scripts.step6.exports.files import FOLDER, Order, missing_module, named, prepare, refuse_delivered, write
from workflow_scripts.step6.exports.finding import find_videos
from workflow_scripts.step6.exports.formats import FORMATS
from workflow_scripts.step6.exports.making import AGAINST, PATHS
from workflow_scripts.stepkit.arguments import EXIT_CODES, StepParser
from workflow_scripts.stepkit.errors import Interrupted, ItemError, PrerequisiteMissing, UsageError, from_os_error
from workflow_scripts.stepkit.projects import Video

SCHEMA = "derush.export/1"


@dataclass
class Report:
    """What was made and what was not, for people as it happens or for programs at the end."""

    as_json: bool
    files: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def made(self, video: Video, name: str, path: Path) -> None:
        """Say that a file is there."""
        self.files.append({"video": video.stem, "format": name, "path": str(path), "bytes": path.stat().st_size})
        if not self.as_json:
            print(_shown(str(path)))

    def failed(self, subject: str, name: str | None, error: Remediable) -> None:
        """Say what could not be made."""
        self.problems.append({"video": subject, "format": name, **error.record()})
        self._say(f"✗ {subject}{f', {name}' if name else ''}", error)

    def warn(self, subject: str, error: Remediable) -> None:
        """Say what a person should know though files were made."""
        self.warnings.append({"video": subject, **error.record()})
        self._say(f"! {subject}", error)

    def _say(self, whose: str, error: Remediable) -> None:
        print(_shown(f"{whose}: {error.message} {error.remedy} ({error.code})"), file=sys.stderr)

    def end(self, exit_code: int) -> int:
        """Print the document for programs, where it was asked for; returns the exit code."""
        if self.as_json:
            document = {"schema": SCHEMA, "exit_code": int(exit_code), "files": self.files}
            print(json.dumps({**document, "problems": self.problems, "warnings": self.warnings}, indent=1))
        return exit_code


def _shown(text: str) -> str:
    """Replace what a terminal would take as a command."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def main(argv: Sequence[str] | None = None) -> int:
    """Export what the command line names, and return the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        print("\n".join(f"{made.name:8} <video>{made.suffix:11} {made.about}" for made in FORMATS.values()))
        return Exit.OK
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    report = Report(arguments.json)
    try:
        settings = load_settings()
        order = _order(arguments, settings)
        if lacking := missing_module(order, settings):
            raise lacking
        videos = find_videos(arguments.targets, settings)
        for video in videos:
            _export(video, order, arguments, report)
    except KeyboardInterrupt:
        return report.end(Exit.INTERRUPTED)
    except (UsageError, PrerequisiteMissing, SettingsError) as error:
        wrong = _wrong_settings(error) if isinstance(error, SettingsError) else error
        report.failed("derush export", None, wrong)
        return report.end(Exit.PREREQUISITE if isinstance(error, PrerequisiteMissing) else Exit.USAGE)
    except Exception:
        traceback.print_exc()
        return report.end(Exit.BUG)
    return report.end(Exit.SOME_FAILED if report.problems else Exit.OK)


def _parser() -> StepParser:
    parser = StepParser(prog="derush export", description=__doc__, epilog=EXIT_CODES, allow_abbrev=False)
    parser.add_argument("targets", nargs="*", metavar="VIDEO|PROJECT", help="by path or by name; `project/video` too")
    parser.add_argument(
        "--to", action="append", default=[], metavar="FORMAT[,FORMAT…]", help="see --list; `all` (default: EXPORTS)"
    )
    parser.add_argument(
        "--against", choices=AGAINST, default="original", help="what the timeline is cut from (default: original)"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=f"default: `{FOLDER}` in the video's project")
    parser.add_argument("--paths", choices=PATHS, default="relative", help="how media are named (default: relative)")
    parser.add_argument("--force", action="store_true", help="replace other files in --output")
    parser.add_argument("--list", action="store_true", help="list the formats and what opens them, and stop")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead, for programs")
    return parser


def _order(arguments: argparse.Namespace, settings: Settings) -> Order:
    try:
        formats = named(arguments.to or settings.exports)
    except ValueError as error:
        raise UsageError("no_such_format", f"{error}.", f"There are: {', '.join(FORMATS)}.") from None
    if not formats or not arguments.targets:
        what = "FORMAT" if arguments.targets else "VIDEO or PROJECT"
        remedy = "Say `derush export VIDEO --to FORMAT`; `derush export --list` shows the formats."
        raise UsageError("nothing_asked", f"No {what} was named.", remedy)
    if arguments.paths == "absolute" and arguments.output is None:
        sentence = "Exports in a project name media relative to themselves, so that the project can be delivered."
        raise UsageError("paths_in_project", sentence, "Leave --paths out, or choose a folder with --output.")
    return Order(formats, arguments.against, arguments.paths)


def _export(video: Video, order: Order, arguments: argparse.Namespace, report: Report) -> None:
    """Make a video's files; what goes wrong with it, or with one of them, ends that one alone."""
    folder = arguments.output.absolute() if arguments.output else video.project.path / FOLDER
    try:
        prepared = prepare(video, order, folder)
    except (ItemError, OSError) as error:
        report.failed(video.stem, None, error if isinstance(error, ItemError) else from_os_error(error))
        return
    for warning in prepared.warnings:
        report.warn(video.stem, warning)
    for made, reason in prepared.impossible:
        report.failed(video.stem, made.name, reason)
    for made in prepared.possible:
        path = folder / order.name(video, made)
        try:
            if arguments.output is None:
                refuse_delivered(video.project, path)
            elif str(path) in {entry["path"] for entry in report.files}:
                raise ItemError(
                    "name_taken", f"{path.name} was just made for another video of that name.",
                    "Export the projects to folders of their own.",
                )  # fmt: skip
            write(prepared.export, made, path, replace=arguments.force or arguments.output is None)
            report.made(video, made.name, path)
        except ItemError as error:
            report.failed(video.stem, made.name, error)
        except OSError as error:
            report.failed(video.stem, made.name, from_os_error(error))


def _interrupt(number: int, _frame: object) -> None:
    raise Interrupted(f"signal {number}")


def _wrong_settings(error: SettingsError) -> UsageError:
    return UsageError("wrong_settings", f"Wrong settings: {error}.", "Correct them in .env or in the environment.")


if __name__ == "__main__":
    sys.exit(main())
