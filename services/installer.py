"""How packages get into an environment, and which build of torch."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import REPOSITORY
from services.commands import environment, run, run_showing
from services.package_index import INSTALLER, uv_variables

TORCH_CUDA = REPOSITORY / "envs" / "torch-cuda.txt"
"""The CUDA libraries of torch, left out of the locks."""
NETWORK_REMEDY = "Check the network and the package index, then run the same command again: it goes on from here."


def find_uv() -> str | None:
    """Return the uv to use: the one beside the installer's pip, else the system's."""
    beside = INSTALLER / "bin" / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def has_nvidia_gpu() -> bool:
    """Tell whether the machine has an NVIDIA GPU whose driver answers."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([str(tool), "-L"], capture_output=True).returncode == 0


@dataclass(frozen=True)
class Installer:
    """How packages get into the environment at `root`: by uv where there is one, else by pip."""

    root: Path
    uv: str | None = field(default_factory=find_uv)

    def create(self) -> None:
        """Make the empty environment from this process's Python."""
        root = str(self.root)
        if self.uv:
            run([self.uv, "venv", "--quiet", "--python", sys.executable, root], remedy=NETWORK_REMEDY, timeout=300)
        else:
            run([sys.executable, "-m", "venv", root], remedy="Install your system's python3-venv.", timeout=300)

    def command(self, *arguments: str) -> list[str]:
        """Return the command that installs `arguments` here."""
        interpreter = str(self.root / "bin" / "python")
        if self.uv:
            return [self.uv, "pip", "install", "--python", interpreter, *arguments]
        return [interpreter, "-m", "pip", "install", "--disable-pip-version-check", *arguments]

    def install(self, locks: Sequence[Path], torch_variant: str) -> str | None:
        """Install what the locks say; returns a note for the person, if there is something to say."""
        options, note = self._torch_options(locks[0], torch_variant)
        if self.uv:
            options += ["--compile-bytecode"]
        if not sys.stderr.isatty():
            options += ["--quiet"]
        required = [part for lock in locks for part in ("-r", str(lock))]
        self._show("--no-deps", *required, *options)
        return note

    def install_derush(self) -> None:
        """Install the `derush` command, reading this repository in place."""
        self._show("--quiet", "--no-deps", "--editable", str(REPOSITORY))

    def _show(self, *arguments: str) -> None:
        run_showing(self.command(*arguments), changes=self._variables(), remedy=NETWORK_REMEDY)

    def _variables(self) -> Mapping[str, str | None]:
        return uv_variables() if self.uv else {}

    def _torch_options(self, lock: Path, variant: str) -> tuple[list[str], str | None]:
        """Choose the build of torch: the options that bring it, and what a person should know about it."""
        pinned = re.search(r"^torch==\S+", lock.read_text(encoding="utf-8"), re.MULTILINE)
        if pinned is None or sys.platform != "linux":
            return [], None
        cuda = ["-r", str(TORCH_CUDA)]
        if variant == "cuda" or (variant == "auto" and has_nvidia_gpu()):
            return cuda, "torch with CUDA"
        for options in ([], ["--torch-backend", "cpu"] if self.uv else []):
            if self._gives_cpu_build(pinned[0], options):
                return options, None
        return cuda, "the package index has no CPU build of torch: the larger CUDA build is used, on the CPU"

    def _gives_cpu_build(self, requirement: str, options: Sequence[str]) -> bool:
        command = self.command("--dry-run", "--no-deps", requirement, *options)
        ended = subprocess.run(command, capture_output=True, text=True, env=environment(self._variables()))
        return ended.returncode == 0 and "+cpu" in ended.stdout + ended.stderr
