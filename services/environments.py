"""The four virtual environments: built from their locks, checked, rebuilt.

Standard library, `config` and this package's own modules only: `scripts/setup.sh` runs it before any environment exists.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from config.catalog import EnvironmentSpec
from config.catalog import environments as declared_environments
from config.contract import Exit
from config.settings import REPOSITORY, Settings, SettingsError, inherited_environment, load_settings
from services import commands
from services.commands import run, run_showing
from services.errors import CommandFailed, ServiceError

INSTALLER = REPOSITORY / "envs" / ".installer"
"""A small environment with pip and uv that builds the four; made by scripts/setup.sh."""
HOME_ENVIRONMENT = "env"
"""The environment that `derush` itself is installed in."""
_MARKER = "derush-installed.json"
_LOCKS = REPOSITORY / "envs"
_NETWORK_REMEDY = "Check the network and the package index, then run the same command again: it goes on from here."
Say = Callable[[str], None]


@dataclass(frozen=True)
class Environment:
    """One virtual environment: where it is, and whether it is what its lock says."""

    spec: EnvironmentSpec
    root: Path
    torch_variant: str

    @property
    def name(self) -> str:
        """Its name, which is its folder's."""
        return self.spec.name

    @property
    def interpreter(self) -> Path:
        """The Python that steps of this environment run under."""
        return self.root / "bin" / "python"

    @property
    def variables(self) -> dict[str, str | None]:
        """What its processes see differently: nothing of another environment, nothing from a person's site-packages.

        Idle threads of torch sleep instead of spinning: workers share the cores, and spinning made STEP3 beside STEP4
        four times slower (docs/performance.md).
        """
        apart = {"VIRTUAL_ENV": str(self.root), "PYTHONHOME": None, "PYTHONPATH": None, "PYTHONNOUSERSITE": "1"}
        return {**apart, "OMP_WAIT_POLICY": "PASSIVE"}

    def locks(self, development: bool) -> list[Path]:
        """Return the lock files it is built from."""
        names = [f"{self.name}.txt", f"{self.name}.dev.txt"]
        return [_LOCKS / name for name in names[: 1 + development]]

    def expected(self, development: bool) -> str:
        """Return the hash of everything it is built from."""
        digest = hashlib.sha256(self.torch_variant.encode())
        for lock in self.locks(development):
            digest.update(lock.read_bytes())
        return digest.hexdigest()

    def marker(self) -> dict[str, str]:
        """Return what the last complete build wrote; empty when there was none."""
        try:
            content = json.loads((self.root / _MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def is_built(self, development: bool = False) -> bool:
        """Tell whether it is built, completely, from the locks as they are now. Nothing is imported."""
        wanted = [self.expected(True)] if development else [self.expected(True), self.expected(False)]
        return self.marker().get("locks") in wanted and self.interpreter.exists()

    def health(self) -> str | None:
        """Import what its steps need, in its own interpreter; None is healthy, else what is wrong."""
        if not self.marker():
            return "not built, or its build was interrupted"
        if not self.is_built():
            return "built from older locks"
        code = "\n".join(f"import {module}" for module in self.spec.imports)
        try:
            run([str(self.interpreter), "-c", code], changes=self.variables, remedy="Rebuild it.", timeout=300)
        except CommandFailed as failure:
            return f"import fails: {failure.message.strip().splitlines()[-1]}"
        return None


def environments(settings: Settings) -> dict[str, Environment]:
    """Return the environments by name."""
    base = settings.venv_base_dir
    return {
        name: Environment(spec, base / name, settings.torch_variant) for name, spec in declared_environments().items()
    }


def require_built(environment: Environment) -> None:
    """Raise ServiceError, with its remedy, when the environment is not built."""
    if not environment.is_built():
        raise ServiceError(
            "environment_missing",
            f"The environment {environment.name} is not built ({environment.root}).",
            f"Run `scripts/setup.sh {environment.name}` or `derush envs build {environment.name}`.",
        )


def build(environment: Environment, say: Say, *, development: bool = False, again: bool = False) -> bool:
    """Build an environment if it is not what its locks say; returns whether anything was done.

    Two builds of one environment take turns. The marker is written last: an interrupted build is begun anew.
    Raises ServiceError when something cannot be installed or does not import afterwards.
    """
    environment.root.parent.mkdir(parents=True, exist_ok=True)
    with _taking_turns(environment.root.with_name(f".{environment.name}.lock"), say):
        if environment.is_built(development) and not again:
            return False
        started = time.monotonic()
        say(f"{environment.name}: building in {environment.root}")
        installer = _installer(environment)
        shutil.rmtree(environment.root, ignore_errors=True)
        installer.create()
        note = installer.install(environment.locks(development), environment.torch_variant)
        if note:
            say(f"{environment.name}: {note}")
        _finish(environment, installer, development)
        say(f"{environment.name}: ready after {time.monotonic() - started:.0f} s")
    return True


def _finish(environment: Environment, installer: _Installer, development: bool) -> None:
    """Install `derush` where it belongs, mend what the index cannot give, check, and write the marker."""
    if environment.name == HOME_ENVIRONMENT:
        installer.install_derush()
    _mend_torchaudio(environment)
    marker = environment.root / _MARKER
    content = {"locks": environment.expected(development), "python": sys.version.split()[0]}
    marker.write_text(json.dumps(content), encoding="utf-8")
    if problem := environment.health():
        marker.unlink()
        raise ServiceError(
            "environment_unhealthy",
            f"{environment.name} was installed, but {problem}.",
            "See docs/operations.md, 'Environments'.",
        )


def _mend_torchaudio(environment: Environment) -> None:
    """Remove torchaudio's compiled extensions where they cannot be loaded.

    The index has no CPU build of torchaudio; its CUDA extensions refuse to load beside a CPU torch. Without them its
    loader goes on, and what pyannote needs (resampling, filter banks) is Python.
    """
    for library in environment.root.glob("lib/python*/site-packages/torchaudio/lib"):
        try:
            run([str(environment.interpreter), "-c", "import torchaudio"], remedy="", timeout=300)
        except CommandFailed:
            shutil.rmtree(library)


@contextmanager
def _taking_turns(path: Path, say: Say) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build of the same environment")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class _Installer:
    """How packages get into one environment: by uv where there is one, else by pip."""

    environment: Environment
    uv: str | None

    def create(self) -> None:
        """Make the empty environment from this process's Python."""
        root = str(self.environment.root)
        if self.uv:
            run([self.uv, "venv", "--quiet", "--python", sys.executable, root], remedy=_NETWORK_REMEDY, timeout=300)
        else:
            run([sys.executable, "-m", "venv", root], remedy="Install your system's python3-venv.", timeout=300)

    def command(self, *arguments: str) -> list[str]:
        """Return the command that installs `arguments` here."""
        interpreter = str(self.environment.interpreter)
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
        run_showing(self.command(*arguments), changes=self._variables(), remedy=_NETWORK_REMEDY)

    def _variables(self) -> Mapping[str, str | None]:
        return uv_variables() if self.uv else {}

    def _torch_options(self, lock: Path, variant: str) -> tuple[list[str], str | None]:
        """Choose the build of torch: the options that bring it, and what a person should know about it."""
        pinned = re.search(r"^torch==\S+", lock.read_text(encoding="utf-8"), re.MULTILINE)
        if pinned is None or sys.platform != "linux":
            return [], None
        cuda = ["-r", str(_LOCKS / "torch-cuda.txt")]
        if variant == "cuda" or (variant == "auto" and has_nvidia_gpu()):
            return cuda, "torch with CUDA"
        for options in ([], ["--torch-backend", "cpu"] if self.uv else []):
            if self._gives_cpu_build(pinned[0], options):
                return options, None
        return cuda, "the package index has no CPU build of torch: the larger CUDA build is used, on the CPU"

    def _gives_cpu_build(self, requirement: str, options: Sequence[str]) -> bool:
        command = self.command("--dry-run", "--no-deps", requirement, *options)
        ended = subprocess.run(command, capture_output=True, text=True, env=commands.environment(self._variables()))
        return ended.returncode == 0 and "+cpu" in ended.stdout + ended.stderr


def _installer(environment: Environment) -> _Installer:
    beside = INSTALLER / "bin" / "uv"
    return _Installer(environment, str(beside) if beside.exists() else shutil.which("uv"))


def has_nvidia_gpu() -> bool:
    """Tell whether the machine has an NVIDIA GPU whose driver answers."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([str(tool), "-L"], capture_output=True).returncode == 0


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


def main() -> int:
    """Build the environments named on the command line, or all: what scripts/setup.sh calls."""
    try:
        return _build_from_command_line(sys.argv[1:])
    except SettingsError as error:
        print(f"Wrong settings:\n{error}", file=sys.stderr)
        return Exit.USAGE
    except ServiceError as error:
        print(f"{error.message} {error.remedy}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again: it goes on from here.", file=sys.stderr)
        return Exit.INTERRUPTED


def _build_from_command_line(arguments: Sequence[str]) -> int:
    known = environments(load_settings())
    if "--home" in arguments:
        print(known[HOME_ENVIRONMENT].root)
        return Exit.OK
    names = [name for name in arguments if name != "--dev"]
    if unknown := set(names) - set(known):
        print(f"No such environment: {', '.join(unknown)}. There are: {', '.join(known)}.", file=sys.stderr)
        return Exit.USAGE
    build_all([known[name] for name in names or known], "--dev" in arguments)
    return Exit.OK


def build_all(chosen: Sequence[Environment], development: bool = False, again: bool = False) -> None:
    """Build several environments one after the other, saying how far it is."""
    for number, environment in enumerate(chosen, 1):
        prefix = f"[{number}/{len(chosen)}] "
        build(environment, partial(_say, prefix), development=development, again=again)


def _say(prefix: str, text: str) -> None:
    print(prefix + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
