"""The commands of `derush`, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import json
import signal
import sys
import time
import traceback

import typer
from rich.markup import escape

from config.contract import Exit
from config.settings import SettingsError, load_settings
from services.cli import envs, look, models, run
from services.cli.options import to_person
from services.errors import ServiceError

EXIT_CODES = (
    "[bold]Exit codes[/]  0 all done or up to date · 1 some items failed, the rest are done · 2 wrong usage · "
    "3 a prerequisite is missing · 70 a bug · 130 interrupted"
)
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

app = typer.Typer(
    name="derush", no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False,
    help="Take archives of video rushes through seven steps: extraction, 25 fps proxies, scenes, audio, tracking, "
    "reduction, delivery.",
    epilog=EXIT_CODES,
)  # fmt: skip
app.command(epilog=EXIT_CODES)(run.run)
app.command(context_settings=_PASS_ON)(run.step)
app.command()(look.logs)
app.command()(look.doctor)
app.command()(look.serve)
app.add_typer(envs.app, name="envs")
app.add_typer(models.app, name="models")


def main() -> int:
    """Run the command line; the one boundary where an error becomes a sentence and an exit code."""
    # A shell starts background jobs with Ctrl-C ignored: who sends the signal by name means it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return int(app(standalone_mode=False) or 0)
    except SettingsError as error:
        to_person.print(f"[red]Wrong settings:[/]\n{error}\nCorrect them in .env or in the environment.")
        return Exit.USAGE
    except ServiceError as error:
        to_person.print(f"[red]✗[/] {escape(error.message)} [bold]{escape(error.remedy)}[/] [dim]({error.code})[/]",
                        soft_wrap=True, highlight=False)  # fmt: skip
        if "--json" in sys.argv:
            print(json.dumps({"exit_code": int(error.exit_code), "error": error.record()}, indent=1))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except typer.Exit as ending:
        return ending.exit_code
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # what the command-line parser refuses
        error.show()
        return int(error.exit_code)
    path = load_settings().logs_dir / f"derush_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(traceback.format_exc(), encoding="utf-8")
    to_person.print(f"[red]A mistake in Derush itself:[/] {error!r}. Please report it with {path}", soft_wrap=True)
    return Exit.BUG
