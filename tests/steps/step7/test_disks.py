"""Real disks: one that gets full, one that is mounted read-only, one that is not mounted, one that shares blocks."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.results_archiver import ResultsArchiver
from tests.conftest import missing
from workflow_scripts.step7 import places

REPOSITORY = Path(__file__).resolve().parents[3]


def own_mounts(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount what nobody else sees."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-euc", script, "sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def may_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mount")
    if not shutil.which("unshare") or own_mounts('mount -t tmpfs tmpfs "$1"', str(folder)).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")


def step7(workplace) -> str:
    """STEP7's command line for a shell, with its settings."""
    settings = [f"{name}={value}" for name, value in workplace.environment.items()]
    return shlex.join(["env", "-i", *settings, *workplace.command()])


@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("place", ["output", "archives"])
def test_a_disk_that_gets_full(workplace, tree, place):
    """Small files take a page each, so a tmpfs is full before their bytes are: the look at free space cannot know."""
    project = workplace.work_dir / "Projet 1"
    crowd = 600 if place == "output" else 0
    for number in range(crowd):
        (project / f"note {number}.txt").write_text("x")
    before = tree(project)
    workplace.variables["FINALIZE_MODE"] = "move"
    for folder in (workplace.output, workplace.archives):
        folder.mkdir(exist_ok=True)
    kept = workplace.root / "kept"
    script = f"""
        mount -t tmpfs -o size={"1m" if crowd else "16k"} tmpfs "$1"
        cd {REPOSITORY}
        {step7(workplace)} > "$2" 2>&1 && exit 90
        test -d "$3" || exit 91
        mount -o remount,size=64m "$1"
        {step7(workplace)} >> "$2" 2>&1
        cp -a "$1" "$4"
    """
    said = workplace.root / "said"
    ran = own_mounts(script, str(workplace.root / place), str(said), str(project), str(kept))
    assert ran.returncode == 0, (ran.returncode, ran.stderr, said.read_text())
    assert "disk_full" in said.read_text()
    assert not project.exists()
    delivered, archives = (kept, workplace.archives) if crowd else (workplace.output, kept)
    assert tree(delivered / "Projet 1") == before
    [entry] = ResultsArchiver(archives).list()
    assert ResultsArchiver(archives).verify(entry) == []
    assert [path for path in kept.rglob("*incoming*")] == []


@pytest.mark.usefixtures("may_mount")
def test_a_disk_that_is_mounted_read_only(workplace, tree):
    before = tree(workplace.work_dir / "Projet 1")
    workplace.output.mkdir()
    workplace.variables |= {"FALLBACK_OUTPUT_DIR": str(workplace.root / "fallback")}
    script = f'mount -t tmpfs -o ro tmpfs "$1"; cd {REPOSITORY}; {step7(workplace)}'
    ran = own_mounts(script, str(workplace.output))
    assert ran.returncode == 0, ran.stderr
    assert tree(workplace.root / "fallback/Projet 1") == before
    assert str(workplace.output) in workplace.warnings()["fallback_output"]


@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("below", [".", "sources"])
def test_a_delivery_that_is_the_working_copy_by_a_mount_is_refused(workplace, tree, below):
    """Delivered before: size, time and content of every file are what the record says."""
    project, delivered = workplace.work_dir / "Projet 1", workplace.output / "Projet 1"
    before = tree(project)
    assert workplace.run().returncode == 0
    workplace.variables["FINALIZE_MODE"] = "move"
    script = f'mount --bind "$1" "$2"; cd {REPOSITORY}; {step7(workplace)}'
    ran = own_mounts(script, str(project / below), str(delivered / below))
    assert ran.returncode == 1, ran.stderr
    assert workplace.failure()["code"] == ("output_is_work" if below == "." else "output_leads_out")
    assert tree(project) == before


@pytest.mark.parametrize("fallback", [True, False])
def test_a_disk_that_is_not_mounted_is_not_filled_below_its_mount_point(workplace, tree, fallback):
    """Folders above OUTPUT_DIR are on the disk that should be there: without it nothing is made in their place."""
    workplace.variables["OUTPUT_DIR"] = str(workplace.root / "mnt/nas/deliveries")
    if fallback:
        workplace.variables["FALLBACK_OUTPUT_DIR"] = str(workplace.root / "fallback")
    assert workplace.run().returncode == (0 if fallback else 1)
    assert not (workplace.root / "mnt").exists()
    if fallback:
        assert "docs/clip.mp4" in tree(workplace.root / "fallback/Projet 1")
    else:
        assert workplace.failure()["code"] == "output_unwritable"


def test_a_mount_point_of_the_system_s_table_must_be_mounted(tmp_path):
    table = tmp_path / "fstab"
    table.write_text(
        f"# a comment {tmp_path}/deliveries\n\nUUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n"
        f"nas:/x {tmp_path}/my\\040nas nfs defaults 0 0\nproc /proc proc defaults 0 0\n"
    )
    mount_point = tmp_path / "my nas"
    (mount_point / "deliveries").mkdir(parents=True)
    for folder, unmounted in [(mount_point / "deliveries", mount_point), (mount_point, mount_point), (tmp_path, None)]:
        assert places.unmounted(folder, table) == unmounted
    assert places.unmounted(Path("/proc/self"), table) is None
    assert places.unmounted(mount_point, tmp_path / "no table") is None


def test_where_blocks_can_be_shared_a_copy_takes_no_room_and_stays_what_it_was(tmp_path):
    """On XFS made with reflinks, in a file; skipped where nobody may mount it."""
    if not shutil.which("mkfs.xfs"):
        missing("mkfs.xfs")
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as stream:
        stream.truncate(400_000_000)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True, timeout=60)
    program = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from services.verified_copies import copy_verified, sha256_of\n"
        "disk = Path(sys.argv[1]); source, copy = disk / 'source', disk / 'copy'\n"
        "source.write_bytes(os.urandom(1 << 20) * 50); os.sync(); free = os.statvfs(disk).f_bavail\n"
        "sha256 = copy_verified(source, copy)\n"
        "os.sync(); taken = (free - os.statvfs(disk).f_bavail) * os.statvfs(disk).f_frsize\n"
        "with source.open('r+b') as stream: stream.write(b'changed')\n"
        "assert sha256_of(copy) == sha256 != sha256_of(source)\n"
        "assert taken < 5_000_000, taken\n"
    )
    script = f'mount -o loop "$1" "$2" || exit 42; {sys.executable} -c "$3" "$2" {REPOSITORY}'
    command = ["unshare", "--mount", "sh", "-uc", script, "sh", str(image), str(disk), program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if ran.returncode == 42 or "Operation not permitted" in ran.stderr:
        pytest.skip(f"no loop mount here: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
