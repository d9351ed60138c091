"""Where packages come from: pip, and pip's configuration for uv, which does not read it itself."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from config.settings import REPOSITORY, inherited_environment
from services.commands import run
from services.errors import ServiceError

INSTALLER = REPOSITORY / "envs" / ".installer"
"""A small environment with pip and uv that builds the four; made by scripts/setup.sh."""


def pip_command() -> list[str]:
    """Return the command of a pip that is there. Raises ServiceError when there is none."""
    for python in (str(INSTALLER / "bin" / "python"), sys.executable, shutil.which("python3") or ""):
        if python and Path(python).exists() and _has_pip(python):
            return [python, "-m", "pip"]
    raise ServiceError("pip_missing", "No pip was found.", "Run scripts/setup.sh, which brings one.")


@lru_cache(maxsize=8)
def _has_pip(python: str) -> bool:
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


@lru_cache(maxsize=1)
def uv_variables() -> dict[str, str | None]:
    """Return what makes uv take packages from where pip would: it does not read pip's configuration itself.

    A variable of uv that is set already is left as it is.
    """
    try:
        listing = run([*pip_command(), "config", "list"], remedy="", timeout=60)
    except ServiceError:
        return {}
    translated = translate_pip_configuration(listing)
    return {name: value for name, value in translated.items() if name not in inherited_environment()}


def translate_pip_configuration(listing: str) -> dict[str, str]:
    """Turn what `pip config list` prints into uv's variables; pip's later lines (its environment) win."""
    found: dict[str, str] = {}
    order = sorted(listing.splitlines(), key=lambda line: (line.startswith(":env:"), line.startswith("install.")))
    for line in order:
        key, _, value = line.partition("=")
        name = _UV_NAMES.get(key.rpartition(".")[2])
        if name and value:
            separator = "," if name == "UV_FIND_LINKS" else " "
            found[name] = separator.join(str(ast.literal_eval(value)).split())
    if "UV_INDEX" in found:
        # pip takes the best version from any index; uv by default the first index that knows the name.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found
