"""Show what STEP5 found: an H.264 preview with boxes, ids, names and who speaks. `derush tracks preview` runs it."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository, in place of this script's own folder

from config.contract import Exit, Remediable
from config.settings import Settings, SettingsError, load_settings
from workflow_scripts.step5.people_file import given_names
from workflow_scripts.step5.preview import Order, preview, refuse_taken
from workflow_scripts.stepkit import media
from workflow_scripts.stepkit.arguments import EXIT_CODES, StepParser
from workflow_scripts.stepkit.console import ProgressLine
from workflow_scripts.stepkit.errors import Interrupted, ItemError, PrerequisiteMissing, UsageError, from_os_error
from workflow_scripts.stepkit.projects import Video, video_of

_LEAST, _MOST = 0.1, 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Make the preview that the command line asks for, and return the exit code."""
    arguments = _parser().parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _make(arguments, load_settings())
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except (Remediable, SettingsError, OSError) as error:
        return _say(error)
    except Exception:
        traceback.print_exc()
        return Exit.BUG
    return Exit.OK


def _parser() -> StepParser:
    parser = StepParser(prog="derush tracks preview", description=__doc__, epilog=EXIT_CODES, allow_abbrev=False)
    parser.add_argument("proxy", type=Path, metavar="PROXY", help="<project>/docs/<name>.mp4")
    parser.add_argument("--output", type=Path, metavar="FILE|FOLDER", help="default: <name>_tracks.mp4, where you are")
    parser.add_argument(
        "--scale", type=_scale, default=1.0, help=f"of the proxy's size, {_LEAST} to {_MOST} (default: 1)"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    return parser


def _scale(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not _LEAST <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"a number from {_LEAST} to {_MOST}, not {text!r}")
    return value


def _make(arguments: argparse.Namespace, settings: Settings) -> None:
    try:
        video = video_of(arguments.proxy.absolute())
    except ItemError as error:
        raise UsageError(error.code, error.message, error.remedy) from error
    order = Order(video, _place(arguments.output, video, settings), arguments.scale, arguments.force)
    refuse_taken(order)
    progress = ProgressLine(f"preview  {video.stem}")
    try:
        preview(
            media.ffmpeg_binary(settings), order, given_names(video.project),
            lambda done, total: progress.show(done, total, "frames"),
        )  # fmt: skip
    finally:
        progress.clear()
    print(order.output)


def _place(output: Path | None, video: Video, settings: Settings) -> Path:
    """Return where the preview goes. Raises UsageError for a place in a project: a video there is taken for a rush."""
    name = f"{video.stem}_tracks.mp4"
    place = (output or Path(name)).absolute()
    if place.is_dir():
        place /= name
    inside = place.parent.resolve()
    if any(inside.is_relative_to(folder.resolve()) for folder in (video.project.path, settings.projects_dir)):
        sentence = f"{place} is in a project, and a video in a project is taken for one that was delivered."
        raise UsageError("preview_in_project", sentence, "Choose a place outside with --output.")
    return place


def _say(error: Remediable | SettingsError | OSError) -> Exit:
    """Say what went wrong and what to do, and return the exit code for it."""
    if isinstance(error, SettingsError):
        error = UsageError("wrong_settings", f"Wrong settings: {error}.", "Correct them in .env or in the environment.")
    elif isinstance(error, OSError):
        error = from_os_error(error)
    words = f"{error.message} {error.remedy} ({error.code})"
    print("".join(sign if sign.isprintable() else "�" for sign in words), file=sys.stderr)
    codes: dict[type[Remediable], Exit] = {UsageError: Exit.USAGE, PrerequisiteMissing: Exit.PREREQUISITE}
    return codes.get(type(error), Exit.SOME_FAILED)


def _interrupt(number: int, _frame: object) -> None:
    raise Interrupted(f"signal {number}")


if __name__ == "__main__":
    sys.exit(main())
