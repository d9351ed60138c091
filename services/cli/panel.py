"""`derush serve`, `derush password`: the control panel, and who may open it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from config.contract import Exit
from config.settings import load_settings
from services.accounts import Accounts
from services.cli.options import to_person
from services.database import open_database


def serve(
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Another port than PANEL_PORT.")] = None,
) -> int:
    """Open the control panel until Ctrl-C; runs go on without it. The first start prints a link that signs you in."""
    arguments = ["--port", str(port)] if port else []
    sys.stdout.flush()
    return os.execv(sys.executable, [sys.executable, "-m", "web.server", *arguments])


def password() -> int:
    """Set the password of the control panel: asked for twice, or the first line of standard input."""
    if sys.stdin.isatty():
        chosen = typer.prompt("New password", hide_input=True, confirmation_prompt="Once more")
    else:
        chosen = sys.stdin.readline().rstrip("\n")
    settings = load_settings()
    accounts = Accounts(open_database(settings.data_dir, settings.database_url))
    accounts.set_password(chosen)
    accounts.record("set password", "derush password", "this machine")
    to_person.print("The password is set. Browsers that were signed in must sign in again.")
    return Exit.OK
