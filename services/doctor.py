"""Everything that must be there before a run, looked at in one go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from config.catalog import models, steps
from config.settings import Settings, env_file, unknown_settings
from services.commands import run
from services.database import FILE_NAME, open_database
from services.environments import environments
from services.errors import CommandFailed, ServiceError
from services.model_files import problem_of, wanted
from services.room import nearest_existing
from services.worker import step_command


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `state` is good, warning or missing; `remedy` says what to do about it."""

    what: str
    state: str
    found: str
    remedy: str = ""

    def record(self) -> dict[str, str]:
        """Return the check as `--json` prints it."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Look at everything and return what was found, in the order a person would mend it."""
    examined: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _settings, _environments, _models, _ffmpeg, encoder, _rar, folders, history, _tracking,
    )  # fmt: skip
    return [check for examination in examined for check in examination(settings)]


def _settings(_settings: Settings) -> Iterator[Check]:
    yield Check("Python", "good", sys.version.split()[0])
    unknown = unknown_settings()
    if unknown:
        yield Check("Settings", "warning", f"unknown in {env_file()}: {', '.join(unknown)}", "Correct or remove them.")
    else:
        yield Check("Settings", "good", str(env_file()) if env_file().exists() else "all defaults (no .env)")


def _environments(settings: Settings) -> Iterator[Check]:
    for environment in environments(settings).values():
        problem = environment.health()
        remedy = f"derush envs rebuild {environment.name}" if problem else ""
        yield Check(environment.name, "missing" if problem else "good", problem or str(environment.root), remedy)


def _models(settings: Settings) -> Iterator[Check]:
    for spec in wanted(models().values(), settings.models_dir):
        problem = problem_of(spec, settings.models_dir)
        remedy = f"derush models fetch {spec.name}" if problem else ""
        yield Check(
            f"model {spec.name}", "missing" if problem else "good", problem or f"verified, {spec.licence}", remedy
        )


def _ffmpeg(settings: Settings) -> Iterator[Check]:
    binary = shutil.which(settings.ffmpeg_binary or "ffmpeg")
    if binary is None and settings.ffmpeg_binary is None:
        binary = _packaged_ffmpeg(settings)
    version = _first_line([binary, "-version"]) if binary else None
    if version:
        yield Check("ffmpeg", "good", f"{version.split(' Copyright')[0]} ({binary})")
    else:
        yield Check(
            "ffmpeg", "missing", settings.ffmpeg_binary or "none", "Set FFMPEG_BINARY to an ffmpeg that starts."
        )


def encoder(settings: Settings) -> Iterator[Check]:
    """Ask STEP2 which encoder makes proxies here; where it cannot work at all, other checks say why."""
    spec = steps()["STEP2"]
    environment = environments(settings)[spec.environment]
    try:
        said = run(step_command(spec, environment, "--check"), changes=environment.variables, remedy="", timeout=180)
        found = json.loads(said)
    except (CommandFailed, ValueError):
        return
    why = "; ".join(f"not {name}: {reason}" for name, reason in found["refused"].items())
    is_as_wished = settings.step2_encoder in ("auto", found["encoder"])
    yield Check(
        "encoder", "good" if is_as_wished else "warning", found["encoder"] + (f" ({why})" if why else ""),
        "" if is_as_wished else "Mend its driver, or set STEP2_ENCODER to auto.",
    )  # fmt: skip


def _packaged_ffmpeg(settings: Settings) -> str | None:
    found = (settings.venv_base_dir / "env").glob("lib/python*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*")
    return next((str(path) for path in found), None)


def _first_line(command: list[str]) -> str | None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.partition("\n")[0] if ended.returncode == 0 else None


def _rar(_settings: Settings) -> Iterator[Check]:
    tool = next((name for name in ("unrar", "bsdtar", "unar") if shutil.which(name)), None)
    if tool is None:
        yield Check("rar archives", "warning", "no unrar, bsdtar or unar", "Install one if you get rar archives.")
    else:
        locked = "" if tool == "unrar" else "; those with a password need unrar"
        yield Check("rar archives", "good", f"through {tool}{locked}")


def folders(settings: Settings) -> Iterator[Check]:
    """Look whether every folder that is written to can be, and has room."""
    places = {
        "CACHE_ROOT_DIR": settings.cache_root, "PROJECTS_DIR": settings.projects_dir, "OUTPUT_DIR": settings.output_dir,
        "ARCHIVES_DIR": settings.archives_dir, "DATA_DIR": settings.data_dir, "LOGS_DIR": settings.logs_dir,
    }  # fmt: skip
    for name, path in places.items():
        yield _folder(name, path, settings.disk_warning_gb if name in {"CACHE_ROOT_DIR", "ARCHIVES_DIR"} else 0)


def _folder(name: str, path: Path, wanted_gb: float) -> Check:
    """Check a folder that must be there (or that can be made), be writable and large enough."""
    if name == "CACHE_ROOT_DIR" and not path.is_dir():
        return Check(name, "missing", f"{path} is not there", f"Mount it, or set {name}.")
    try:
        existing = nearest_existing(path)
    except OSError as error:
        return Check(name, "missing", f"{path}: {error.strerror}", f"Change its permissions, or set {name}.")
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Check(name, "missing", f"{existing} cannot be written", f"Change its permissions, or set {name}.")
    free = shutil.disk_usage(existing).free / 1e9
    if free < wanted_gb:
        return Check(name, "warning", f"{path}: {free:.0f} GB free", f"Under {wanted_gb:.0f} GB (DISK_WARNING_GB).")
    return Check(name, "good", f"{path}: {free:.0f} GB free")


def history(settings: Settings) -> Iterator[Check]:
    """Open the history of runs as every command does, unless there is none yet: looking begins none."""
    what, file = "history of runs", settings.data_dir / FILE_NAME
    try:
        if not settings.database_url and not file.exists():
            yield Check(what, "good", f"none yet, the first run begins it in {settings.data_dir}")
            return
        with closing(open_database(settings.data_dir, settings.database_url)) as database, database.begin():
            place = database.place
    except ServiceError as error:
        yield Check(what, "missing", error.message, error.remedy)
    except OSError as error:
        yield Check(what, "missing", f"{file}: {error.strerror}", "Change its permissions, or set DATA_DIR.")
    else:
        yield Check(what, "good", place)


def _tracking(settings: Settings) -> Iterator[Check]:
    if settings.tracking_disable_gpu and settings.step5_enable_gpu:
        yield Check(
            "tracking on the GPU",
            "missing",
            "TRACKING_DISABLE_GPU and STEP5_ENABLE_GPU are both true",
            "Set one of them to false.",
        )
    else:
        where = "GPU" if settings.step5_enable_gpu else "CPU"
        yield Check("tracking", "good", f"engine {settings.step5_tracking_engine}, on the {where}")
