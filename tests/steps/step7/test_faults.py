"""STEP7 killed at every call that changes a file, and on disks that refuse: no byte is ever lost, and the next run completes."""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.results_archiver import ResultsArchiver
from tests.conftest import missing
from tests.steps.step7 import faulty
from tests.steps.step7.faulty import Disks, FaultServer, Order

MODES = ("copy", "move")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    if sys.platform != "linux":
        pytest.skip("faults are preloaded on Linux alone")
    if not shutil.which("cc"):
        missing("a C compiler to make the faults with (cc)")
    with FaultServer(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return Disks(tmp_path)


def content(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by path, Derush's own records left out."""
    files = (path for path in folder.rglob("*") if path.is_file())
    below = {path.relative_to(folder): path.read_bytes() for path in files}
    return {str(name): held for name, held in below.items() if ".derush" not in name.parts}


def check_that_nothing_is_lost(disks: Disks, before: dict[str, bytes]) -> None:
    """Every byte is where it was, or delivered; what is delivered or archived is whole."""
    delivered = content(disks.output / "Projet 1")
    assert all(before[name] == held for name, held in delivered.items()), "a file that is not whole is in its place"
    archives = list(ResultsArchiver(disks.archives).list())
    assert [ResultsArchiver(disks.archives).verify(entry) for entry in archives] == [[]] * len(archives)
    if content(disks.work_dir / "Projet 1") != before:
        assert delivered == before and len(archives) == 1


def check_that_all_is_done(disks: Disks, before: dict[str, bytes], mode: str) -> None:
    check_that_nothing_is_lost(disks, before)
    assert content(disks.output / "Projet 1") == before
    assert len(list(ResultsArchiver(disks.archives).list())) == 1
    assert (disks.work_dir / "Projet 1").exists() == (mode == "copy")
    left = [path for path in (disks.root / "disks").rglob("*") if "incoming" in path.name or path.suffix == ".tmp"]
    assert left == []
    hidden = disks.work_dir / ".derush/removed"
    assert not hidden.exists() or list(hidden.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_every_call_that_changes_a_file(server: FaultServer, disks: Disks, mode: str) -> None:
    disks.lay_out(FINALIZE_MODE=mode)
    before = content(disks.work_dir / "Projet 1")
    calls = server.run(disks).calls
    assert calls > 100
    check_that_all_is_done(disks, before, mode)
    for number in range(1, calls + 1):
        disks.lay_out(FINALIZE_MODE=mode)
        killed = server.run(disks, Order(kill_at=number))
        assert killed.status in (-signal.SIGKILL, 0), killed.said  # two threads: there may be a call fewer
        check_that_nothing_is_lost(disks, before)
        ended = server.run(disks)
        assert ended.status == 0, (number, ended.said)
        check_that_all_is_done(disks, before, mode)


@pytest.mark.parametrize("mode", MODES)
def test_killed_twice_and_once_more(server: FaultServer, disks: Disks, mode: str) -> None:
    """What a killed run left may be all that the next one, killed too, finds."""
    dice = random.Random(f"{mode} 7")
    for _ in range(20):
        disks.lay_out(FINALIZE_MODE=mode)
        before = content(disks.work_dir / "Projet 1")
        for _ in range(3):
            server.run(disks, Order(kill_at=dice.randint(1, 160)))
            check_that_nothing_is_lost(disks, before)
        assert server.run(disks).status == 0
        check_that_all_is_done(disks, before, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", ["output", "archives", "projects", ""])
def test_a_disk_that_is_full_at_any_moment(server: FaultServer, disks: Disks, mode: str, place: str) -> None:
    """From a moment on nothing that takes space is done any more, on one of the disks or on all."""
    disks.lay_out(FINALIZE_MODE=mode)
    below = str(disks.root / "disks" / place)
    before = content(disks.work_dir / "Projet 1")
    calls = server.run(disks, Order(below=below)).calls
    for number in range(1, calls + 1, 5 if place else 11):
        disks.lay_out(FINALIZE_MODE=mode)
        full = server.run(disks, Order(fail_from=number, fail_kinds=faulty.TAKES_SPACE, below=below))
        assert full.status in (0, 1, 3), full.said
        if full.status == 1:
            [ended] = disks.events("item_done")
            assert ended["error"]["code"] in ("disk_full", "output_unwritable"), ended
        check_that_nothing_is_lost(disks, before)
        ended = server.run(disks)
        assert ended.status == 0, (number, ended.said)
        check_that_all_is_done(disks, before, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kinds", "error"),
    [
        (faulty.CHMOD | faulty.UTIME, errno.EPERM),  # NTFS and FAT, SMB
        (faulty.LINK, errno.EPERM),  # FAT, exFAT, many network mounts
        (faulty.LINK | faulty.CHMOD | faulty.UTIME, errno.ENOTSUP),
    ],
)
def test_file_systems_that_grant_less(server: FaultServer, disks: Disks, mode: str, kinds: int, error: int) -> None:
    disks.lay_out(FINALIZE_MODE=mode)
    before = content(disks.work_dir / "Projet 1")
    for place in (disks.output, disks.archives):
        ended = server.run(disks, Order(fail_from=1, fail_kinds=kinds, fail_with=error, below=str(place)))
        assert ended.status == 0, ended.said
    check_that_all_is_done(disks, before, mode)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_a_target_that_cannot_be_written_is_replaced_by_the_fallback(
    server: FaultServer, disks: Disks, error: int
) -> None:
    """Mounted read-only, broken, or a server that is gone."""
    disks.lay_out(FINALIZE_MODE="move", FALLBACK_OUTPUT_DIR=str(disks.root / "disks/fallback"))
    before = content(disks.work_dir / "Projet 1")
    kinds = faulty.OPEN | faulty.WRITE | faulty.MKDIR | faulty.RENAME | faulty.LINK
    ended = server.run(disks, Order(fail_from=1, fail_kinds=kinds, fail_with=error, below=str(disks.output)))
    assert ended.status == 0, ended.said
    assert str(disks.output) in disks.warnings()["fallback_output"]
    assert content(disks.root / "disks/fallback/Projet 1") == before
    assert not (disks.work_dir / "Projet 1").exists()


@pytest.mark.parametrize("mode", MODES)
def test_what_a_power_cut_would_lose_is_never_all_there_is(server: FaultServer, disks: Disks, mode: str) -> None:
    """Before the working copy goes, every file of the delivery and the archive is flushed, and so are the folders it is in.

    A rename or a link is on the disk once its folder is flushed, what a file holds once that file is, after the last write.
    """
    disks.lay_out(FINALIZE_MODE=mode)
    before = content(disks.work_dir / "Projet 1")
    notes = disks.root / "notes"
    assert server.run(disks, notes=notes).status == 0
    unflushed: set[str] = set()
    calls = [line.split("\t") for line in notes.read_text().splitlines()]
    hides = [number for number, (kind, _, to) in enumerate(calls) if int(kind) == faulty.RENAME and "/removed/" in to]
    assert len(hides) == (mode == "move")
    for kind, path, to in calls[: hides[0] if hides else len(calls)]:
        if int(kind) == faulty.FSYNC:
            unflushed.discard(path)
        elif int(kind) in (faulty.OPEN, faulty.WRITE, faulty.TRUNCATE):
            unflushed.add(path)
        elif int(kind) in (faulty.RENAME, faulty.LINK):
            unflushed.add(str(Path(to).parent))
            unflushed |= {to + name[len(path) :] for name in unflushed if name.startswith(path)}
        elif int(kind) == faulty.MKDIR:
            unflushed.add(str(Path(path).parent))
    named = [disks.output / "Projet 1" / name for name in before]
    [metadata] = disks.archives.glob("*/*/metadata.json")
    named += [metadata, *metadata.parent.iterdir()]
    needed = {str(above) for path in named for above in (path, *path.parents) if disks.root / "disks" in above.parents}
    assert unflushed & needed == set()


def test_the_faults_are_real(server: FaultServer, disks: Disks) -> None:
    """A kill is one, a refused call fails, and calls elsewhere are not counted."""
    disks.lay_out()
    assert server.run(disks, Order(kill_at=1)).status == -signal.SIGKILL
    assert list(disks.output.parent.rglob("*.mp4")) == [disks.work_dir / "Projet 1/docs/clip.mp4"]
    refused = server.run(disks, Order(fail_from=1, fail_kinds=faulty.WRITE, below=str(disks.archives)))
    assert refused.status == 1 and "disk_full" in refused.said
    elsewhere = server.run(disks, Order(kill_at=1, below=str(disks.root / "elsewhere")))
    assert (elsewhere.status, elsewhere.calls) == (0, 0)
    assert json.loads((disks.output / "Projet 1/.derush/delivery.json").read_text())["files"]
