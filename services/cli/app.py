"""The commands of `derush`, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module

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

COMMANDS = {
    "run": "run", "plan": "plan", "status": "executions", "history": "executions", "show": "executions",
    "pause": "steering", "resume": "steering", "cancel": "steering", "retry": "steering", "accept": "steering",
    "step": "run", "verify": "verify", "doctor": "look", "logs": "look", "serve": "look", "envs": "envs", "models": "models",
    "carry-out": "steering",
}  # fmt: skip
"""Every command, and the module below services.cli that has it: only the one that is called for is imported."""
_HIDDEN = {"carry-out"}


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line with the command that the arguments name, or with all of them."""
    made = typer.Typer(
        name="derush", no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False,
        help="Take archives of video rushes through seven steps: extraction, 25 fps proxies, scenes, audio, tracking, "
        "reduction, delivery.",
        epilog=EXIT_CODES,
    )  # fmt: skip
    made.callback()(lambda: None)  # so that a single command keeps its name
    named = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name in [named] if named else COMMANDS:
        module = import_module(f"services.cli.{COMMANDS[name]}")
        if hasattr(module, "app"):
            made.add_typer(module.app, name=name)
        else:
            settings = _PASS_ON if name == "step" else {}
            epilog = EXIT_CODES if name == "run" else None
            command = made.command(name, context_settings=settings, epilog=epilog, hidden=name in _HIDDEN)
            command(getattr(module, name.replace("-", "_")))
    return made


def main() -> int:
    """Run the command line; the one boundary where an error becomes a sentence and an exit code."""
    # A shell starts background jobs with Ctrl-C ignored: who sends the signal by name means it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return int(app_for(sys.argv[1:])(standalone_mode=False) or 0)
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
