"""The environments that other tools are measured in: installed on first use below `.cache/`, at home in a folder of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from config.settings import REPOSITORY
from services.commands import run_showing
from services.installer import NETWORK_REMEDY, Installer
from services.package_index import uv_variables

OTHERS = Path(__file__).resolve().parent / "others"
ENVIRONMENT = REPOSITORY / ".cache" / "bench-others"
PYTHON = ENVIRONMENT / "bin" / "python"
_REQUIREMENTS = OTHERS / "requirements.txt"
_OVERRIDES = REPOSITORY / "envs" / "overrides.txt"


def install(environment: Path = ENVIRONMENT, requirements: Path = _REQUIREMENTS) -> None:
    """Install pinned tools into an environment of their own, unless they are there; the marker is written last."""
    marker, wanted = environment / "installed.txt", requirements.read_text(encoding="utf-8")
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(environment, ignore_errors=True)
    installer = Installer(environment)
    installer.create()
    changes, options = (uv_variables(), ("--overrides", str(_OVERRIDES))) if installer.uv else ({}, ())
    run_showing(installer.command("-q", *options, "-r", str(requirements)), changes=changes, remedy=NETWORK_REMEDY)
    marker.write_text(wanted, encoding="utf-8")


def at_home(home: str) -> dict[str, str | None]:
    """Return the variables that keep a tool below `home`, off any network and quiet."""
    return {
        "HOME": home,
        "PREFECT_HOME": f"{home}/prefect",
        "PREFECT_API_URL": None,
        "PREFECT_API_KEY": None,
        "PREFECT_PROFILE": None,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # on a busy machine its own 20 s are too few
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
