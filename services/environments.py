"""The four virtual environments: built from their locks, checked, rebuilt.

Standard library, `config` and this package's own modules only: `scripts/setup.sh` runs it before any environment exists.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from config.catalog import EnvironmentSpec
from config.catalog import environments as declared_environments
from config.contract import Exit
from config.settings import REPOSITORY, Settings, SettingsError, load_settings
from services.commands import run
from services.errors import CommandFailed, ServiceError
from services.installer import Installer

HOME_ENVIRONMENT = "env"
"""The environment that `derush` itself is installed in."""
_MARKER = "derush-installed.json"
_LOCKS = REPOSITORY / "envs"
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
        installer = Installer(environment.root)
        shutil.rmtree(environment.root, ignore_errors=True)
        installer.create()
        note = installer.install(environment.locks(development), environment.torch_variant)
        if note:
            say(f"{environment.name}: {note}")
        _finish(environment, installer, development)
        say(f"{environment.name}: ready after {time.monotonic() - started:.0f} s")
    return True


def _finish(environment: Environment, installer: Installer, development: bool) -> None:
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
    names = [name for name in arguments if name not in {"--dev", "--again"}]
    if unknown := set(names) - set(known):
        print(f"No such environment: {', '.join(unknown)}. There are: {', '.join(known)}.", file=sys.stderr)
        return Exit.USAGE
    build_all([known[name] for name in names or known], "--dev" in arguments, again="--again" in arguments)
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
