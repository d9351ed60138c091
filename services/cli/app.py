"""The commands of `derush`, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer
from rich.markup import escape

from config.contract import Exit
from config.settings import SettingsError, load_settings
from services.cli.options import to_person
from services.errors import ServiceError

EXIT_CODES = (
    "[bold]Exit codes[/]  0 all done or up to date · 1 some items failed, the rest are done · 2 wrong usage · "
    "3 a prerequisite is missing · 70 a bug · 130 interrupted"
)
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@dataclass(frozen=True)
class Entry:
    """A command: the module below services.cli that has it, and the first sentence of what it says of itself."""

    module: str
    summary: str
    is_hidden: bool = False


COMMANDS = {
    "run": Entry("run", "Take material through the steps: what is done already and unchanged is left as it is."),
    "watch": Entry("watch", "Start a run for what is in folders, and for whatever comes to them once it is whole."),
    "plan": Entry("plan", "Choose the workflow that fits a request, and print the plan it makes."),
    "status": Entry("executions", "Show how far a run is, the time left, what failed and what to do about it."),
    "history": Entry("history", "List the runs, newest first."),
    "show": Entry("executions", "Show a run as a tree: its steps, their tasks, errors, logs."),
    "pause": Entry("steering", "Finish what is running, start nothing new; `derush resume` goes on."),
    "resume": Entry("steering", "Go on with a run that was paused or interrupted; finished work is not touched."),
    "cancel": Entry("steering", "End a run, or only one step or one video of it. What is done stays done."),
    "retry": Entry("steering", "Do again what failed or was cancelled, and what depends on it."),
    "accept": Entry("steering", "Take failures as they are: what depends on them goes on as if they were done."),
    "step": Entry("step", "Run one step's script under its own environment's interpreter."),
    "scenes": Entry("scenes", "The shots that STEP3 found."),
    "tracks": Entry("tracks", "The tracks that STEP5 found."),
    "export": Entry("export", "Write shots, speech and tracks as editing programs and other tools read them."),
    "verify": Entry("verify", "Check that every file that steps recorded is there, whole and unchanged."),
    "archive": Entry("archive", "The archives of results: found, checked for bit rot, brought back."),
    "doctor": Entry("doctor", "Check everything that a run needs, and say what to do about what is missing."),
    "logs": Entry("look", "Show the newest log of a step."),
    "serve": Entry("panel", "Open the control panel until Ctrl-C; runs go on without it."),
    "password": Entry("panel", "Set the password of the control panel."),
    "envs": Entry("envs", "The four virtual environments that steps run under."),
    "models": Entry("models", "The model files that steps load."),
    "carry-out": Entry("steering", "Carry out a run that was recorded.", is_hidden=True),
}
"""Every command. Only the one that is called for is imported; `derush --help` imports none."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line with the command that the arguments name, or with all of them."""
    made = _empty()
    named = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name in [named] if named else COMMANDS:
        entry = COMMANDS[name]
        module = import_module(f"services.cli.{entry.module}")
        if hasattr(module, "app"):
            made.add_typer(module.app, name=name)
        else:
            settings = _PASS_ON if name == "step" else {}
            epilog = EXIT_CODES if name == "run" else None
            command = made.command(name, context_settings=settings, epilog=epilog, hidden=entry.is_hidden)
            command(getattr(module, name.replace("-", "_")))
    return made


def overview() -> typer.Typer:
    """Return the command line as `derush --help` tells of it: the names and summaries of the commands, and no more."""
    made = _empty()
    for name, entry in COMMANDS.items():
        made.command(name, short_help=entry.summary, hidden=entry.is_hidden)(lambda: None)
    return made


def _empty() -> typer.Typer:
    made = typer.Typer(
        name="derush", no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False,
        help="Take archives of video rushes through seven steps: extraction, 25 fps proxies, scenes, audio, tracking, "
        "reduction, delivery.",
        epilog=EXIT_CODES,
    )  # fmt: skip
    made.callback()(_for_every_command)  # with it a single command keeps its name
    return made


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version  # here, since hardly any call asks for it

        print(f"Derush {version('derush')}")
        raise typer.Exit


def _for_every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which Derush this is.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main() -> int:
    """Run the command line; the one boundary where an error becomes a sentence and an exit code."""
    # A shell starts background jobs with Ctrl-C ignored: who sends the signal by name means it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return int(_imported()(standalone_mode=False) or 0)
    except SettingsError as error:
        to_person.print(f"[red]Wrong settings:[/]\n{error}\nCorrect them in .env or in the environment.")
        return Exit.USAGE
    except ServiceError as error:
        return _refused(error)
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except typer.Exit as ending:
        return ending.exit_code
    except Exception as error:
        return _unexpected(error)


def _imported() -> typer.Typer:
    """Return the command line with what is called for.

    Hardly anything that is imported is ever garbage. Not to look for it, now and at the end, takes a quarter off what a
    short command costs.
    """
    gc.disable()
    try:
        return app_for(sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in COMMANDS else overview()
    finally:
        gc.freeze()
        gc.enable()


def _refused(error: ServiceError) -> int:
    text = f"[red]✗[/] {escape(error.message)} [bold]{escape(error.remedy)}[/] [dim]({error.code})[/]"
    to_person.print(text, soft_wrap=True, highlight=False)
    if "--json" in sys.argv:
        print(json.dumps({"exit_code": int(error.exit_code), "error": error.record()}, indent=1))
    return error.exit_code


def _unexpected(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # what the command-line parser refuses
        error.show()
        return int(error.exit_code)
    path = load_settings().logs_dir / f"derush_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(traceback.format_exc(), encoding="utf-8")
    to_person.print(f"[red]A mistake in Derush itself:[/] {error!r}. Please report it with {path}", soft_wrap=True)
    return Exit.BUG
