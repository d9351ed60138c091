"""The machine as the panel shows it: one look for all who ask, and nothing that is not known is made up."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from config.settings import Settings, read_settings
from services import system_monitor
from services.system_monitor import Gpu, Monitor, disks, gpus, machine
from tests.conftest import wait_until


def settings_below(folder: Path, **others: str) -> Settings:
    names = ("PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "DATA_DIR")
    return read_settings(
        {
            **{name: str(folder / name) for name in names},
            "CACHE_ROOT_DIR": str(folder),
            "DISK_WARNING_GB": "0",
            **others,
        }
    )


def test_the_machine_is_the_one_that_is_here(tmp_path: Path) -> None:
    seen = machine(settings_below(tmp_path))
    assert seen.memory_total == psutil.virtual_memory().total
    assert 0 < seen.memory_used < seen.memory_total
    assert 0 <= seen.cpu_percent <= 100 and seen.cores >= 1
    (disk,) = seen.disks
    assert disk.places == ("CACHE_ROOT_DIR", "PROJECTS_DIR", "OUTPUT_DIR", "ARCHIVES_DIR", "DATA_DIR")
    assert disk.path == tmp_path and disk.total == shutil.disk_usage(tmp_path).total


def test_many_readers_share_one_look(tmp_path: Path) -> None:
    monitor = Monitor(settings_below(tmp_path))
    before = threading.active_count()
    with ThreadPoolExecutor(20) as readers:
        seen = list(readers.map(lambda _: monitor.machine(), range(500)))
    assert threading.active_count() <= before + 1, "more than one thread looks"
    assert len({look.at for look in seen}) <= 2, "each reader looked for itself"


def test_the_looking_goes_on_while_somebody_asks_and_ends_when_nobody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_monitor, "SAMPLE_SECONDS", 0.05)
    monitor = Monitor(settings_below(tmp_path), idle_seconds=0.3)
    first = monitor.machine()
    wait_until(lambda: monitor.machine().at > first.at, what="a newer look")
    wait_until(lambda: not monitor.is_looking, what="the end of the looking")
    wait_until(lambda: monitor.machine().at > first.at, what="a look after the pause")
    assert monitor.is_looking


def test_a_disk_that_does_not_answer_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(system_monitor, "disks", lambda _settings: answers.wait(30) and ())
    monkeypatch.setattr(system_monitor, "_PATIENCE_SECONDS", 0.2)
    monitor = Monitor(settings_below(tmp_path))
    try:
        for _ in range(3):
            began = time.monotonic()
            seen = monitor.machine()
            assert time.monotonic() - began < 5
            assert seen.disks == () and seen.memory_total > 0
    finally:
        answers.set()


def test_low_is_only_what_runs_need_room_on(tmp_path: Path) -> None:
    assert [disk.is_low for disk in disks(settings_below(tmp_path))] == [False]
    assert [disk.is_low for disk in disks(settings_below(tmp_path, DISK_WARNING_GB="1000000"))] == [True]


def test_each_file_system_is_shown_once_with_what_it_holds(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("not here: a second file system")
    chosen = settings_below(tmp_path, OUTPUT_DIR=str(other / "output"), DISK_WARNING_GB="1000000")
    here, there = disks(chosen)
    assert here.places == ("CACHE_ROOT_DIR", "PROJECTS_DIR", "ARCHIVES_DIR", "DATA_DIR") and here.is_low
    assert there.places == ("OUTPUT_DIR",) and not there.is_low
    assert there.total == shutil.disk_usage(other).total


def test_a_disk_that_is_not_mounted_is_not_taken_for_the_one_below_it(tmp_path: Path) -> None:
    missing, here = disks(settings_below(tmp_path, CACHE_ROOT_DIR=str(tmp_path / "not" / "mounted")))
    assert missing.places == ("CACHE_ROOT_DIR",) and missing.is_missing
    assert (missing.free, missing.total) == (0, 0)
    assert "CACHE_ROOT_DIR" not in here.places and not here.is_missing


def test_a_place_below_a_file_is_missing_and_not_a_mistake(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    found = disks(settings_below(tmp_path, OUTPUT_DIR=str(tmp_path / "file" / "output")))
    assert {name for disk in found for name in disk.places} >= {"OUTPUT_DIR", "DATA_DIR"}


def refuse(code: int):
    def refused(*_arguments):
        raise pynvml.NVMLError(code)

    return refused


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", refuse(pynvml.NVML_ERROR_UNINITIALIZED))
    assert gpus() == ()


def test_a_gpu_tells_what_it_can_and_a_lost_one_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first tells everything, the last is a part of a GPU (no utilisation, no sensor), the one between is lost."""

    def handle(index: int) -> int:
        return index if index != 1 else refuse(pynvml.NVML_ERROR_GPU_IS_LOST)()

    def only_first(value):
        return lambda number, *_: value if number == 0 else refuse(pynvml.NVML_ERROR_NOT_SUPPORTED)()

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 3)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda number: f"GPU {number}")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", only_first(SimpleNamespace(gpu=42, memory=7)))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: SimpleNamespace(total=80, used=30, free=50))
    # The older of the two questions for the temperature is all that a driver from before 2025 answers.
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperatureV", refuse(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", only_first(55))
    assert gpus() == (Gpu(0, "GPU 0", 42, 30, 80, 55), Gpu(2, "GPU 2", None, 30, 80, None))
